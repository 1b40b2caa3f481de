/** Base chains of tables that are neither ours nor iptables', from what `nft --json list ruleset` prints (libnftables-json(5)). */
import type { Condition, Filter, FilterRule, Hook, Verdict } from './filter.ts';

type Json = unknown;
type Fields = Record<string, Json>;

interface Chain {
  family: string;
  table: string;
  name: string;
  type?: string;
  hook?: string;
  policy?: string;
}

/** Which hooks of which families a packet of ours passes. */
const LEVELS: Record<string, Filter['level']> = { ip: 'ip', inet: 'ip', bridge: 'bridge' };

/**
 * Every base chain that judges what comes in or is passed on.
 * @param counts whether a table is somebody else's
 */
export function listedFilters(json: string, counts: (table: { family: string; name: string }) => boolean): Filter[] {
  const objects = (JSON.parse(json) as { nftables: Record<string, Fields | undefined>[] }).nftables;
  const all = (kind: string): Fields[] => objects.flatMap(({ [kind]: one }) => (one ? [one] : []));
  const chains = all('chain') as unknown as Chain[];
  const sets = new Map(
    [...all('set'), ...all('map')].map(({ family, table, name, elem }) => [
      place(family, table, name),
      (elem ?? []) as Json[],
    ]),
  );
  const rules = new Map<string, FilterRule[]>();
  for (const { family, table, chain, expr } of all('rule')) {
    const named = (name: string): Json[] | undefined => sets.get(place(family, table, name));
    const key = place(family, table, chain);
    rules.set(key, [...(rules.get(key) ?? []), ...parseRule(expr as Fields[], named)]);
  }
  return chains.flatMap(({ family, table, name, type, hook, policy }) => {
    const level = LEVELS[family];
    if (type !== 'filter' || (hook !== 'input' && hook !== 'forward') || !level || !counts({ family, name: table }))
      return [];
    const own = chains.filter((chain) => chain.family === family && chain.table === table);
    return [
      {
        table: `${family} ${table}`,
        where: `table ${family} ${table}, chain ${name}`,
        level,
        hook: hook as Hook,
        policy: policy === 'drop' ? 'drop' : 'accept',
        rules: rules.get(place(family, table, name)) ?? [],
        chains: Object.fromEntries(own.map((chain) => [chain.name, rules.get(place(family, table, chain.name)) ?? []])),
      },
    ];
  });
}

const place = (family: Json, table: Json, name: Json): string => `${family} ${table} ${name}`;

type Sets = (name: string) => Json[] | undefined;

/** A rule; one for each entry of a verdict map that it may end with. */
function parseRule(expr: Fields[], sets: Sets): FilterRule[] {
  const conditions: Condition[] = [];
  for (const statement of expr) {
    const [kind = '', body] = Object.entries(statement)[0] ?? [];
    if (kind === 'match') conditions.push(...matchOf(body as Fields, sets));
    else if (kind === 'vmap') return mapped(body as Fields, conditions, sets);
    else if (kind in VERDICTS) return [{ conditions, verdict: VERDICTS[kind]?.(body as Fields) ?? null }];
    else if (!HARMLESS.includes(kind)) conditions.push(UNKNOWN);
  }
  return [{ conditions, verdict: null }];
}

const VERDICTS: Record<string, (body: Fields) => Verdict> = {
  accept: () => 'accept',
  drop: () => 'drop',
  reject: () => 'drop',
  return: () => 'return',
  jump: ({ target }) => ({ jump: String(target) }),
  goto: ({ target }) => ({ goto: String(target) }),
};

/** Statements after which the packet goes on as it is. */
const HARMLESS = ['counter', 'log', 'mangle', 'notrack', 'ct helper', 'flow', 'set', 'map', 'comment'];

const UNKNOWN: Condition = { about: null, values: [], negated: false };

function mapped({ key, data }: Fields, conditions: Condition[], sets: Sets): FilterRule[] {
  const entries = elementsOf(data, sets);
  if (!entries) return [];
  return entries.flatMap((entry) => {
    if (!Array.isArray(entry)) return [];
    const [value, verdict] = entry as [Json, Fields];
    const own = { op: '==', left: key, right: value };
    return parseRule([{ match: own }, verdict], sets).map((rule) => ({
      ...rule,
      conditions: [...conditions, ...rule.conditions],
    }));
  });
}

/** What a match asks for, after what it takes for granted: `tcp dport` asks for TCP as well, and JSON does not say so. */
function matchOf({ op, left, right }: Fields, sets: Sets): Condition[] {
  const { protocol } = ((left as Fields).payload ?? {}) as Fields;
  const about = propertyOf(left);
  const values = elementsOf(right, sets)?.map(textOf);
  const understood = about && values && !values.includes(null) && (op === '==' || op === '!=' || op === 'in');
  const asked: Condition = understood ? { about, values: values as string[], negated: op === '!=' } : UNKNOWN;
  return [...(IMPLIED[String(protocol)] ?? []), asked];
}

const only = (about: Condition['about'], value: string): Condition[] => [{ about, values: [value], negated: false }];
const IMPLIED: Record<string, Condition[]> = {
  tcp: only('protocol', 'tcp'),
  udp: only('protocol', 'udp'),
  icmp: only('protocol', 'icmp'),
  icmpv6: only('family', 'ipv6'),
  ip6: only('family', 'ipv6'),
};

/** What an expression asks for, by the words of nft(8). */
const PROPERTIES: Record<string, Condition['about']> = {
  'meta iifname': 'in',
  'meta iif': 'in',
  'meta oifname': 'out',
  'meta oif': 'out',
  'meta ibrname': 'bridge',
  'meta obrname': 'bridge',
  'meta l4proto': 'protocol',
  'ip protocol': 'protocol',
  'ip saddr': 'from',
  'ip daddr': 'to',
  'udp dport': 'port',
  'tcp dport': 'port',
  'th dport': 'port',
  'ct state': 'state',
  'ct status': 'state',
  'meta nfproto': 'family',
  'meta protocol': 'family',
  'ether type': 'family',
};

function propertyOf(expression: Json): Condition['about'] {
  const [kind = '', body] = Object.entries((expression ?? {}) as Fields)[0] ?? [];
  const { key, protocol, field, result, flags } = (body ?? {}) as Fields;
  if (kind === 'payload') return PROPERTIES[`${protocol} ${field}`] ?? null;
  if (kind === 'fib') return result === 'type' && String(flags) === 'daddr' ? 'toType' : null;
  return PROPERTIES[`${kind} ${key}`] ?? null;
}

/** The elements of a set that stands in the rule or has a name; one value is a set of one. */
function elementsOf(right: Json, sets: Sets): Json[] | undefined {
  if (typeof right === 'string' && right.startsWith('@')) return sets(right.slice(1));
  if (Array.isArray(right)) return right;
  const { set } = (typeof right === 'object' ? right : {}) as Fields;
  return set === undefined ? [right] : Array.isArray(set) ? set : [set];
}

/** null for what is more than a word, a number, a range or a prefix. */
function textOf(element: Json): string | null {
  if (typeof element === 'string') return element === 'ip' ? 'ipv4' : element;
  if (typeof element === 'number') return String(element);
  const { elem, range, prefix } = (element ?? {}) as { elem?: Fields; range?: Json[]; prefix?: Fields };
  if (elem) return textOf(elem.val);
  if (prefix) return `${prefix.addr}/${prefix.len}`;
  return range?.every((end) => typeof end === 'number') ? range.join('-') : null;
}
