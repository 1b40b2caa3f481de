/** What dnsmasq reads about a container: names in DNS, and its address for DHCP. Pure. */
import { bare, isV6 } from '../../model/address.ts';
import { fileNameOf, type Interface, type Names, type Owner } from '../../model/attachment.ts';
import { dnsName } from '../../model/names.ts';
import { dhcpHostsDir, dhcpOptionsDir, namesDir } from '../../model/paths.ts';
import { hostsEntry } from './hosts.ts';
import type { LinkName } from './spec.ts';

/** A container's own names: its container name, where that can be one, then its aliases. */
export const ownNames = (container: string, aliases: readonly string[]): string[] => [
  ...new Set([dnsName(container), ...aliases].flatMap((name) => name ?? [])),
];

/** The names of its links' aliases: below the parent's own, which the parent alone searches. */
export function linkedNames(own: string | undefined, links: readonly LinkName[]): Names['linked'] {
  return own === undefined ? [] : links.map(({ alias, to }) => ({ name: `${alias}.${own}`, address: to }));
}

/**
 * The lines of one address in hosts(5): the full names first, as reverse look-ups give the first.
 * @param names bare
 */
export const hostsLine = (address: string, names: readonly string[], domain: string, short = true): string =>
  `${hostsEntry(
    address,
    names.flatMap((name) => (short ? [`${name}.${domain}`, name] : [`${name}.${domain}`])),
  )}\n`;

/**
 * An attachment's hosts file in one domain; empty without names.
 * @param granted the names that it has, bare
 */
export function hostsFile(
  interfaces: readonly Interface[],
  { own, linked }: Names,
  domain: string,
  granted: ReadonlySet<string>,
): string {
  const mine = own.filter((name) => granted.has(name));
  const addresses = interfaces.filter((one) => one.domain === domain).flatMap((one) => one.addresses.map(bare));
  return [
    ...(mine.length > 0 ? addresses.map((address) => hostsLine(address, mine, domain)) : []),
    ...linked
      .filter(({ name }) => granted.has(name))
      .map(({ name, address }) => hostsLine(address, [name], domain, false)),
  ].join('');
}

/** Every domain that it has names in. */
export const domainsOf = (interfaces: readonly Interface[]): string[] => [
  ...new Set(interfaces.flatMap(({ domain }) => domain ?? [])),
];

/** Where its names in a domain are. */
export const namesFile = (domain: string, owner: Owner): string => `${namesDir(domain)}/${fileNameOf(owner)}`;

/** Where the reservation of one of its interfaces is. */
export const reservationFile = (network: string, owner: Owner, ifname: string): string =>
  `${dhcpHostsDir(network)}/${fileNameOf(owner)}.${ifname}`;

/** Where it is what its DHCP client is told otherwise than the network says. */
export const dhcpOptionsFile = (network: string, owner: Owner, ifname: string): string =>
  `${dhcpOptionsDir(network)}/${fileNameOf(owner)}.${ifname}`;

/**
 * A reservation as dnsmasq reads it (dnsmasq(8), --dhcp-host): whoever has this MAC gets this address. No name in it: a lease
 * outlives the container, and its name would go on answering. No `set:TAG` either: dnsmasq 2.90 that reads such a line anew (SIGHUP)
 * after it has used it crashes. Empty without an IPv4 address.
 */
export function dhcpHost({ mac, addresses }: Interface): string {
  const address = addresses.find((one) => !isV6(one));
  return address === undefined ? '' : `${mac},${bare(address)}\n`;
}
