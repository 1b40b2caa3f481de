/** The nftables table: a fixed number of rules, whatever the number of networks, uplinks and containers. */
import type { NetworkConfig } from '../config/types.ts';
import type { HostFacts, LinkFact } from './facts.ts';
import type { Step } from './step.ts';

export const TABLE = 'inet nethooks';

/** What was applied last: the script, and how nft lists the table right after it. */
export interface NftRecord {
  script: string;
  listing: string;
}

/** The uplinks a network masquerades behind now: those configured that are up. `*` needs no list. */
export function activeUplinks(network: NetworkConfig, links: LinkFact[]): string[] {
  if (network.uplinks === '*') return [];
  return network.uplinks.filter((name) => links.some((link) => link.name === name && link.up));
}

/**
 * The table as one nft(8) transaction. Chains are flushed and written anew; sets keep what containers put into them, only
 * those that follow from the configuration are refilled.
 *
 *   oifname @bridges return                   between our own networks nothing is translated
 *   ip saddr @subnets masquerade           uplinks = *
 *   ip saddr . oifname @uplinks masquerade    uplinks = eth0, eth1
 */
export function ruleset(networks: NetworkConfig[], links: LinkFact[]): string {
  const masqueraded = networks.filter((network) => network.masquerade);
  const everywhere = masqueraded.filter((network) => network.uplinks === '*').map((network) => network.subnet);
  const pairs = masqueraded.flatMap((network) =>
    activeUplinks(network, links).map((uplink) => `${network.subnet} . "${uplink}"`),
  );
  const fill = (set: string, elements: string[]): string[] => [
    `flush set ${TABLE} ${set}`,
    ...(elements.length > 0 ? [`add element ${TABLE} ${set} { ${elements.join(', ')} }`] : []),
  ];
  return [
    `add table ${TABLE}`,
    `add set ${TABLE} bridges { type ifname; }`,
    `add set ${TABLE} subnets { type ipv4_addr; flags interval; }`,
    `add set ${TABLE} uplinks { type ipv4_addr . ifname; flags interval; }`,
    ...fill(
      'bridges',
      networks.map((network) => `"${network.name}"`),
    ),
    ...fill('subnets', everywhere),
    ...fill('uplinks', pairs),
    `add chain ${TABLE} postrouting { type nat hook postrouting priority 100; policy accept; }`,
    `flush chain ${TABLE} postrouting`,
    `add rule ${TABLE} postrouting oifname @bridges return`,
    `add rule ${TABLE} postrouting ip saddr @subnets masquerade`,
    `add rule ${TABLE} postrouting ip saddr . oifname @uplinks masquerade`,
    '',
  ].join('\n');
}

/** Nothing when the kernel still has what was applied and that is what is wanted, else the transaction. */
export function planFirewall(networks: NetworkConfig[], facts: HostFacts, record: NftRecord | null): Step[] {
  const script = ruleset(networks, facts.links);
  if (facts.nft !== null && record?.script === script && record.listing === facts.nft) return [];
  return [{ kind: 'nft', script, undo: restore(facts.nft) }];
}

/** Removes the table. */
export function planFirewallDown(facts: HostFacts): Step[] {
  return facts.nft === null ? [] : [{ kind: 'nft', script: REMOVE, undo: restore(facts.nft) }];
}

/** `add` first, because deleting a table that is not there is an error (nft(8) got `destroy` only in 1.0.7). */
const REMOVE = `add table ${TABLE}\ndelete table ${TABLE}\n`;

const restore = (listing: string | null): string => (listing === null ? REMOVE : `${REMOVE}${listing}`);
