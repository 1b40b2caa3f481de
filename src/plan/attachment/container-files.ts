/** What a container is told about names, and what others know it by: pure. */
import { type NameDefaults, type NetworkConfig, overlay } from '../../model/config.ts';
import { dnsName } from '../../model/names.ts';
import type { ResolvConf } from '../../model/resolv-conf.ts';

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
export function containerResolvConf({ own, network, linkDomain, host }: Asking): ResolvConf | null {
  const said = network ? overlay(own, network.containers) : own;
  const ours = network?.dns === true;
  const first = (...lists: string[][]): string[] => lists.find((list) => list.length > 0) ?? [];
  const nameservers = first(
    said.dns,
    ours ? [network.address] : [],
    network?.dnsUpstream ?? [],
    host.nameservers.filter((server) => !isLoopback(server)),
  );
  if (nameservers.length === 0) return null;
  const search = first(said.dnsSearch, network ? [...(linkDomain ? [linkDomain] : []), network.domain] : host.search);
  return {
    nameservers,
    search: search.length === 1 && search[0] === '.' ? [] : search,
    options: first(said.dnsOption, ours || said.dns.length > 0 ? [] : host.options),
  };
}

const isLoopback = (server: string): boolean => server.startsWith('127.') || server === '::1';

/** The address of a link's child, as the parent needs it for names. */
export interface LinkName {
  alias: string;
  /** The child's container name. */
  container: string;
  /** The child's address. */
  to: string;
}

export interface HostsWish {
  /** Null: as LXC's configuration has it, which is not ours to write. */
  hostname: string | null;
  /** The container's own address; null on no network of ours. */
  address: string | null;
  /** What `host-gateway` means; null on no network of ours. */
  gateway: string | null;
  extraHost: NameDefaults['extraHost'];
  links: readonly LinkName[];
}

/** Our lines in a container's /etc/hosts; none when nothing is asked for. */
export function hostsLines({ hostname, address, gateway, extraHost, links }: HostsWish): string[] {
  const line = (to: string, names: (string | null)[]): string => [to, ...new Set(names.filter(Boolean))].join(' ');
  return [
    ...(hostname === null ? [] : [line(address ?? '127.0.1.1', [hostname, hostname.split('.')[0] as string])]),
    ...extraHost.flatMap(({ name, address: to }) => {
      const target = to === 'host-gateway' ? gateway : to;
      return target === null ? [] : [line(target, [name])];
    }),
    ...links.map(({ alias, container, to }) => line(to, [alias, dnsName(container)])),
  ];
}
