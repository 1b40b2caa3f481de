/**
 * Publishing on 127.0.0.1 sets a bridge's route_localnet (src/engine/policy.ts). With a bridge of ours it goes; on one that was here
 * before it is taken back with the network.
 */
import type { NetworkConfig } from '../config/types.ts';
import type { HostFacts } from './facts.ts';
import { localnetNote } from './paths.ts';
import type { Step } from './step.ts';

/** Takes it back on bridges that are no network any more. */
export function planLocalnetDown(networks: NetworkConfig[], facts: HostFacts): Step[] {
  const ended = facts.localnet.filter((bridge) => !networks.some(({ name }) => name === bridge));
  return ended.flatMap((bridge): Step[] => {
    const note: Step = { kind: 'file', path: localnetNote(bridge), before: '', content: null };
    if (!facts.links.some(({ name }) => name === bridge)) return [note];
    const key = `net/ipv4/conf/${bridge}/route_localnet`;
    return [{ kind: 'sysctl', key, before: '1', value: '0' }, note];
  });
}
