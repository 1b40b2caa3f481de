/**
 * Tables of nft that somebody else made. An accept is final in its own base chain only, so what one of them drops no rule of ours can let
 * through: it is said, with the lines that its owner has to add.
 */
import type { NetworkConfig } from '../../../model/config.ts';
import type { HostFacts } from '../../../model/facts.ts';
import { FIREWALLD } from '../nft-listing.ts';
import { type Filter, judge, type Packet } from './filter.ts';
import { type Need, needsOf } from './needs.ts';
import { listedFilters } from './nft.ts';

/** One fault for each base chain that drops something. */
export function foreignDrops(networks: NetworkConfig[], facts: HostFacts): string[] {
  return drops(networks, facts).flatMap(({ filter, dropped }) => {
    const list = forNetworks(
      dropped,
      ({ what }) => what,
      (names) => names.join(' and '),
    ).join(', ');
    // firewalld is spoken to otherwise; what it drops all the same, somebody has told it to.
    if (filter.table === FIREWALLD)
      return isZoned(dropped, facts) ? [`firewalld drops ${list}, by rules of its own`] : [];
    const lines = forNetworks(dropped, ({ nft }) => `${nft} accept`, nftNames).join('; ');
    return [`${filter.where} drops ${list}; no other table can let it through. Add to that chain: ${lines}`];
  });
}

/** Whether firewalld drops what networks need because their bridges are in none of its zones. */
export const isUnzoned = (networks: NetworkConfig[], facts: HostFacts): boolean =>
  drops(networks, facts).some(({ filter, dropped }) => filter.table === FIREWALLD && !isZoned(dropped, facts));

const isZoned = (needs: Need[], { firewalld }: HostFacts): boolean =>
  needs.every(({ network }) => firewalld?.zoned?.includes(network));

interface Dropped {
  filter: Filter;
  dropped: Need[];
}

function drops(networks: NetworkConfig[], facts: HostFacts): Dropped[] {
  if (facts.others === null) return [];
  const iptables = new Set(facts.iptables.map(({ table }) => table));
  const filters = listedFilters(facts.others, ({ family, name }) => isForeign(family, name, iptables));
  return filters.flatMap((filter) => {
    const dropped = networks.flatMap((network) => needsFor(filter, network, facts)).filter(isDroppedBy(filter));
    return dropped.length > 0 ? [{ filter, dropped }] : [];
  });
}

/** The same text about several networks once. */
function forNetworks(needs: Need[], text: (need: Need) => string, join: (names: string[]) => string): string[] {
  const names = new Map<string, string[]>();
  for (const need of needs) names.set(text(need), [...(names.get(text(need)) ?? []), need.network]);
  return [...names].map(([template, list]) => template.replaceAll('%', join(list)));
}

const nftNames = (names: string[]): string => {
  const list = names.map((name) => `"${name}"`).join(', ');
  return names.length > 1 ? `{ ${list} }` : list;
};

/** Tables that are neither ours nor iptables', whose rules iptables-save says. */
const isForeign = (family: string, name: string, iptables: ReadonlySet<string>): boolean =>
  name !== 'nethooks' && !(family === 'ip' && iptables.has(name));

const isDroppedBy =
  (filter: Filter) =>
  ({ packets }: Need): boolean =>
    packets.some((packet) => packet.hook === filter.hook && judge(filter, packet).drops);

function needsFor({ level }: Filter, network: NetworkConfig, facts: HostFacts): Need[] {
  return level === 'ip' ? needsOf(network, facts) : bridgeNeeds(network);
}

/** What a bridge has to take in and pass on itself, where interfaces are its ports. */
function bridgeNeeds({ name, subnet, icc }: NetworkConfig): Need[] {
  const frame = { bridge: name, from: subnet, state: 'new', translated: false } as const;
  const need = (what: string, packet: Packet): Need => ({
    network: name,
    what: `${what} %`,
    packets: [packet],
    iptables: '',
    nft: 'meta ibrname %',
  });
  return [
    need('what containers ask the host over', { ...frame, hook: 'input', toType: 'local' }),
    ...(icc ? [need('what containers say each other on', { ...frame, hook: 'forward', toType: 'unicast' })] : []),
  ];
}
