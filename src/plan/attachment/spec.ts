/** What is asked for, in one form for every front end: LXC's event, a CNI request and `nethooks attach` each yield one of these. */
import type { Cidr } from '../../model/address.ts';
import type { AddressStore, AttachmentRecord, Life, Owner } from '../../model/attachment.ts';
import type { AddressRange, NetworkConfig } from '../../model/config.ts';
import type { ContainerOptions, LinkOption } from '../../model/container-options.ts';
import type { Egress } from '../../model/policy.ts';
import type { Port, PortRange } from '../../model/ports.ts';
import type { Wanted } from './publish.ts';
import type { WiredRoute } from './wiring.ts';

export interface AttachmentSpec {
  owner: Owner;
  life: Life;
  interfaces: InterfaceSpec[];
  /** Bare names that it is to answer to in its networks' domains, the first for reverse look-ups. */
  names: string[];
  publish: Wanted[];
  /** Subnets whose connections to what it publishes are let through; none or undefined: all. */
  publishFrom?: Cidr[];
  /** What it may reach; none or undefined: everything. */
  egress?: Egress[];
  /** The host's address that it sends from, outside; null or undefined: its network's. */
  source?: string | null;
  /** Where host ports come from that nobody chose. */
  publishPorts: PortRange;
  /** What links to it open. */
  exposed: Port[];
  links: LinkOption[];
  /** Whether its addresses are masqueraded outside of their subnet, on networks that are not ours. */
  masquerade: boolean;
  /** What its files are to say; null for a container whose files are not ours to write. */
  files: FilesSpec | null;
  /** Files of the host that go with it. */
  hostFiles?: { path: string; text: string }[];
  /** What another plugin was called with to give addresses. */
  ipam?: AttachmentRecord['ipam'];
  /** Its LXC configuration, and the words on its hook line. */
  configFile?: string | null;
  words?: readonly string[];
}

/** For the files of a container: see container-files.ts. */
export interface FilesSpec {
  /** The container's name. */
  name: string;
  /** pid of its init. */
  pid: number;
  options: ContainerOptions;
  /** Its first network, or that of the container whose network it shares; null when it is on none of ours. */
  network: NetworkConfig | null;
  /** What its files say of the container whose network it shares. */
  shared?: SharedFiles;
  /** What resolv.conf is to say, where nothing else is to be written. */
  resolvConf?: string;
}

/** What the files say of a container whose network others share: theirs say the same. */
export interface SharedFiles {
  /** Whose network it is. */
  name: string;
  /** Its address; null on no network of ours. */
  address: string | null;
  /** What containers on this network call themselves, beside the one whose files these are. */
  hostnames: string[];
  links: readonly LinkName[];
}

/** The address of a link's child, as the parent needs it for names. */
export interface LinkName {
  alias: string;
  /** The child's container name. */
  container: string;
  /** The child's address. */
  to: string;
}

/** One interface of it. */
export interface InterfaceSpec {
  ifname: string;
  /** The N of `lxc.net.N`. */
  nic?: number;
  link: LinkSpec;
  /** The network of nethooks.ini whose rules, names and ports it has; null for none. */
  network: NetworkConfig | null;
  /** null: one is made from the address, or from the ids where that is not known. */
  mac: string | null;
  /** Bytes; null for the bridge's, or the interface's below. */
  mtu: number | null;
  /** Whether the container's own DHCP client sets the address. */
  dhcp?: true;
  /** Whether the interface and its addresses are somebody else's doing, and only named here. */
  untouched?: true;
  /** Whether address and routes are to outlast what a DHCP client inside does (wiring.ts, anchoredCommands). */
  anchored?: true;
  addressing: Addressing;
}

/** How the interface is made; `none`: it is there already. */
export type LinkSpec =
  | { driver: 'none' }
  | { driver: 'bridge'; bridge: string; hostLink: string; hairpin: boolean; ensure: BridgeSpec | null }
  | { driver: 'ptp'; hostLink: string }
  | { driver: 'macvlan' | 'ipvlan'; mode: string; master: string }
  | { driver: 'peer' /** Path of the other end's namespace. */; netns: string; ifname: string; mac: string };

/** What a bridge that is not one of our networks' is to have; it is made where it is missing. */
export interface BridgeSpec {
  /** Whether it has the gateways' addresses. */
  isGateway: boolean;
  promisc: boolean;
  /** Whether other IPv4 addresses make room. */
  force: boolean;
}

/** Where its addresses come from. */
export type Addressing =
  | { how: 'none' }
  | { how: 'static'; ips: PlacedIp[]; routes: WiredRoute[] }
  | {
      how: 'store';
      store: AddressStore;
      sets: AddressSet[];
      routes: WiredRoute[];
      /** Whether the default routes lead through the addresses' gateways, where `routes` has none. */
      defaultRoute?: boolean;
      /** The addresses that it is remembered to have. */
      hints: string[];
      /** Whether it may have one that nobody remembers. */
      search: boolean;
    }
  | { how: 'elsewhere' };

/** A set of ranges: it gets one address of each. */
export interface AddressSet {
  ranges: readonly (AddressRange & { /** In bits. */ prefix: number; gateway: string })[];
  /** The address that it must have; null for any. */
  wanted: string | null;
  /** Addresses that are never given out. */
  skip: readonly string[];
  /**
   * Where dnsmasq gives addresses out. With it, an address that it has stays its own all over the rest of the subnet: the ranges may
   * have been others when it came.
   */
  dynamic?: AddressRange | null;
}

/** An address that it has, with prefix length. */
export interface PlacedIp {
  address: Cidr;
  gateway?: string | undefined;
}

/** An interface whose addresses are known. */
export interface Placed {
  spec: InterfaceSpec;
  ips: PlacedIp[];
  routes: WiredRoute[];
}
