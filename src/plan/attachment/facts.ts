/** What a plan of an attachment asks of the host, as plain data: gathered by src/attachment/facts.ts, made up by tests. */

import type { WrittenFiles } from '../../model/attachment.ts';
import type { ResolvConf } from '../../model/resolv-conf.ts';

export interface BridgeFact {
  mac: string;
  /** Bytes. */
  mtu: number;
  up: boolean;
  promisc: boolean;
  /** Whether somebody has set its MAC; else it takes on the lowest of its ports' (net/bridge/br_stp_if.c). */
  fixedMac: boolean;
  /** Its addresses with prefix length; null when nobody looked, as they do not matter. */
  addresses: string[] | null;
  /** What publishing and isolation ask of it; null when nobody looked, as it does not matter. */
  rules: {
    /** Whether bridged packets go through netfilter's IP hooks: of this bridge, or of all. */
    filtersBridged: { ipv4: boolean; ipv6: boolean };
    /** Whether route_localnet is on. */
    localnet: boolean;
  } | null;
}

/** What a plan asks about a bridge beside what it is. */
export interface BridgeQuestion {
  name: string;
  /** Its addresses, which takes a program. */
  addresses: boolean;
  rules: boolean;
}

/** What the kernel has. */
export interface LinkFacts {
  /** By name; null for one that is not there, or that nobody asked about. */
  bridges: Record<string, BridgeFact | null>;
  /** `1` where the host forwards; null when nobody looked, as no interface is made. */
  forwarding: { ipv4: string; ipv6: string } | null;
}

/** What files say. */
export interface FileFacts {
  /** Texts of the files that the plan may change, by path; null when not there. */
  files: Record<string, string | null>;
  /** The host's own resolver, for containers that are told its servers; null when nobody looked, as it does not matter. */
  hostResolver: ResolvConf | null;
  /** What stands in the container's files from earlier. */
  written: WrittenFiles | undefined;
  /** Whether networks' dnsmasq needs a reload to notice files that have gone (before 2.87). */
  reloads: boolean;
}
