/** What stands in a container's own files: resolv.conf, hosts, hostname. Pure. */

import { type NameDefaults, type NetworkConfig, overlay } from '../../model/config.ts';
import type { DhcpOptions } from '../../model/dhcp-options.ts';
import { dnsName } from '../../model/names.ts';
import { type ResolvConf, renderResolvConf } from '../../model/resolv-conf.ts';
import type { ContainerFiles } from '../../model/step.ts';
import { dropIns } from './drop-ins.ts';
import { hostsEntry } from './hosts.ts';
import type { FilesSpec, LinkName } from './spec.ts';

/** Whom and how a container asks. */
export interface Asking {
  /** What the container says itself. */
  own: NameDefaults;
  /** Its first network; null when it is on none of ours. */
  network: NetworkConfig | null;
  /** The domain of its links' aliases, which only it searches; null without links. */
  linkDomain: string | null;
  /** The host's own resolver, for a network without DNS of ours: servers as the host asks them, not its stub. */
  host: ResolvConf;
}

/**
 * A container's resolv.conf, by Docker's rules (docker-run(1), --dns): explicit servers replace all others; a search of `.` is an
 * empty one; a copy of the host's leaves out servers on loopback, which would be the container itself. Null when nobody is left
 * to ask: a public server that nobody chose is never put in.
 */
export function containerResolvConf(asking: Asking): ResolvConf | null {
  const { own, network, host } = asking;
  const said = network ? overlay(own, network.containers) : own;
  const ours = network?.dns === true;
  const nameservers = first(
    said.dns,
    ours ? [network.address] : [],
    network?.dnsUpstream ?? [],
    host.nameservers.filter((server) => !isLoopback(server)),
  );
  if (nameservers.length === 0) return null;
  return {
    nameservers,
    search: searched(asking),
    options: first(said.dnsOption, ours || said.dns.length > 0 ? [] : host.options),
  };
}

function searched({ own, network, linkDomain, host }: Asking): string[] {
  const { dnsSearch } = network ? overlay(own, network.containers) : own;
  const search = first(dnsSearch, network ? [...(linkDomain ? [linkDomain] : []), network.domain] : host.search);
  return search.length === 1 && search[0] === '.' ? [] : search;
}

const first = (...lists: string[][]): string[] => lists.find((list) => list.length > 0) ?? [];

const isLoopback = (server: string): boolean => server.startsWith('127.') || server === '::1';

export interface HostsSpec {
  /** None: as LXC's configuration has it, which is not ours to write. */
  hostnames: readonly string[];
  /** The container's own address; null on no network of ours. */
  address: string | null;
  /** What `host-gateway` means; null on no network of ours. */
  gateway: string | null;
  extraHost: NameDefaults['extraHost'];
  links: readonly LinkName[];
}

/** Our lines in a container's /etc/hosts; none when nothing is asked for. */
export function hostsLines({ hostnames, address, gateway, extraHost, links }: HostsSpec): string[] {
  return [
    ...hostnames.map((name) => hostsEntry(address ?? '127.0.1.1', [name, name.split('.')[0] as string])),
    ...extraHost.flatMap(({ name, address: to }) => {
      const target = to === 'host-gateway' ? gateway : to;
      return target === null ? [] : [hostsEntry(target, [name])];
    }),
    ...links.map(({ alias, container, to }) => hostsEntry(to, [alias, dnsName(container) ?? alias])),
  ];
}

const NO_RESOLVER: ResolvConf = { nameservers: [], search: [], options: [] };

/** Whether resolv.conf may have to name the host's own servers. */
export const asksHostResolver = ({ options, network, resolvConf }: FilesSpec): boolean =>
  resolvConf === undefined && options.resolvConf !== 'none' && !(network?.dns === true && options.dns.length === 0);

/** The domain of its links' aliases; null without links. */
function linkDomain(name: string, network: NetworkConfig | null, links: readonly LinkName[]): string | null {
  const own = dnsName(name);
  return network && own !== null && links.length > 0 ? `${own}.${network.domain}` : null;
}

/** What its own DHCP client is told, so that it writes the same; null where the network's words are the container's, too. */
export function dhcpOptions({ name, options, network }: FilesSpec, links: readonly LinkName[]): DhcpOptions | null {
  const { dns, dnsSearch, hostname } = options;
  const asking = { own: options, network, linkDomain: linkDomain(name, network, links), host: NO_RESOLVER };
  const told: DhcpOptions = {
    ...(dns.length > 0 ? { dns } : {}),
    ...(dnsSearch.length > 0 || asking.linkDomain !== null ? { search: searched(asking) } : {}),
    ...(hostname === null ? {} : { hostname }),
  };
  return Object.keys(told).length > 0 ? told : null;
}

/**
 * What a container's files are to say. On another one's network, address and links are that one's.
 * @param links its links, with the addresses that they lead to
 * @param address its own; null on no network of ours
 * @param ifnames its interfaces on networks of ours
 */
export function containerFiles(
  { name, options, network, resolvConf, shared }: FilesSpec,
  links: readonly LinkName[],
  address: string | null,
  host: ResolvConf | null,
  ifnames: readonly string[] = [],
): { files: ContainerFiles; warnings: string[] } {
  if (resolvConf !== undefined)
    return {
      files: { resolvConf: { text: resolvConf, force: false }, hosts: [], hostname: null, dropIns: [] },
      warnings: [],
    };
  const on = shared ?? { name, address, hostnames: [], links };
  const says = options.dns.length + options.dnsSearch.length + options.dnsOption.length > 0;
  const skipped = options.resolvConf === 'none' || (!network && !says);
  const wanted = skipped
    ? null
    : containerResolvConf({
        own: options,
        network,
        linkDomain: linkDomain(on.name, network, on.links),
        host: host ?? NO_RESOLVER,
      });
  const hosts = hostsLines({
    hostnames: [...(options.hostname === null ? [] : [options.hostname]), ...on.hostnames],
    address: on.address,
    gateway: network?.address ?? null,
    extraHost: network ? overlay(options, network.containers).extraHost : options.extraHost,
    links: on.links,
  });
  return {
    files: {
      resolvConf: wanted && { text: renderResolvConf(wanted), force: options.resolvConf === 'force' },
      hosts,
      hostname: options.hostname,
      dropIns: dropIns(wanted, network && ifnames),
    },
    warnings:
      wanted || skipped
        ? []
        : ['resolv.conf: nobody to ask: the host has only servers on its loopback; `dns` names others'],
  };
}
