/**
 * What the admin refuses by port on the host's own chain INPUT, `ufw deny 8080`, holds for a published port as well. Its packets are
 * translated and forwarded, so that chain never sees them: rules in FORWARD that ask for the port as it was say the same of them.
 */
import type { Condition, Filter, FilterRule } from './filter.ts';

/** A rule about packets that go on by a bridge, for iptables-restore, without comment. */
export interface Denial {
  match: (bridge: string) => string;
  target: 'ACCEPT' | 'DROP';
}

/** In the order of the rules that they repeat: refusals by port, and what is let through before them. */
export function denials(input: Filter): Denial[] {
  const rules = reached(input, input.rules).flatMap((rule) => aboutPorts(rule) ?? []);
  const denied = new Set(rules.flatMap(({ target, ports }) => (target === 'DROP' ? ports : [])));
  return rules.flatMap(({ target, ports, rest }) =>
    ports
      .filter((port) => denied.has(port))
      .map((port) => ({
        target,
        match: (bridge: string): string =>
          [
            ...option(rest.from, '-s'),
            ...option(rest.in, '-i'),
            `-o ${bridge}`,
            ...option(rest.protocol, '-p'),
            '-m conntrack --ctstate DNAT',
            ...option(rest.to?.replace('/32', ''), '--ctorigdst'),
            `--ctorigdstport ${port.replace('-', ':')} --ctdir ORIGINAL`,
          ].join(' '),
      })),
  );
}

/** The rules that a packet may come to: those of the chain, and of the chains that it jumps to for everybody. */
function reached(filter: Filter, rules: FilterRule[]): FilterRule[] {
  return rules.flatMap((rule) => {
    const { verdict, conditions } = rule;
    if (verdict === null || typeof verdict === 'string') return [rule];
    const target = 'jump' in verdict ? verdict.jump : verdict.goto;
    return conditions.length === 0 ? reached(filter, filter.chains[target] ?? []) : [];
  });
}

type Asked = Partial<Record<NonNullable<Condition['about']>, string>>;

/** null for a rule about something else, or about more than can be repeated. */
function aboutPorts({
  conditions,
  verdict,
}: FilterRule): { target: Denial['target']; ports: string[]; rest: Asked } | null {
  const port = conditions.find(({ about }) => about === 'port');
  const others = conditions.filter((condition) => condition !== port);
  const plain = others.every(
    ({ about, values, negated }) => about !== null && REPEATED.includes(about) && values.length === 1 && !negated,
  );
  if (!port || port.negated || !plain || (verdict !== 'drop' && verdict !== 'accept')) return null;
  // A range over all ports is a catch-all.
  const ports = port.values.filter((range) => !/^[01]-65535$/.test(range));
  const rest = Object.fromEntries(others.map(({ about, values }) => [about, values[0]])) as Asked;
  return { target: verdict === 'drop' ? 'DROP' : 'ACCEPT', ports, rest };
}

const REPEATED: Condition['about'][] = ['protocol', 'from', 'to', 'in'];

const option = (value: string | undefined, name: string): string[] =>
  value === undefined ? [] : [`${name} ${value.replace(/\*$/, '+')}`];
