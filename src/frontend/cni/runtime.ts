/** What the runtime asks for beside the configuration: capabilities (CNI's CONVENTIONS.md) and CNI_ARGS. Pure. */
import { isIPv4 } from '../../model/address.ts';
import type { Protocol } from '../../model/ports.ts';
import type { Wanted } from '../../plan/attachment/publish.ts';
import { present } from './dns.ts';
import { CniError, CODE } from './error.ts';
import { strings, text, wrong } from './fields.ts';
import { type Dns, isRecord } from './result.ts';

/** The capability has names of its own for the same things. */
export function runtimeDns(runtime: Record<string, unknown>): Dns {
  const dns = isRecord(runtime.dns) ? runtime.dns : {};
  return present({
    nameservers: strings(dns, 'servers'),
    search: strings(dns, 'searches'),
    options: strings(dns, 'options'),
  });
}

/** In all the places where host-local looks: CNI_ARGS, args.cni and the capability. */
export function wantedIps(
  conf: Record<string, unknown>,
  runtime: Record<string, unknown>,
  args: Record<string, string>,
): string[] {
  const all = [
    ...(args.IP ?? '').split(',').filter(Boolean),
    ...strings(cniArgs(conf), 'ips'),
    ...strings(runtime, 'ips'),
  ];
  return [...new Set(all.map((ip) => ip.split('/')[0] as string))].map((ip) => {
    if (isIPv4(ip) || /^(?=.*:.*:)[0-9a-f:.]+$/i.test(ip)) return ip;
    throw wrong('requested IP', ip, 'an IP address');
  });
}

/**
 * The MAC that is asked for, in lower case; null for any. The capability counts before `args.cni.mac`, that before CNI_ARGS
 * (stock bridge, loadNetConf), and the configuration's own `mac` last (stock macvlan, loadConf).
 * @throws CniError (config) when it is none
 */
export function wantedMac(
  conf: Record<string, unknown>,
  runtime: Record<string, unknown>,
  args: Record<string, string>,
): string | null {
  const mac = text(runtime, 'mac') ?? text(cniArgs(conf), 'mac') ?? text(args, 'MAC') ?? text(conf, 'mac');
  // The lowest bit of the first byte says that it is a group's.
  if (mac === null || /^[0-9a-f][02468ace](:[0-9a-f]{2}){5}$/i.test(mac)) return mac?.toLowerCase() ?? null;
  throw wrong('mac', mac, "six hexadecimal bytes with : in between, and no group's address: the first of them even");
}

/** `args.cni` (CNI's CONVENTIONS.md): what the runtime's user asks for, written into the configuration. */
function cniArgs({ args }: Record<string, unknown>): Record<string, unknown> {
  return isRecord(args) && isRecord(args.cni) ? args.cni : {};
}

/** A list; podman gives an object of lists by network. */
export function aliasesOf(value: unknown, network: string): string[] {
  const list = isRecord(value) ? value[network] : value;
  return Array.isArray(list) ? list.filter((alias) => typeof alias === 'string') : [];
}

/**
 * `portMappings`, which we take only on a network of nethooks.ini; elsewhere the stock portmap does it, chained after us.
 * @throws CniError (config) for ports that are none, (unsupported) for IPv6
 */
export function mappings({ portMappings = [] }: Record<string, unknown>): Wanted[] {
  if (!Array.isArray(portMappings) || !portMappings.every(isRecord))
    throw wrong('portMappings', portMappings, 'a list');
  return portMappings.map((entry) => {
    const [hostPort, containerPort] = [Number(entry.hostPort), Number(entry.containerPort)];
    const protocol = String(entry.protocol || 'tcp').toLowerCase();
    const address = String(entry.hostIP ?? '');
    for (const port of [hostPort, containerPort])
      if (!Number.isInteger(port) || port < 1 || port > 65535)
        throw wrong('portMappings', entry, 'ports from 1 to 65535');
    if (!['tcp', 'udp', 'sctp'].includes(protocol)) throw wrong('portMappings', entry, 'protocol tcp, udp or sctp');
    if (address !== '' && !isIPv4(address))
      throw new CniError(CODE.unsupported, 'portMappings: hostIP: IPv4 only', JSON.stringify(entry));
    return {
      protocol: protocol as Protocol,
      hostAddress: address === '' || address === '0.0.0.0' ? null : address,
      hostPorts: [hostPort],
      containerPort,
      text: `${address === '' ? '' : `${address}:`}${hostPort}:${containerPort}/${protocol}`,
    };
  });
}
