/** Base chains of iptables' table `filter` from what iptables-save prints. */
import type { Condition, Filter, FilterRule, Hook, Verdict } from './filter.ts';

/** A line of iptables-save with its table. */
export interface SavedLine {
  table: string;
  line: string;
}

/**
 * The base chain of a hook, with every rule of its table.
 * @param counts whether a rule, as iptables-save prints it, belongs to the picture
 */
export function savedFilter(saved: readonly SavedLine[], hook: Hook, counts: (line: string) => boolean): Filter {
  const name = hook === 'input' ? 'INPUT' : 'FORWARD';
  const lines = saved.filter(({ table, line }) => table === 'filter' && (line.startsWith(':') || counts(line)));
  const chains: Record<string, FilterRule[]> = {};
  let policy: Filter['policy'] = 'accept';
  for (const { line } of lines) {
    const [, chain = '', said] = /^:(\S+) (\S+)/.exec(line) ?? [];
    if (chain === '') continue;
    chains[chain] = [];
    if (chain === name && said === 'DROP') policy = 'drop';
  }
  for (const { line } of lines) {
    const [, chain, text] = /^-A (\S+) (.*)$/.exec(line) ?? [];
    if (chain !== undefined) chains[chain]?.push(parseRule(text as string, chains));
  }
  return { table: '', where: `iptables' chain ${name}`, level: 'ip', hook, policy, rules: chains[name] ?? [], chains };
}

/** Options that ask for a property. */
const OPTIONS: Record<string, NonNullable<Condition['about']>> = {
  '-i': 'in',
  '-o': 'out',
  '-s': 'from',
  '-d': 'to',
  '-p': 'protocol',
  '--dport': 'port',
  '--dports': 'port',
  '--ctstate': 'state',
  '--state': 'state',
  '--dst-type': 'toType',
};

/** Matches that by themselves ask for nothing beyond those options. */
const PLAIN_MATCHES = ['udp', 'tcp', 'multiport', 'conntrack', 'state', 'addrtype', 'comment'];

/** How iptables spells what Condition spells otherwise. */
const SPELLING: Partial<Record<NonNullable<Condition['about']>, (word: string) => string>> = {
  in: (name) => name.replace(/\+$/, '*'),
  out: (name) => name.replace(/\+$/, '*'),
  port: (range) => range.replace(':', '-'),
  state: (name) => name.toLowerCase(),
  toType: (type) => type.toLowerCase(),
};

interface Option {
  name: string;
  negated: boolean;
  values: string[];
}

function parseRule(text: string, chains: Record<string, unknown>): FilterRule {
  const conditions: Condition[] = [];
  for (const option of optionsOf(text)) {
    const { name, values } = option;
    const target = values[0] ?? '';
    // What comes behind the target says how, not which packets.
    if (name === '-j' || name === '-g') return { conditions, verdict: verdictOf(name, target, chains) };
    if (name === '--comment' || (name === '-m' && PLAIN_MATCHES.includes(target))) continue;
    conditions.push(conditionOf(option));
  }
  return { conditions, verdict: null };
}

function optionsOf(text: string): Option[] {
  const options: Option[] = [];
  let negated = false;
  for (const word of text.match(/"(?:\\.|[^"])*"|\S+/g) ?? []) {
    if (word === '!') negated = true;
    else if (!word.startsWith('-')) options.at(-1)?.values.push(word);
    else {
      options.push({ name: word, negated, values: [] });
      negated = false;
    }
  }
  return options;
}

function conditionOf({ name, negated, values: [value = ''] }: Option): Condition {
  const about = OPTIONS[name];
  if (!about) return { about: null, values: [], negated };
  return { about, values: value.split(',').map(SPELLING[about] ?? ((word) => word)), negated };
}

function verdictOf(option: '-j' | '-g', target: string, chains: Record<string, unknown>): Verdict | null {
  if (target === 'ACCEPT') return 'accept';
  if (target === 'DROP' || target === 'REJECT') return 'drop';
  if (target === 'RETURN') return 'return';
  if (!(target in chains)) return null;
  return option === '-g' ? { goto: target } : { jump: target };
}
