/** The configuration after validation: plain JSON data, so that hooks read it back from the cache as it is. */

/** An inclusive range of IPv4 addresses, dotted quads. */
export interface AddressRange {
  from: string;
  to: string;
}

export interface HostConfig {
  resolver: 'auto' | 'resolved' | 'resolvconf' | 'file' | 'none';
  /** How many hooks of containers work at the same time; the others wait for their turn. */
  hooksAtOnce: number | 'auto';
  /** Seconds that a hook may use no CPU before it is taken to hang, and ended. */
  hookTimeout: number;
}

export interface NetworkConfig {
  /** The bridge's name, which is also the network's and the address store's. */
  name: string;
  /** The bridge's own address. */
  address: string;
  /** Prefix length of the subnet, in bits. */
  prefix: number;
  /** The subnet in CIDR notation, with the host bits cleared. */
  subnet: string;
  /** Interfaces to masquerade behind; `*` is every interface that is not one of our bridges. */
  uplinks: '*' | string[];
  masquerade: boolean;
  /** DNS domain of the containers' names, without dots at its ends. */
  domain: string;
  /** Whether dnsmasq answers DNS on the bridge. */
  dns: boolean;
  /** Servers to forward to; empty means the host's own. */
  dnsUpstream: string[];
  /** Lines of its dnsmasq's configuration that are the admin's own. */
  dnsmasqLines: string[];
  /** Dynamic range for machines that are no LXC containers of ours; null when DHCP is off. */
  dhcp: AddressRange | null;
  /** Lease time in seconds, or for ever. */
  lease: number | 'infinite';
  /** Whether machines that are there by DHCP alone get the name that they give themselves. */
  dhcpNames: boolean;
  /** Where the containers' sticky addresses come from. */
  reserve: AddressRange;
  /** Whether containers on it reach each other without a link (Docker's icc). */
  icc: boolean;
  /** Whether a container sends only with its own MAC, addresses and ARP sender. */
  antispoof: boolean;
  /** The address of the host that its containers send from, outside; null: that of the interface which leads there. */
  source: string | null;
  /** Whether whoever has a route to it reaches everything in it, although it is masqueraded; else only published ports. */
  routed: boolean;
  /** Interfaces behind which everybody reaches everything in it. */
  trusted: string[];
  /** Other networks of this host that its containers reach. */
  reach: '*' | string[];
  /** Whether its containers have no way out of this host, and no names from outside. */
  internal: boolean;
  /** Bytes; `auto` follows the interface of the default route. */
  mtu: number | 'auto';
  /** What its containers get that say nothing themselves; goes before the host's. */
  containers: NameDefaults;
}

/** What a network is that says nothing about who reaches whom and sends as what; records of earlier versions lack these. */
export const CLOSED = {
  antispoof: false,
  source: null,
  routed: false,
  trusted: [],
  reach: [],
  internal: false,
} satisfies Partial<NetworkConfig>;

/** How a container asks for names, where it does not say so itself. An empty list says nothing. */
export interface NameDefaults {
  /** IP addresses of DNS servers that take the place of ours. */
  dns: string[];
  /** Search domains; a single `.` clears the list. */
  dnsSearch: string[];
  /** Options of resolv.conf(5). */
  dnsOption: string[];
  extraHost: ExtraHost[];
}

/** Each list as a whole from the first place that says it. */
export function overlay(first: NameDefaults, then: NameDefaults): NameDefaults {
  const pick = <T>(one: T[], other: T[]): T[] => (one.length > 0 ? one : other);
  return {
    dns: pick(first.dns, then.dns),
    dnsSearch: pick(first.dnsSearch, then.dnsSearch),
    dnsOption: pick(first.dnsOption, then.dnsOption),
    extraHost: pick(first.extraHost, then.extraHost),
  };
}

/** A line of a container's /etc/hosts. */
export interface ExtraHost {
  name: string;
  address: string;
}

/** What holds for every container of the host that says nothing itself. */
export interface ContainerDefaults extends NameDefaults {
  /** The host ports that `publish-all`, and a `publish` without a host port, take from. Inclusive. */
  publishPorts: { from: number; to: number };
  /** The host's address that a `publish` without an address means; 0.0.0.0 for all (Docker's --ip). */
  publishAddress: string;
}

export interface Config {
  /** The file it was read from. */
  source: string;
  host: HostConfig;
  containers: ContainerDefaults;
  /** At least one; the first is the one that new containers join. */
  networks: NetworkConfig[];
}
