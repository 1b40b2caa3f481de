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
  /** Whether bridged packets go through netfilter's IP hooks: of this bridge, or of all. */
  filtersBridged: { ipv4: boolean; ipv6: boolean };
  /** Whether route_localnet is on. */
  localnet: boolean;
}

export interface AttachmentFacts {
  /** By name; null for one that is not there. */
  bridges: Record<string, BridgeFact | null>;
  /** Texts of the files that the plan may change, by path; null when not there. */
  files: Record<string, string | null>;
  /** The host's own resolver, for containers that are told its servers; null when nobody looked, as it does not matter. */
  hostResolver: ResolvConf | null;
  /** What stands in the container's files from earlier. */
  written: WrittenFiles | undefined;
  /** `1` where the host forwards; read only where an interface needs it. */
  forwarding: { ipv4: string; ipv6: string };
  /** Whether networks' dnsmasq needs a reload to notice files that have gone (before 2.87). */
  reloads: boolean;
}
