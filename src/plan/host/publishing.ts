/**
 * What published ports need of a bridge beside rules. src/plan/attachment/attach.ts has it set when a container starts; here is what `up` puts
 * back under containers that run, and what is taken back with a network.
 */
import type { NetworkConfig } from '../../model/config.ts';
import type { HostFacts } from '../../model/facts.ts';
import { localnetNote } from '../../model/paths.ts';
import { needsLocalnet, type Policy } from '../../model/policy.ts';
import type { Step } from '../../model/step.ts';

/** Of a container on one of our networks. */
type PublishedPolicy = Policy & { network: string };

/** The steps; on bridges that are no network any more route_localnet goes back, where it was ours. */
export function planPublishing(networks: NetworkConfig[], facts: HostFacts): Step[] {
  const policies = facts.policies.flatMap(({ network, ...policy }) =>
    networks.some(({ name }) => name === network) ? [{ ...policy, network: network as string }] : [],
  );
  return [...planLocalnet(networks, policies, facts), ...planHairpin(networks, policies, facts)];
}

function planLocalnet(networks: NetworkConfig[], policies: PublishedPolicy[], facts: HostFacts): Step[] {
  const { noted, on } = facts.localnet;
  const needed = new Set(policies.filter(needsLocalnet).map(({ network }) => network));
  const ended = noted.filter((bridge) => !networks.some(({ name }) => name === bridge));
  return [
    ...[...needed]
      .filter((bridge) => !on.includes(bridge))
      .flatMap((bridge) => [sysctl(bridge, 1), note(bridge, noted, true)]),
    ...ended.flatMap((bridge) => [...(on.includes(bridge) ? [sysctl(bridge, 0)] : []), note(bridge, noted, false)]),
  ];
}

const sysctl = (bridge: string, value: 0 | 1): Step => ({
  kind: 'sysctl',
  key: `net/ipv4/conf/${bridge}/route_localnet`,
  before: String(1 - value),
  value: String(value),
});

const note = (bridge: string, noted: string[], wanted: boolean): Step => ({
  kind: 'file',
  path: localnetNote(bridge),
  before: noted.includes(bridge) ? '' : null,
  content: wanted ? '' : null,
});

/** Where bridged packets are translated, what a container sends to itself by way of the host goes back through its own port. */
function planHairpin(networks: NetworkConfig[], policies: PublishedPolicy[], facts: HostFacts): Step[] {
  const translated = (bridge: string): boolean =>
    facts.filtersAllBridges ||
    networks.some(({ name, icc }) => name === bridge && !icc) ||
    facts.links.some(({ name, filtersBridged }) => name === bridge && filtersBridged);
  const ports = policies
    .filter(({ publish, network }) => publish.length > 0 && translated(network))
    .flatMap(({ port, network }) => facts.links.filter((link) => link.index === port && link.master === network));
  const off = ports.filter(({ hairpin }) => !hairpin).map(({ name }) => name);
  const set = (value: 'on' | 'off') => off.map((name) => `link set dev ${name} type bridge_slave hairpin ${value}`);
  return off.length > 0 ? [{ kind: 'ip', commands: set('on'), undo: set('off') }] : [];
}
