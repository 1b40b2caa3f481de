/**
 * The networks that a host without a configuration had under an earlier installation: containers that are there have their addresses,
 * and bridges, from them.
 */
import { bare, type Cidr, isIPv4, overlaps, parseCidr, subnetCidr, toAddress, toNumber } from '../../model/address.ts';
import type { LinkFact, RouteFact } from '../../model/facts.ts';
import { isInterfaceName } from '../../model/names.ts';
import { ALIAS } from './bridge.ts';
import { freeSubnet } from './free-subnet.ts';

/** What somebody still knows of a network. */
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

/** The host as it is, and the traces, those that say most first. The networks in the order of their names. */
export function formerNetworks(traces: readonly Trace[], links: LinkFact[], routes: RouteFact[]): FormerNetwork[] {
  const isFree = (name: string): boolean => links.every((link) => link.name !== name || link.alias === ALIAS);
  const names = [...new Set(traces.map(({ network }) => network))].filter(
    (name) => isInterfaceName(name) && /^[a-z0-9]/i.test(name) && isFree(name),
  );
  const networks: FormerNetwork[] = [];
  for (const name of names.sort((a, b) => a.localeCompare(b, 'en', { numeric: true }))) {
    const own = traces.filter(({ network }) => network === name);
    const had = own.find(({ address }) => address !== null)?.address ?? covering(own.flatMap(({ held }) => held));
    const used = [
      ...routes.flatMap(({ device, destination }) => (device === name ? [] : [destination])),
      ...links.flatMap((link) => (link.name === name ? [] : link.addresses)),
      ...networks.map(({ address, prefix }) => `${address}/${prefix}`),
    ];
    const known = had === null ? null : parseCidr(had);
    if (known !== null && had !== null && !used.some((other) => overlaps(other, subnetCidr(had)))) {
      networks.push({ name, ...known, taken: null });
      continue;
    }
    const octets = freeSubnet(links, [...routes, ...used.map((destination) => ({ device: '', destination }))]);
    if (octets !== null) networks.push({ name, address: `${octets}.1`, prefix: 24, taken: had && subnetCidr(had) });
  }
  return networks;
}

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
