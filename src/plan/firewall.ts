/** The nftables table: a fixed number of rules, whatever the number of networks, uplinks and containers. */
import type { NetworkConfig } from '../config/types.ts';
import type { HostFacts, LinkFact } from './facts.ts';
import type { Step } from './step.ts';

export const TABLE = 'inet nethooks';

/** What follows from the configuration; sets that hold containers are not in here, and survive. */
export interface Table {
  /** Name to type (nft(8), SETS) and elements. */
  sets: Record<string, { type: string; elements: string[] }>;
  /** Name to hook and rules, both in the words that nft itself prints. */
  chains: Record<string, { hook: string; rules: string[] }>;
}

/** The uplinks a network masquerades behind now: those configured that are up. `*` needs no list. */
export function activeUplinks(network: NetworkConfig, links: LinkFact[]): string[] {
  if (network.uplinks === '*') return [];
  return network.uplinks.filter((name) => links.some((link) => link.name === name && link.up));
}

/**
 * The table as it should be.
 *
 *   oifname @bridges return                   between our own networks nothing is translated
 *   ip saddr @subnets masquerade              uplinks = *
 *   ip saddr . oifname @uplinks masquerade    uplinks = eth0, eth1
 */
export function wantedTable(networks: NetworkConfig[], links: LinkFact[]): Table {
  const masqueraded = networks.filter((network) => network.masquerade);
  const pairs = masqueraded.flatMap((network) =>
    activeUplinks(network, links).map((uplink) => `${network.subnet} . "${uplink}"`),
  );
  return {
    sets: {
      bridges: { type: 'type ifname;', elements: networks.map((network) => `"${network.name}"`) },
      subnets: {
        type: 'type ipv4_addr; flags interval;',
        elements: masqueraded.filter((network) => network.uplinks === '*').map((network) => network.subnet),
      },
      uplinks: { type: 'type ipv4_addr . ifname; flags interval;', elements: pairs },
    },
    chains: {
      postrouting: {
        hook: 'type nat hook postrouting priority srcnat; policy accept;',
        rules: ['oifname @bridges return', 'ip saddr @subnets masquerade', 'ip saddr . oifname @uplinks masquerade'],
      },
    },
  };
}

/** What `nft list table` printed: elements by set, rules by chain. Counters are left out. */
export function parseListing(listing: string): { sets: Record<string, string[]>; chains: Record<string, string[]> } {
  const sets: Record<string, string[]> = {};
  const chains: Record<string, string[]> = {};
  for (const [, kind, name = '', body = ''] of listing.matchAll(/^\t(set|map|chain) (\S+) \{\n(.*?)^\t\}/gms)) {
    if (kind === 'chain') {
      const lines = body.split('\n').map((line) => line.replace(/ counter packets \d+ bytes \d+/, '').trim());
      chains[name] = lines.filter((line) => line !== '' && !/^type \S+ hook /.test(line));
    } else {
      const elements = /elements = \{(.*?)\}/s.exec(body)?.[1] ?? '';
      sets[name] = elements.split(',').flatMap((element) => element.trim() || []);
    }
  }
  return { sets, chains };
}

/** One transaction from what is there to what is wanted; nothing when they agree. */
export function planFirewall(networks: NetworkConfig[], facts: HostFacts): Step[] {
  const script = transaction(wantedTable(networks, facts.links), facts.nft);
  return script === '' ? [] : [{ kind: 'nft', script, undo: restore(facts.nft) }];
}

/** Removes the table. */
export function planFirewallDown(facts: HostFacts): Step[] {
  return facts.nft === null ? [] : [{ kind: 'nft', script: REMOVE, undo: restore(facts.nft) }];
}

/** Only differences: flushing a set makes the kernel wait, 10 ms of a 4 ms transaction. */
function transaction({ sets, chains }: Table, listing: string | null): string {
  const now = parseListing(listing ?? '');
  const lines: string[] = listing === null ? [`add table ${TABLE}`] : [];
  for (const [name, { type, elements }] of Object.entries(sets)) {
    const present = now.sets[name];
    const change = (verb: string, list: string[]): string[] =>
      list.length > 0 ? [`${verb} element ${TABLE} ${name} { ${list.join(', ')} }`] : [];
    if (!present) lines.push(`add set ${TABLE} ${name} { ${type} }`);
    lines.push(...change('delete', present?.filter((element) => !elements.includes(element)) ?? []));
    lines.push(
      ...change(
        'add',
        elements.filter((element) => !present?.includes(element)),
      ),
    );
  }
  for (const [name, { hook, rules }] of Object.entries(chains)) {
    const present = now.chains[name];
    if (present?.join('\n') === rules.join('\n')) continue;
    lines.push(present ? `flush chain ${TABLE} ${name}` : `add chain ${TABLE} ${name} { ${hook} }`);
    lines.push(...rules.map((rule) => `add rule ${TABLE} ${name} ${rule}`));
  }
  return lines.map((line) => `${line}\n`).join('');
}

/** `add` first, because deleting a table that is not there is an error (nft(8) got `destroy` only in 1.0.7). */
const REMOVE = `add table ${TABLE}\ndelete table ${TABLE}\n`;

const restore = (listing: string | null): string => (listing === null ? REMOVE : `${REMOVE}${listing}`);
