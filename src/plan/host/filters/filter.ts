/**
 * What a packet meets in other people's packet filters, whether iptables-save or nft has listed them. A policy alone says little:
 * ufw drops by policy and accepts by rule what its own settings allow.
 *
 * A packet is described as far as it is known. A rule that asks for what is not known may or may not match, so it decides nothing.
 */
import { isAddress, overlaps, parseCidr } from '../../../model/address.ts';

export type Hook = 'input' | 'forward';

export interface Packet {
  hook: Hook;
  /** Interface it comes in by, and the one it leaves by. */
  in?: string | undefined;
  out?: string | undefined;
  /** The bridge, where the bridge itself is asked and the interfaces are its ports. */
  bridge?: string | undefined;
  /** CIDR. */
  from?: string | undefined;
  to?: string | undefined;
  /** What its destination is to this host: fib of nft(8), addrtype of iptables-extensions(8). */
  toType: 'local' | 'broadcast' | 'unicast';
  protocol?: 'udp' | 'tcp';
  /** Destination. */
  port?: number;
  state: 'new' | 'established';
  /** Whether its destination was translated: a published port. */
  translated: boolean;
}

/** A property of packets; `state` may also be `dnat`, and `family` is IPv4. */
type Property = 'in' | 'out' | 'bridge' | 'from' | 'to' | 'toType' | 'protocol' | 'port' | 'state' | 'family';

export interface Condition {
  /** null for what is not understood. */
  about: Property | null;
  /** One of them, or with `negated` none of them. Interfaces may end with `*`, ports may be ranges: `67-68`. */
  values: string[];
  negated: boolean;
}

export type Verdict = 'accept' | 'drop' | 'return' | { jump: string } | { goto: string };

export interface FilterRule {
  /** All of them. */
  conditions: Condition[];
  /** null for what lets the packet go on to the next rule, and for what is not understood. */
  verdict: Verdict | null;
}

/** A base chain, and the chains that it may jump to. */
export interface Filter {
  /** Family and name; empty for iptables'. */
  table: string;
  /** For people: `table inet filter, chain input`. */
  where: string;
  /** `bridge`: what a bridge passes on or up, by its ports. */
  level: 'ip' | 'bridge';
  hook: Hook;
  policy: 'accept' | 'drop';
  rules: FilterRule[];
  chains: Record<string, FilterRule[]>;
}

export interface Judgement {
  drops: boolean;
  /** How many rules of the base chain stand in front of the one that decides; all of them where the policy does. */
  at: number;
  /** Whether what drops it asks for its interfaces or addresses: somebody means it, and it is no catch-all. */
  meant: boolean;
}

/** What becomes of a packet in a base chain. */
export function judge(filter: Filter, packet: Packet): Judgement {
  for (const [at, rule] of filter.rules.entries()) {
    const outcome = follow(filter, [rule], packet, false);
    if (outcome === null) continue;
    // `return` in a base chain leaves it to the policy (nft(8), iptables(8)).
    if (outcome.verdict === 'return') break;
    return { drops: outcome.verdict === 'drop', at, meant: outcome.meant };
  }
  return { drops: filter.policy === 'drop', at: filter.rules.length, meant: false };
}

interface Outcome {
  verdict: 'accept' | 'drop' | 'return';
  meant: boolean;
}

/** The first certain verdict of a list of rules; null where the packet comes to its end. */
function follow(filter: Filter, rules: FilterRule[], packet: Packet, meant: boolean): Outcome | null {
  for (const { conditions, verdict } of rules) {
    if (verdict === null || !conditions.every((condition) => holds(condition, packet) === true)) continue;
    const named = meant || conditions.some(namesSomebody);
    if (typeof verdict === 'string') return { verdict, meant: named };
    const [target, back] = 'jump' in verdict ? [verdict.jump, true] : [verdict.goto, false];
    const outcome = follow(filter, filter.chains[target] ?? [], packet, named);
    if (outcome !== null && outcome.verdict !== 'return') return outcome;
    if (!back) return { verdict: 'return', meant: named };
  }
  return null;
}

const namesSomebody = ({ about, negated }: Condition): boolean =>
  !negated && (about === 'in' || about === 'out' || about === 'bridge' || about === 'from' || about === 'to');

/** Whether a condition holds; null where that is not known. */
function holds({ about, values, negated }: Condition, packet: Packet): boolean | null {
  if (about === null) return null;
  const answers = values.map((value) => fits(about, value, packet));
  const any = answers.includes(true) ? true : answers.includes(null) ? null : false;
  return any === null ? null : any !== negated;
}

function fits(about: Property, value: string, packet: Packet): boolean | null {
  switch (about) {
    case 'family':
      return value === 'ipv4';
    case 'state':
      return value === 'dnat' ? packet.translated : value === packet.state;
    case 'in':
    case 'out':
    case 'bridge':
      return known(packet[about], (name) =>
        value.endsWith('*') ? name.startsWith(value.slice(0, -1)) : name === value,
      );
    case 'from':
    case 'to':
      return known(packet[about], (cidr) => within(value, cidr));
    case 'port': {
      const [low, high = low] = value.split('-').map(Number) as [number, number?];
      return known(packet.port, (port) => low <= port && port <= high);
    }
    default:
      return known(packet[about], (word) => word === value);
  }
}

/** null for what may be either. */
function known<T>(value: T | undefined, test: (value: T) => boolean | null): boolean | null {
  return value === undefined ? null : test(value);
}

/** Whether all addresses of a CIDR are in the other; null for some of them. */
function within(outer: string, inner: string): boolean | null {
  if (!isCidr(outer)) return null;
  if (!overlaps(outer, inner)) return false;
  return prefixOf(outer) <= prefixOf(inner) || null;
}

const isCidr = (text: string): boolean => isAddress(text) || parseCidr(text) !== null;
const prefixOf = (cidr: string): number => Number(cidr.split('/')[1] ?? 128);
