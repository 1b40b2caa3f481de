/** From what is wanted and what is there to the steps in between: the one plan that `up`, `down` and the ifupdown hooks apply. */
import sysctlTemplate from '../../../templates/sysctl.conf.mustache' with { type: 'text' };
import { bare } from '../../model/address.ts';
import type { HostConfig, NetworkConfig } from '../../model/config.ts';
import type { HostFacts } from '../../model/facts.ts';
import type { HostRecord } from '../../model/host-record.ts';
import { HOOK_LIMITS, SYSCTL_FILE } from '../../model/paths.ts';
import type { Plan, Step } from '../../model/step.ts';
import { antispoofWarnings } from './antispoof.ts';
import { ALIAS, cidrOf, planBridge, planBridgesDown } from './bridge.ts';
import { planDnsmasq, planDnsmasqDown } from './dnsmasq.ts';
import { foreignDrops } from './filters/foreign.ts';
import { planFirewall, planFirewallDown } from './firewall.ts';
import { bringsRules, planFirewalld } from './firewalld.ts';
import { planDefaultConf, planDefaultConfDown } from './lxc-default.ts';
import { planManagers } from './managers.ts';
import { heldPorts } from './port-holders.ts';
import { planResolver } from './resolver.ts';
import { planRules, planRulesDown } from './rules.ts';
import { planSystemDnsmasq, planSystemDnsmasqDown } from './system-dnsmasq.ts';

export interface HostSpec {
  host: HostConfig;
  /** The networks that are to be up; all others of the record come down. */
  networks: NetworkConfig[];
  /** Where our LXC hooks are; null when they are not installed. */
  hooks: string | null;
}

/** The steps from `facts` to `spec`. Empty when the host is as the specification says. */
export function planHost(spec: HostSpec, facts: HostFacts, record: HostRecord): Plan {
  const { networks } = spec;
  const named = (list: { name: string }[], name: string): boolean => list.some((one) => one.name === name);
  const stale = record.networks.filter((old) => !named(networks, old.name));
  /** Our addresses on a bridge, by what was applied. */
  const applied = (name: string): string[] =>
    record.networks
      .filter((old) => old.name === name && !record.found.includes(`${name} ${cidrOf(old)}`))
      .map((old) => cidrOf(old));
  // A bridge of ours that no record names had containers on it when its network went.
  const left = facts.links.filter(
    ({ name, alias }) => alias === ALIAS && !named(networks, name) && !named(stale, name),
  );
  const { going, ...down } = planBridgesDown(
    [...stale, ...left].map(({ name }) => ({ name, addresses: applied(name) })),
    facts,
  );
  const answering = networks.filter((network) => network.dns).map((network) => network.address);
  const gone = record.networks.map((old) => old.address).filter((address) => !answering.includes(address));
  const none = networks.length === 0;
  const firewalld = none ? [] : planFirewalld(networks, facts);
  return join([
    // Files that outlive a reboot, as those of planFilesDown.
    only(none ? [] : planManagers(networks, facts)),
    only(planDnsmasqDown(stale, facts)),
    ...networks.map((network) => {
      const known = named(record.networks, network.name);
      return planBridge(network, facts, { stale: applied(network.name), going, known });
    }),
    only(none ? planForwardingDown(facts, record, stale) : planForwarding(facts)),
    only(none ? [] : planSystemDnsmasq(spec.host, networks, facts)),
    only(planDnsmasq(networks, facts)),
    only(planHookLimits(spec.host, none, facts)),
    only(none ? planFirewallDown(facts) : planFirewall(networks, facts)),
    { steps: [], warnings: [...antispoofWarnings(networks, facts), ...sourceWarnings(networks, facts)], refusals: [] },
    { steps: [], warnings: [], refusals: none ? [] : [facts.adminRules?.fault ?? []].flat() },
    only(firewalld),
    none ? only(planRulesDown(facts, record)) : { ...planRules(networks, facts, bringsRules(firewalld)), refusals: [] },
    {
      ...only([]),
      faults: [
        ...foreignDrops(networks, facts).map((text) => ({ by: 'firewall' as const, text })),
        ...heldPorts(networks, facts).map((text) => ({ by: 'port-holder' as const, text })),
      ],
    },
    planResolver(spec.host, networks, facts, gone),
    only(networks[0] && spec.hooks ? planDefaultConf(networks[0].name, spec.hooks, facts) : []),
    down,
  ]);
}

