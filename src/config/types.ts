/** The configuration after validation: plain JSON data, so that hooks read it back from the cache as it is. */

/** An inclusive range of IPv4 addresses, dotted quads. */
export interface AddressRange {
  from: string;
  to: string;
}

export interface HostConfig {
  firewall: 'auto' | 'nftables';
  resolver: 'auto' | 'resolved' | 'resolvconf' | 'file' | 'none';
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
  /** Dynamic range for machines that no hook announces; null when DHCP is off. */
  dhcp: AddressRange | null;
  /** Lease time in seconds, or for ever. */
  lease: number | 'infinite';
  /** Where the containers' sticky addresses come from. */
  reserve: AddressRange;
  /** Bytes; `auto` follows the interface of the default route. */
  mtu: number | 'auto';
}

export interface Config {
  /** The file it was read from. */
  source: string;
  host: HostConfig;
  /** At least one; the first is the one that new containers join. */
  networks: NetworkConfig[];
}
