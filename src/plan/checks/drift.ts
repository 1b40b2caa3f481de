/** What `up` would do, as findings: the same plan, so that nothing is checked in two ways. */
import { describe, type Fault, type Plan, type Step } from '../../model/step.ts';
import { type Found, missing } from './check.ts';

interface Kind {
  id: string;
  why: string;
}

const FILE: Kind = { id: 'file', why: 'a file of ours does not say what the configuration asks for' };
const RULES: Kind = { id: 'rules', why: 'packets are not translated, let through or kept apart as they should be' };
const DNSMASQ: Kind = {
  id: 'dnsmasq',
  why: 'nobody answers DHCP or DNS on the bridge, or with an earlier configuration',
};

/** By kind of step. */
const KINDS: Partial<Record<Step['kind'], Kind>> = {
  ip: { id: 'link', why: 'a bridge, an address or a port is not as it should be, so containers are cut off' },
  sysctl: { id: 'sysctl', why: 'the kernel does not forward what containers send, or not as it should' },
  nft: RULES,
  rules: { id: 'iptables', why: 'DHCP replies have no checksum, or iptables drops what containers need' },
  'bridge-netfilter': RULES,
  dnsmasq: DNSMASQ,
  'reload-dnsmasq': DNSMASQ,
  neighbour: { id: 'neighbour', why: 'another program does not know yet which interfaces and ports are ours' },
  resolver: { id: 'resolver', why: 'the host does not know the names of containers' },
};

const FAULTS: Record<Fault['by'], Kind> = {
  firewall: { id: 'foreign-firewall', why: 'what somebody else drops none of our rules can let through' },
  container: { id: 'restart', why: 'what it has lost comes back with its restart alone' },
  installation: { id: 'installation', why: 'hooks that are not there, or cannot be run, bring nothing' },
  'port-holder': { id: 'port-holder', why: 'what containers ask the host for reaches another program' },
};

export interface Drift extends Found, Kind {}

/** One finding for each step, and for each fault that no step mends. */
export const drift = (plan: Plan): Drift[] => [
  ...(plan.faults ?? []).map(({ by, text }) => ({ ...missing(text), ...FAULTS[by] })),
  ...plan.steps.map((step) => ({
    ...missing((describe(step)[0] ?? step.kind).replace(/:$/, ''), 'nethooks up'),
    ...(KINDS[step.kind] ?? FILE),
    fix: { kind: 'up' as const },
  })),
];
