import type { NetworkConfig } from '../../model/config.ts';
import type { HostFacts } from '../../model/facts.ts';
import { activeUplinks } from '../host/firewall.ts';

/** Interfaces that containers get out by now. */
export const uplinksOf = (network: NetworkConfig, host: HostFacts): string[] =>
  network.uplinks === '*'
    ? host.defaultDevice === null
      ? []
      : [host.defaultDevice]
    : activeUplinks(network, host.links);
