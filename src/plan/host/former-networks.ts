/**
 * The networks that a host without a configuration had under an earlier installation: containers that are there have their addresses,
 * and bridges, from them.
 */
import { bare, type Cidr, isIPv4, overlaps, parseCidr, subnetCidr, toAddress, toNumber } from '../../model/address.ts';
import type { LinkFact, RouteFact } from '../../model/facts.ts';
import { isInterfaceName } from '../../model/names.ts';
import { ALIAS } from './bridge.ts';
import { freeSubnet } from './free-subnet.ts';

/** What is still known of a network; lists of them begin with those that say most. */
export interface Trace {
  /** Its name, which is its bridge's. */
  network: string;
  /** The bridge's address; null where that is not known. */
  address: Cidr | null;
  /** Addresses of containers on it. */
  held: readonly string[];
}

export interface FormerNetwork {
  name: string;
  address: string;
  prefix: number;
  /** The subnet that it had and somebody else uses now; null when it is the one it had, or nobody knows. */
  taken: Cidr | null;
}

/** @returns them in the order of their names */
export function formerNetworks(traces: readonly Trace[], links: LinkFact[], routes: RouteFact[]): FormerNetwork[] {
  const networks: FormerNetwork[] = [];
  for (const { name, had } of namedIn(traces, links)) {
    const others = [
      ...routes.flatMap(({ device, destination }) => (device === name ? [] : [destination])),
      ...links.flatMap((link) => (link.name === name ? [] : link.addresses)),
      ...networks.map(({ address, prefix }) => `${address}/${prefix}`),
    ];
    const known = had === null ? null : parseCidr(had);
    if (known !== null && had !== null && !others.some((other) => overlaps(other, subnetCidr(had)))) {
      networks.push({ name, ...known, taken: null });
      continue;
    }
    const octets = freeSubnet(links, [...routes, ...others.map((destination) => ({ device: '', destination }))]);
    if (octets !== null) networks.push({ name, address: `${octets}.1`, prefix: 24, taken: had && subnetCidr(had) });
  }
  return networks.sort((a, b) => byName(a.name, b.name));
}

/** Each network with the address that its bridge had. Those of which it is known come first: the others' are guesses. */
function namedIn(traces: readonly Trace[], links: readonly LinkFact[]): { name: string; had: Cidr | null }[] {
  const isFree = (name: string): boolean => links.every((link) => link.name !== name || link.alias === ALIAS);
  const networks = [...new Set(traces.map(({ network }) => network))]
    .filter((name) => isInterfaceName(name) && isFree(name))
    .sort(byName)
    .map((name) => {
      const own = traces.filter(({ network }) => network === name);
      const known = own.find(({ address }) => address !== null)?.address ?? null;
      return { name, known, had: known ?? covering(own.flatMap(({ held }) => held)) };
    });
  return [...networks.filter(({ known }) => known !== null), ...networks.filter(({ known }) => known === null)];
}

const byName = (a: string, b: string): number => a.localeCompare(b, 'en', { numeric: true });

/** The first address of the smallest subnet, a /24 at least, that has all of these; null without any. */
function covering(addresses: readonly string[]): Cidr | null {
  const numbers = addresses.map(bare).filter(isIPv4).map(toNumber);
  if (numbers.length === 0) return null;
  const [low, high] = [Math.min(...numbers), Math.max(...numbers)];
  let size = 256;
  while (Math.floor(low / size) !== Math.floor(high / size)) size *= 2;
  const prefix = 32 - Math.log2(size);
  return prefix < 8 ? null : `${toAddress(Math.floor(low / size) * size + 1)}/${prefix}`;
}
