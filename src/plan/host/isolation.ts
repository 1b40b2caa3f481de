/**
 * icc = false needs to see what containers on one bridge send each other, which the bridge passes on below IP. Each such bridge
 * is told to send bridged packets through the IP hooks (ip-link(8), nf_call_iptables), where connections are tracked: the `inet`
 * chain `forward` then judges bridged and routed packets alike. Per bridge, so that nobody else's bridge changes. nft's bridge
 * family would need nf_conntrack_bridge and nft_meta_bridge, which not every kernel has.
 */
import type { NetworkConfig } from '../../model/config.ts';
import type { HostFacts } from '../../model/facts.ts';
import type { Step } from '../../model/step.ts';
import { ALIAS } from './bridge.ts';
import { parseListing } from './nft-listing.ts';

const call = (bridge: string, value: 0 | 1): string =>
  `link set dev ${bridge} type bridge nf_call_iptables ${value} nf_call_ip6tables ${value}`;

/** Bridges that keep their containers apart now. */
const isolatedNow = (facts: HostFacts): string[] =>
  (parseListing(facts.nft ?? '').sets.isolated ?? []).map((name) => name.replaceAll('"', ''));

/** Bridges that are no network any more, but stay because of the containers on them: those were promised to be kept apart. */
export function guardedBridges(networks: NetworkConfig[], facts: HostFacts): string[] {
  return isolatedNow(facts).filter(
    (bridge) => !networks.some(({ name }) => name === bridge) && facts.links.some(({ master }) => master === bridge),
  );
}

/** The steps that make bridges hand their packets over where containers are kept apart, and stop them from it elsewhere. */
export function planIsolation(networks: NetworkConfig[], facts: HostFacts): Step[] {
  const find = (bridge: string) => facts.links.find(({ name }) => name === bridge);
  const apart = networks.filter(({ icc }) => !icc).map(({ name }) => name);
  const starting = apart.filter((bridge) => !find(bridge)?.filtersBridged);
  // A bridge of ours that goes needs nothing more; one that was here before is left as it was.
  const candidates = [
    ...networks.filter(({ icc, name }) => icc && find(name)?.alias === ALIAS).map(({ name }) => name),
    ...isolatedNow(facts).filter((bridge) => find(bridge)?.alias !== ALIAS),
  ];
  const kept = [...apart, ...guardedBridges(networks, facts)];
  const ending = [...new Set(candidates)].filter((bridge) => find(bridge)?.filtersBridged && !kept.includes(bridge));
  const module: Step[] = starting.length > 0 && !facts.bridgeNetfilter ? [{ kind: 'bridge-netfilter' }] : [];
  const commands = [...starting.map((bridge) => call(bridge, 1)), ...ending.map((bridge) => call(bridge, 0))];
  // A bridge that this plan makes goes when the plan is taken back, and its setting with it.
  const undo = [
    ...starting.filter((bridge) => find(bridge)).map((bridge) => call(bridge, 0)),
    ...ending.map((bridge) => call(bridge, 1)),
  ];
  return commands.length > 0 ? [...module, { kind: 'ip', commands, undo }] : [];
}
