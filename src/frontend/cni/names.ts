/** A container's names, in the networks' dnsmasq, and what it is told about name servers. */
import { bare, contains, isV6 } from '../../model/address.ts';
import type { NetworkConfig } from '../../model/config.ts';
import { dnsName } from '../../model/names.ts';
import { RESOLV_CONF, UPSTREAMS } from '../../model/paths.ts';
import { parseResolvConf, upstreams } from '../../model/resolv-conf.ts';
import { readText } from '../../system/files.ts';
import type { Conf } from './conf.ts';
import { dnsSaid, present } from './dns.ts';
import type { Request } from './request.ts';
import { type Dns, isDefault, type Result } from './result.ts';

/**
 * What a container is called, the first name first: its pod's or container's name, else what its runtime makes its host name
 * (rkt: `rkt-UUID`; Docker and nerdctl: the first 12 digits of the id). containerd's clients put their namespace in front of the id.
 */
export function namesOf(
  { containerId, args }: Pick<Request, 'containerId' | 'args'>,
  aliases: readonly string[],
): string[] {
  const named = args.K8S_POD_NAME ?? args.NERDCTL_CNI_DHCP_HOSTNAME;
  const given = named ? [named] : aliases.length > 0 ? [] : [automatic(containerId)];
  const names = [...given, ...aliases].flatMap((name) => dnsName(name) ?? []);
  return [...new Set(names)];
}

function automatic(id: string): string {
  const [, digits] = /^(?:[A-Za-z0-9][A-Za-z0-9._-]*-)?([0-9a-f]{12})[0-9a-f]{52}$/.exec(id) ?? [];
  if (digits !== undefined) return digits;
  const [, inDefault] = /^default-(.+)$/.exec(id) ?? [];
  if (inDefault !== undefined) return inDefault;
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(id) ? `rkt-${id}` : id;
}

/** The network of ours that an attachment is on: the one that is named, whose bridge is joined, or whose subnet its address is in. */
export function networkOf(conf: Conf, networks: readonly NetworkConfig[], ips: Result['ips']): NetworkConfig | null {
  const name = conf.network ?? (conf.kind === 'bridge' ? conf.bridge : null);
  const named = networks.find((network) => network.name === name);
  if (named || conf.kind !== 'dns' || name !== null) return named ?? null;
  const addresses = ips.map(({ address }) => bare(address)).filter((address) => !isV6(address));
  return networks.find(({ subnet }) => addresses.some((address) => contains(subnet, address))) ?? networks[0] ?? null;
}

/**
 * The result's `dns`: what the runtime, the configuration or whoever manages the addresses says, else our network's, else the host's
 * own servers for whoever has a way to them. Never empty-handed without a reason: the runtime writes resolv.conf from it.
 */
export function dnsOf(
  conf: Conf,
  result: Result,
  network: NetworkConfig | null,
  networks: readonly NetworkConfig[],
): Dns {
  const said = dnsSaid(conf, result.dns);
  if (said.complete) return said.dns;
  const dns: Dns = { ...(network ? ofNetwork(network) : {}), ...said.dns };
  if (dns.nameservers || !result.routes.some(isDefault)) return dns;
  const servers = hostServers(networks);
  return servers.length > 0 ? { nameservers: servers, ...dns } : dns;
}

function ofNetwork({ dns, address, domain, dnsUpstream, containers }: NetworkConfig): Dns {
  const servers = [containers.dns, dns ? [address] : dnsUpstream].find((list) => list.length > 0);
  const search = containers.dnsSearch.length > 0 ? containers.dnsSearch.filter((word) => word !== '.') : [domain];
  return present({ ...(servers ? { nameservers: servers } : {}), domain, search, options: containers.dnsOption });
}

/** Those that are reached from a network namespace: none on the host's loopback. */
function hostServers(networks: readonly NetworkConfig[]): string[] {
  const own = networks.map(({ address }) => address);
  const known = readText(UPSTREAMS);
  const servers = known
    ? parseResolvConf(known).nameservers
    : upstreams({
        resolvConf: readText(RESOLV_CONF) ?? '',
        dnsmasqUplink: null,
        resolvedUplink: readText('/run/systemd/resolve/resolv.conf'),
        own,
        leases: [],
      });
  return servers.filter((server) => !server.startsWith('127.') && server !== '::1');
}
