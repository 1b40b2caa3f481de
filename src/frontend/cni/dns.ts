/** What a configuration says about name servers, and how that goes together, as in the stock plugins. Pure. */
import type { Conf } from './conf.ts';
import type { Dns } from './result.ts';

/**
 * What the configuration, whoever manages the addresses, and the runtime say.
 *
 * The stock bridge and ptp take `dns` of the configuration whole where it has a key at all, be it an empty list, else what came with
 * the addresses (dnsConfSet). So do our kinds of these names, and macvlan and ipvlan, where the stock plugins lose what came with the
 * addresses. On a network of nethooks.ini, and after another plugin, each key counts by itself. The capability, which the stock
 * plugins do not know, replaces single keys.
 * @param addressed what came with the addresses
 * @returns `complete` when nothing is to be added to it, as with the stock plugins
 */
export function dnsSaid(
  { kind, dns, runtimeDns, ipam }: Pick<Conf, 'kind' | 'dns' | 'runtimeDns' | 'ipam'>,
  addressed: Dns,
): { dns: Dns; complete: boolean } {
  const asStock = kind !== 'network' && kind !== 'dns';
  if (asStock && dns !== null) return { dns: { ...dns, ...runtimeDns }, complete: true };
  return {
    dns: { ...present(addressed), ...dns, ...runtimeDns },
    complete: asStock && Boolean(ipam?.resolvConf),
  };
}

/** host-local's `resolvConf` (plugins/ipam/host-local/dns.go): every line counts, where resolv.conf(5) has the last search win. */
export function parseHostLocalDns(text: string): Dns {
  const lines = text.split('\n').map((line) => line.trim().split(/\s+/));
  const values = (key: string): string[][] =>
    lines.filter(([first, ...words]) => first === key && words.length > 0).map(([, ...words]) => words);
  return present({
    nameservers: values('nameserver').flatMap(([server]) => server ?? []),
    domain: values('domain').at(-1)?.[0],
    search: values('search').flat(),
    options: values('options').flat(),
  });
}

/** Without keys that say nothing. */
export function present(dns: { [key in keyof Dns]: Dns[key] | undefined }): Dns {
  return Object.fromEntries(Object.entries(dns).filter(([, value]) => value !== undefined && value.length > 0));
}
