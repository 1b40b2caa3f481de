/** Looks at what a plan of an attachment is made from. Starts no program, but for bridges that are not ours. */
import { existsSync } from 'node:fs';
import { NethooksError } from '../errors.ts';
import { type Interface, ipv4Of, type Owner, type WrittenFiles } from '../model/attachment.ts';
import { DNSMASQ_RELOADS, RESOLV_CONF, toldMac, toldOptions, UPSTREAMS } from '../model/paths.ts';
import { parseResolvConf, type ResolvConf } from '../model/resolv-conf.ts';
import { asksHostResolver } from '../plan/attachment/container-files.ts';
import type { BridgeFact, BridgeQuestion, FileFacts, LinkFacts } from '../plan/attachment/facts.ts';
import { dhcpOptionsFile, domainsOf, namesFile, reservationFile } from '../plan/attachment/names.ts';
import type { AttachmentSpec } from '../plan/attachment/spec.ts';
import { hasFixedMac } from '../system/bridge.ts';
import { type Exec, failure } from '../system/exec.ts';
import { readText } from '../system/files.ts';

export function linkFacts(exec: Exec, bridges: readonly BridgeQuestion[], forwarding: boolean): LinkFacts {
  const read = (key: string): string => readText(`/proc/sys/net/${key}`)?.trim() ?? '';
  return {
    bridges: Object.fromEntries(bridges.map((question) => [question.name, bridgeFact(exec, question)])),
    forwarding: forwarding ? { ipv4: read('ipv4/ip_forward'), ipv6: read('ipv6/conf/all/forwarding') } : null,
  };
}

/** @param interfaces for the files of their names */
export const fileFacts = (
  owner: Owner,
  interfaces: readonly Interface[],
  files: AttachmentSpec['files'] = null,
  written?: WrittenFiles,
  read: (path: string) => string | null = readText,
): FileFacts => ({
  files: Object.fromEntries(nameFiles(owner, interfaces).map((path) => [path, read(path)])),
  hostResolver: files && asksHostResolver(files) ? hostResolver() : null,
  written,
  reloads: existsSync(DNSMASQ_RELOADS),
});

/** The files that say what interfaces are called, reserve their addresses, and have what else DHCP says. */
export const nameFiles = (owner: Owner, interfaces: readonly Interface[]): string[] => [
  ...domainsOf(interfaces).map((domain) => namesFile(domain, owner)),
  ...interfaces.flatMap((one) => {
    const address = ipv4Of(one);
    if (one.network === null || owner.kind !== 'lxc') return [];
    const told = address === null ? [] : [toldMac(one.network, address)];
    const options = [dhcpOptionsFile(one.network, owner, one.ifname), toldOptions(one.network, one.mac)];
    return [reservationFile(one.network, owner, one.ifname), ...told, ...(one.mac === '' ? [] : options)];
  }),
];

/** The host's own resolver: the servers that it asks in the end, search and options as its file says. */
function hostResolver(): ResolvConf {
  const { search, options } = parseResolvConf(readText(RESOLV_CONF) ?? '');
  return { nameservers: parseResolvConf(readText(UPSTREAMS) ?? '').nameservers, search, options };
}

const [IFF_UP, IFF_PROMISC] = [0x1, 0x100];

function bridgeFact(exec: Exec, { name, addresses, rules }: BridgeQuestion): BridgeFact | null {
  const read = (path: string): string => readText(`/sys/class/net/${name}/${path}`)?.trim() ?? '';
  const flags = Number.parseInt(read('flags'), 16);
  if (Number.isNaN(flags)) return null;
  const filters = (hook: string): boolean =>
    read(`bridge/nf_call_${hook}`) === '1' || readText(`/proc/sys/net/bridge/bridge-nf-call-${hook}`)?.trim() === '1';
  return {
    mac: read('address'),
    mtu: Number(read('mtu')),
    up: (flags & IFF_UP) !== 0,
    promisc: (flags & IFF_PROMISC) !== 0,
    fixedMac: hasFixedMac(name),
    addresses: addresses ? addressesOf(exec, name) : null,
    rules: rules
      ? {
          filtersBridged: { ipv4: filters('iptables'), ipv6: filters('ip6tables') },
          localnet: readText(`/proc/sys/net/ipv4/conf/${name}/route_localnet`)?.trim() === '1',
        }
      : null,
  };
}

function addressesOf(exec: Exec, name: string): string[] {
  const args = ['-json', 'address', 'show', 'dev', name];
  const result = exec('ip', args);
  if (result.code !== 0) throw new NethooksError(failure('ip', args, result));
  const [link] = JSON.parse(result.stdout) as { addr_info?: { local?: string; prefixlen?: number }[] }[];
  return (link?.addr_info ?? []).flatMap(({ local, prefixlen }) => (local ? [`${local}/${prefixlen}`] : []));
}