/** What to remember once the plan is applied. */
export function recordAfter(plan: Plan, spec: HostSpec, facts: HostFacts, record: HostRecord): HostRecord {
  const found = spec.networks.flatMap((network) => {
    const key = `${network.name} ${cidrOf(network)}`;
    if (record.found.includes(key)) return [key];
    const applied = record.networks.some((old) => `${old.name} ${cidrOf(old)}` === key);
    const link = facts.links.find(({ name }) => name === network.name);
    return !applied && link && link.alias !== ALIAS && link.addresses.includes(cidrOf(network)) ? [key] : [];
  });
  const { host, networks } = spec;
  const first =
    record.ipForwardBefore === null &&
    plan.steps.some((step) => step.kind === 'sysctl' && step.key === 'net/ipv4/ip_forward');
  const { ipForwardBefore, bridgesBefore } = first
    ? { ipForwardBefore: facts.ipForward, bridgesBefore: bridges(facts) }
    : record;
  const mangleMade = record.mangleMade || plan.steps.some((step) => step.kind === 'rules' && step.mangle === true);
  return { host, networks, ipForwardBefore, bridgesBefore, mangleMade, found };
}

/** What to remember while a plan is carried out: all that is up, or may be by then, and what there was before any of it. */
export function recordDuring(before: HostRecord, after: HostRecord): HostRecord {
  const going = before.networks.filter(({ name }) => !after.networks.some((network) => network.name === name));
  const isUp = after.networks.length > 0;
  return {
    ...(isUp ? after : before),
    networks: [...after.networks, ...going],
    found: [...new Set([...before.found, ...after.found])],
  };
}

/** Takes back what `up` wrote into files that outlive a reboot. */
export function planFilesDown(facts: HostFacts): Step[] {
  const before = facts.files[SYSCTL_FILE] ?? null;
  const sysctl: Step[] = before === null ? [] : [{ kind: 'file', path: SYSCTL_FILE, before, content: null }];
  return [
    ...planDefaultConfDown(facts),
    ...sysctl,
    ...planFirewalld([], facts),
    ...planSystemDnsmasqDown(facts),
    ...planManagers([], facts),
  ];
}

function planForwarding(facts: HostFacts): Step[] {
  const before = facts.files[SYSCTL_FILE] ?? null;
  const file: Step[] =
    before === sysctlTemplate ? [] : [{ kind: 'file', path: SYSCTL_FILE, before, content: sysctlTemplate }];
  const now: Step[] =
    facts.ipForward === '1'
      ? []
      : [{ kind: 'sysctl', key: 'net/ipv4/ip_forward', before: facts.ipForward, value: '1' }];
  return [...now, ...file];
}

const bridges = (facts: HostFacts): string[] =>
  facts.links.filter((link) => link.kind === 'bridge').map((link) => link.name);

/** Forwarding goes back to what it was, unless another bridge has come meanwhile, and to rely on it. */
function planForwardingDown(facts: HostFacts, record: HostRecord, stale: NetworkConfig[]): Step[] {
  const before = record.ipForwardBefore;
  const known = [...record.bridgesBefore, ...stale.map((old) => old.name)];
  const others = bridges(facts).some((name) => !known.includes(name));
  const masquerades = facts.policies.some(({ masquerade }) => masquerade.length > 0);
  if (before === null || before === facts.ipForward || others || masquerades) return [];
  return [{ kind: 'sysctl', key: 'net/ipv4/ip_forward', before: facts.ipForward, value: before }];
}

/** For the hooks' shims: a few at once for each CPU, as each waits for programs and the kernel in between. */
function planHookLimits({ hooksAtOnce, hookTimeout }: HostConfig, none: boolean, facts: HostFacts): Step[] {
  const before = facts.files[HOOK_LIMITS] ?? null;
  const slots = hooksAtOnce === 'auto' ? Math.max(2, 2 * facts.processors) : hooksAtOnce;
  const content = none ? null : `${slots} ${hookTimeout}\n`;
  return before === content ? [] : [{ kind: 'file', path: HOOK_LIMITS, before, content }];
}

/** Addresses to send from that the host has not: answers come only if somebody leads them here, so nobody is refused. */
function sourceWarnings(networks: NetworkConfig[], { policies, links }: HostFacts): string[] {
  const own = new Set(links.flatMap(({ addresses }) => addresses.map(bare)));
  const wanted = [
    ...networks.map(({ name, source }) => ({ who: `network ${name}`, source })),
    ...policies.map(({ address, source }) => ({ who: address, source: source?.to ?? null })),
  ];
  return wanted.flatMap(({ who, source }) =>
    source === null || own.has(source)
      ? []
      : [`source = ${source} (${who}): no interface has this address; answers come only if somebody routes them here`],
  );
}

const only = (steps: Step[]): Plan => ({ steps, warnings: [], refusals: [] });

function join(plans: Plan[]): Plan {
  return {
    steps: plans.flatMap((plan) => plan.steps),
    warnings: plans.flatMap((plan) => plan.warnings),
    faults: plans.flatMap((plan) => plan.faults ?? []),
    refusals: plans.flatMap((plan) => plan.refusals),
  };
}
