/** The few rules that must live in iptables' own chains. */
import type { NetworkConfig } from '../../model/config.ts';
import type { HostFacts } from '../../model/facts.ts';
import type { HostRecord } from '../../model/host-record.ts';
import type { Plan, Rule, Step } from '../../model/step.ts';
import { denials } from './filters/denials.ts';
import { judge } from './filters/filter.ts';
import { savedFilter } from './filters/iptables.ts';
import { needsOf } from './filters/needs.ts';

const TAG = '-m comment --comment nethooks';

/**
 * dnsmasq's replies leave the host with a checksum that hardware should finish and a veth never does: DHCP clients that read
 * raw packets drop them. Native nft has no statement for this, so it is iptables on every host (iptables-extensions(8), CHECKSUM).
 */
export function checksumRule(bridge: string): Rule {
  return {
    table: 'mangle',
    chain: 'POSTROUTING',
    match: `-o ${bridge} -p udp -m udp --dport 68 ${TAG} -j CHECKSUM --checksum-fill`,
  };
}

/** Where a rule stands: behind how many rules of others in its chain. */
interface Placed extends Rule {
  behind: number;
}

/**
 * An accept in our own table does not outweigh a drop in somebody else's base chain. Where iptables drops what a network needs, a rule of
 * ours goes in front of what drops it, and behind everything else: the admin's own refusals stand before it. What is dropped by a rule
 * that names the network's interfaces or addresses is meant to be, so it is only said.
 */
function openings(networks: NetworkConfig[], facts: HostFacts): { rules: Placed[]; warnings: string[] } {
  const input = savedFilter(facts.iptables, 'input', isForeign);
  const forward = savedFilter(facts.iptables, 'forward', isForeign);
  const filters = { input, forward };
  const rules: Placed[] = [];
  const warnings: string[] = [];
  for (const { network, what, packets, iptables } of networks.flatMap((network) => needsOf(network, facts))) {
    const [judged, ...more] = packets.flatMap((packet) => {
      const judgement = judge(filters[packet.hook], packet);
      return judgement.drops ? [{ ...judgement, filter: filters[packet.hook] }] : [];
    });
    if (!judged) continue;
    const { filter } = judged;
    if ([judged, ...more].some(({ meant }) => meant)) {
      warnings.push(`${filter.where} drops ${what.replace('%', network)}, by a rule that means it`);
      continue;
    }
    const behind = Math.min(judged.at, ...more.map(({ at }) => at));
    rules.push(placed(CHAINS[filter.hook], `${iptables} ${TAG} -j ACCEPT`, behind));
  }
  const first = Math.min(
    forward.rules.length,
    ...rules.flatMap(({ chain, behind }) => (chain === 'FORWARD' ? behind : [])),
  );
  const refusals = networks.flatMap(({ name }) =>
    denials(input).map(({ match, target }) => placed('FORWARD', `${match(name)} ${TAG} -j ${target}`, first)),
  );
  return { rules: [...refusals, ...rules], warnings };
}

const CHAINS = { input: 'INPUT', forward: 'FORWARD' } as const;
const placed = (chain: string, match: string, behind: number): Placed => ({ table: 'filter', chain, match, behind });

/**
 * What brings iptables to what the networks need; rules of ours that no network needs any more go.
 * @param brought whether firewalld is about to bring the checksum rules
 */
export function planRules(
  networks: NetworkConfig[],
  facts: HostFacts,
  brought = false,
): Pick<Plan, 'steps' | 'warnings'> {
  const checksums = networks.filter((network) => network.dhcp).map((network) => checksumRule(network.name));
  const { rules: opened, warnings } = openings(networks, facts);
  const [mangled, filtering] = partition(ownRules(facts), ({ table }) => table === 'mangle');
  const stale = mangled.filter((rule) => !checksums.some((wanted) => same(wanted, rule)));
  const missing = brought ? [] : checksums.filter((rule) => !mangled.some((present) => same(present, rule)));
  // Their order counts, so a chain where anything differs is written anew.
  const differs = ({ chain }: Rule): boolean => inOrder(chain, filtering) !== inOrder(chain, opened);
  const mangle = mangleLines(facts).length === 0;
  return {
    steps: [
      step('delete', [...stale, ...filtering.filter(differs)]),
      step('append', missing).map((one) => (mangle ? { ...one, mangle } : one)),
      step('insert', numbered(opened.filter(differs))),
    ].flat(),
    warnings,
  };
}

/** The rules of a chain as they follow one another, with those of others between them. */
const inOrder = (name: string, rules: Placed[]): string =>
  [...rules]
    .sort((a, b) => a.behind - b.behind)
    .flatMap(({ chain, behind, match }) => (chain === name ? `${behind} ${match}\n` : []))
    .join('');

/** Rules with the numbers at which they are inserted, the last of a chain first: so none moves those that are there already. */
const numbered = (rules: Placed[]): Rule[] =>
  rules
    .map(({ behind, ...rule }) => ({ ...rule, number: behind + 1 }))
    .reverse()
    .sort((a, b) => b.number - a.number);

/** Every rule of ours, whichever network it was for, and the table that was made for them if nobody else has come to use it. */
export function planRulesDown(facts: HostFacts, { mangleMade }: HostRecord): Step[] {
  const rules = ownRules(facts);
  const lines = mangleLines(facts);
  const others = lines.filter((line) => !rules.some(({ chain, match }) => line === `-A ${chain} ${match}`));
  // A table with what iptables does not understand is not listed at all, and none of ours any more.
  const mangle = mangleMade && lines.length > 0 && others.every((line) => /^:\S+ ACCEPT /.test(line));
  return mangle ? [{ kind: 'rules', action: 'delete', rules, mangle }] : step('delete', rules);
}

const mangleLines = ({ iptables }: HostFacts): string[] =>
  iptables.filter(({ table }) => table === 'mangle').map(({ line }) => line);

/** Our rules among those that iptables-save lists: those with our comment. */
export function ownRules(facts: HostFacts): Placed[] {
  const counts = new Map<string, { all: number; others: number }>();
  return facts.iptables.flatMap(({ table, line }): Placed[] => {
    const [, chain = '', match = ''] = /^-A (\S+) (.*)$/.exec(line) ?? [];
    if (chain === '' || (table !== 'mangle' && table !== 'filter')) return [];
    const count = counts.get(`${table} ${chain}`) ?? { all: 0, others: 0 };
    counts.set(`${table} ${chain}`, count);
    count.all++;
    if (isForeign(line)) {
      count.others++;
      return [];
    }
    return [{ table, chain, match, number: count.all, behind: count.others }];
  });
}

const isForeign = (line: string): boolean => !line.includes(`${TAG} `);

/** Those that pass a test, and the others. */
const partition = <T>(list: T[], test: (one: T) => boolean): [T[], T[]] => [
  list.filter(test),
  list.filter((one) => !test(one)),
];

const same = (a: Rule, b: Rule): boolean => a.table === b.table && a.chain === b.chain && a.match === b.match;

const step = (action: 'insert' | 'append' | 'delete', rules: Rule[]): Step[] =>
  rules.length > 0 ? [{ kind: 'rules', action, rules }] : [];
