import type { HostConfig, NetworkConfig } from './config.ts';

/** What was applied, and what is needed to take it back whatever the configuration says by then. */
export interface HostRecord {
  host: HostConfig;
  networks: NetworkConfig[];
  /** The value of net.ipv4.ip_forward that we found when we set it; null when it was set already. */
  ipForwardBefore: string | null;
  /** The bridges of others that were there when we set it, and do not need it. */
  bridgesBefore: string[];
  /** Whether iptables made its table `mangle` for our rule: it never removes one itself. */
  mangleMade: boolean;
  /** Addresses that somebody else's bridge had before we used it, as `BRIDGE ADDRESS/PREFIX`: they stay. */
  found: string[];
}

export const EMPTY_RECORD: HostRecord = {
  host: { resolver: 'auto', hooksAtOnce: 'auto', hookTimeout: 5 },
  networks: [],
  ipForwardBefore: null,
  bridgesBefore: [],
  mangleMade: false,
  found: [],
};
