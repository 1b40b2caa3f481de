/** What doctor asks, as data: pure functions from facts about the host to what is wrong with it. */
import type { NetworkConfig } from '../../model/config.ts';
import type { HostFacts } from '../../model/facts.ts';
import type { Finding } from '../../model/finding.ts';
import type { Published } from '../../model/policy.ts';
import type { Protocol } from '../../model/ports.ts';

/** A process that takes what comes to a port of the host. */
export interface ListenerFact {
  protocol: Protocol;
  /** 0.0.0.0 or :: for all. */
  address: string;
  port: number;
  /** In words: `named (pid 812)`. */
  owner: string;
}

/** A rule of `ip rule` that is not one of the kernel's own three. */
export interface RoutingRuleFact {
  priority: number;
  /** CIDR; `all`. */
  from: string;
  to: string;
  table: string;
}

export interface FileFact {
  path: string;
  /** Permission bits. */
  mode: number;
  uid: number;
}

/** A file system that we write to. */
export interface DiskFact {
  path: string;
  /** Bytes and inodes that are left; inodes are null where there is no limit. */
  freeBytes: number;
  freeInodes: number | null;
  /** Why nothing can be written; null where it can. */
  fault: string | null;
}

/** An LXC container by its configuration. */
export interface ContainerFact {
  name: string;
  /** Bridges that its interfaces join. */
  links: string[];
  /** Hooks of ours that it lacks although it is on a network of ours. */
  missingHooks: string[];
}

export interface CheckFacts {
  networks: readonly NetworkConfig[];
  host: HostFacts;
  /** Values below /proc/sys by path, for the keys of SYSCTLS and for each interface those of INTERFACE_SYSCTLS; null: not there. */
  sysctls: Readonly<Record<string, string | null>>;
  listeners: readonly ListenerFact[];
  rules: readonly RoutingRuleFact[];
  files: readonly FileFact[];
  disks: readonly DiskFact[];
  containers: readonly ContainerFact[];
  /** Ports that running containers publish. */
  published: readonly { name: string; port: Published }[];
  /** The bridge of Debian's lxc-net. */
  lxcBridge: string;
  /** What gc would take back, one line each. */
  leftovers: readonly string[];
}

/** Below /proc/sys. */
export const SYSCTLS = [
  'net/netfilter/nf_conntrack_count',
  'net/netfilter/nf_conntrack_max',
  'net/ipv4/conf/all/rp_filter',
  'net/ipv4/conf/all/forwarding',
] as const;

/** Of each bridge of ours and each uplink, below /proc/sys/net/ipv4/conf. */
export const INTERFACE_SYSCTLS = ['forwarding', 'rp_filter'] as const;
export const interfaceKey = (name: string, key: (typeof INTERFACE_SYSCTLS)[number]): string =>
  `net/ipv4/conf/${name}/${key}`;

/** What mends a finding without a risk for anything else. */
export type Fix =
  | { kind: 'up' }
  | { kind: 'gc' }
  | { kind: 'sysctl'; key: string; value: string }
  | { kind: 'mode'; path: string; mode: number };

/** One thing that is wrong. */
export interface Found extends Omit<Finding, 'id' | 'why' | 'about'> {
  /** `host` by default. */
  about?: string;
  /** What doctor --fix does about it; absent where that is for a person to decide. */
  fix?: Fix;
}

export interface Check {
  /** Stable, for scripts. */
  id: string;
  /** What it is about, for people. */
  title: string;
  /** Why it hurts. */
  why: string;
  find(facts: CheckFacts): Found[];
}

export const warning = (text: string, remedy: string | null = null): Found => ({ severity: 'warning', text, remedy });
export const missing = (text: string, remedy: string | null = null): Found => ({ severity: 'missing', text, remedy });
