/**
 * icc = false needs to see what containers on one bridge send each other, which the bridge passes on below IP. Each such bridge
 * is told to send bridged packets through the IP hooks (ip-link(8), nf_call_iptables), where connections are tracked: the `inet`
 * chain `forward` then judges bridged and routed packets alike. Per bridge, so that nobody else's bridge changes. nft's bridge
 * family would need nf_conntrack_bridge and nft_meta_bridge, which not every kernel has.
 */
import type { NetworkConfig } from '../config/types.ts';
import { ALIAS } from './bridge.ts';
import type { HostFacts } from './facts.ts';
import type { Step } from './step.ts';

const call = (bridge: string, value: 0 | 1): string =>
  `link set dev ${bridge} type bridge nf_call_iptables ${value} nf_call_ip6tables ${value}`;

/** The steps that make bridges hand their packets over where containers are kept apart, and stop ours from it elsewhere. */
export function planIsolation(networks: NetworkConfig[], facts: HostFacts): Step[] {
  const now = (network: NetworkConfig) => facts.links.find(({ name }) => name === network.name);
  const starting = networks.filter((network) => !network.icc && !now(network)?.filtersBridged);
  const ending = networks.filter(
    (network) => network.icc && now(network)?.filtersBridged && now(network)?.alias === ALIAS,
  );
  const module: Step[] = starting.length > 0 && !facts.bridgeNetfilter ? [{ kind: 'bridge-netfilter' }] : [];
  const commands = [...starting.map(({ name }) => call(name, 1)), ...ending.map(({ name }) => call(name, 0))];
  // A bridge that this plan makes goes when the plan is taken back, and its setting with it.
  const undo = [
    ...starting.filter((network) => now(network)).map(({ name }) => call(name, 0)),
    ...ending.map(({ name }) => call(name, 1)),
  ];
  return commands.length > 0 ? [...module, { kind: 'ip', commands, undo }] : [];
}
