/** What the host has, as plain data: gathered by src/host/facts.ts, made up by tests. */
import type { AntispoofModes } from './antispoof.ts';
import type { Interface } from './attachment.ts';
import type { Policy } from './policy.ts';

export interface LinkFact {
  name: string;
  /** `bridge`, `veth`, … as `ip -d link` says; empty for hardware. */
  kind: string;
  mac: string;
  /** Bytes. */
  mtu: number;
  up: boolean;
  /** ifalias, which is how a bridge of ours is known. */
  alias: string;
  /** Name or number: ip-link(8), `group`. */
  group: string;
  /** The bridge it is a port of, or empty. */
  master: string;
  /** IPv4 addresses with their prefix length: `10.0.0.1/24`. */
  addresses: string[];
  /** Whether the internet may know it by an address: by a public IPv4 one, or by IPv6 where it has no private IPv4 one. */
  exposed: boolean;
  /** Of a bridge: whether somebody has set its MAC; else it takes on the lowest of its ports'. */
  fixedMac: boolean;
  /** Of a bridge: whether what it passes on goes through the IP hooks of netfilter, IPv4 and IPv6. */
  filtersBridged: boolean;
  /** ifindex. */
  index: number;
  /** Of a bridge's port: whether it sends back what came in by it. */
  hairpin: boolean;
}

export interface RouteFact {
  /** CIDR. */
  destination: string;
  device: string;
}

export interface DnsmasqFact {
  conf: string | null;
  /** null when none of ours runs. */
  pid: number | null;
  /** Whether its file says so: else it was found by its command line. */
  noted: boolean;
  /** What it started with is not there any more, by which only a new one does its work; null when it is, or nobody knows. */
  outdated: 'directories' | 'bridge' | null;
  /** Whether it is stopped (SIGSTOP), or does not answer where somebody asked. */
  hung: boolean;
}

/** The dnsmasq of Debian's package of that name, which serves this host or its LAN. */
export interface SystemDnsmasqFact {
  /** null when it does not run. */
  pid: number | null;
  /** Whether there are files of others in /etc/dnsmasq.d. */
  hasDropIns: boolean;
  /** Whether its configuration has it read them. */
  readsDropIns: boolean;
  /** What its configuration says without our file: how it binds, and whom it serves. */
  setsBinding: boolean;
  setsAccess: boolean;
}

/** A socket on port 53 or 67, not ours, that takes what is meant for our daemons. */
export interface PortHolder {
  port: number;
  protocol: 'tcp' | 'udp';
  /** 0.0.0.0 or :: for all. */
  address: string;
  /** Networks whose daemons it is in the way of. */
  networks: string[];
  /** null when it is not known. */
  owner: { pid: number; name: string } | null;
}

export interface ResolverFact {
  /** Who manages the host's resolv.conf. */
  kind: 'resolved' | 'resolvconf' | 'dnsmasq' | 'file';
  /** /etc/resolv.conf; null when there is none. */
  text: string | null;
  /** Where it points if it is a symlink, else null. */
  link: string | null;
  /** Interface to the servers and domains that are registered for it, with resolved and resolvconf. */
  registered: Record<string, { servers: string[]; domains: string[] }>;
}

export interface HostFacts {
  links: LinkFact[];
  /** Without default routes. */
  routes: RouteFact[];
  /** Interface of the default route, or null. */
  defaultDevice: string | null;
  ipForward: string;
  /** `nft list table` of our tables, ports of bridges by their ifindex; null when there is none. */
  nft: string | null;
  /** Whether nft can check what ports of bridges send, and where it is noted to do so. */
  antispoof: { supported: boolean; noted: AntispoofModes };
  /** The text of the admin's own rules, and what nft says against it; null when there are none. */
  adminRules: { text: string; fault: string | null } | null;
  /** Whether what any bridge passes on goes through the IP hooks (net.bridge.bridge-nf-call-iptables). */
  filtersAllBridges: boolean;
  /** Whether the kernel has br_netfilter, built in or loaded. */
  bridgeNetfilter: boolean;
  /** Bridges whose route_localnet is on, and those where that is our doing. */
  localnet: { on: string[]; noted: string[] };
  /** What running containers should have in the table. */
  policies: Policy[];
  /** The interfaces of each running attachment that is on a network which checks what it sends, or is to. */
  attached: Interface[][];
  /** Addresses of running containers of which nobody knows what they should have there. */
  unsure: string[];
  /**
   * `nft --json list ruleset`, where tables that are neither ours nor iptables' may drop what comes in or is passed on; else null.
   */
  others: string | null;
  /** null when firewalld is not installed. `zoned` has the interfaces in our zone while it runs, else null. */
  firewalld: { zoned: string[] | null } | null;
  /** The lines of iptables-save with their table: `*filter`, `-A …`, `:FORWARD DROP`. */
  iptables: { table: string; line: string }[];
  /** Texts of the files a plan may change; null when not there. */
  files: Record<string, string | null>;
  /** By network. */
  dnsmasq: Record<string, DnsmasqFact>;
  systemDnsmasq: SystemDnsmasqFact;
  /** Who else is on the ports of our daemons. */
  holders: PortHolder[];
  /** Who manages networks here, and the names of interfaces that their files are about. */
  managers: { systemd: boolean; networkManager: boolean; named: string[] };
  resolver: ResolverFact;
  /** Servers the host itself asks, none of them ours. */
  upstreams: string[];
  /** CPUs that programs may use. */
  processors: number;
  /** The bridge of Debian's lxc-net, and whether it comes at boot, or is there. */
  lxcNet: { bridge: string; comes: boolean };
  /** null when LXC is not installed. */
  lxcVersion: string | null;
  /** The program that dnsmasq is to tell of leases; null when it is not installed. */
  leaseScript: string | null;
  /** null when it is not installed. */
  dnsmasqVersion: string | null;
}
