/**
 * What connects one network namespace to networks: plain data. LXC's start, a CNI ADD and `nethooks attach` all make one, and what is
 * taken back, healed, shown or swept is read from its record, never from the configuration of the day.
 */
import { type Cidr, isAddress, isV6 } from './address.ts';
import type { LinkOption } from './container-options.ts';
import type { DhcpOptions } from './dhcp-options.ts';
import type { Policy, Published } from './policy.ts';
import type { Port } from './ports.ts';

/**
 * Whose attachment it is. `chained`: names only, on an interface that another CNI plugin made. `dhcp`: a machine that is on a network by
 * DHCP alone, of which we have no more than its name.
 */
export type Owner =
  | { kind: 'lxc'; name: string }
  | { kind: 'cni'; network: string; id: string; ifname: string; chained?: true }
  | { kind: 'attach'; id: string; ifname: string }
  | { kind: 'dhcp'; address: string };

/** The owner in one word, safe as a path: the record's file, and the holder in every register. */
export function attachmentId(owner: Owner): string {
  switch (owner.kind) {
    case 'lxc':
      return `lxc/${owner.name}`;
    case 'attach':
      return `attach/${owner.id}:${owner.ifname}`;
    case 'cni':
      return `cni/${owner.network}/${owner.id}:${owner.ifname}${owner.chained ? '#dns' : ''}`;
    case 'dhcp':
      return `dhcp/${owner.address}`;
  }
}

/** The owner that an id stands for; null when it is none. The reverse of attachmentId. */
export function ownerOf(id: string): Owner | null {
  const [kind, ...rest] = id.split('/');
  const last = rest.at(-1) ?? '';
  if (kind === 'lxc' && rest.length === 1) return { kind, name: last };
  if (kind === 'dhcp' && rest.length === 1 && isAddress(last)) return { kind, address: last };
  const [, container = '', ifname = '', chained] = /^([^:]+):([^#]+?)(#dns)?$/.exec(last) ?? [];
  if (container === '') return null;
  if (kind === 'attach' && rest.length === 1) return { kind, id: container, ifname };
  if (kind !== 'cni' || rest.length !== 2) return null;
  return { kind, network: rest[0] as string, id: container, ifname, ...(chained ? { chained: true as const } : {}) };
}

/** The owner as people call it. */
export const showOwner = (id: string): string => {
  const owner = ownerOf(id);
  if (owner === null) return id;
  if (owner.kind === 'lxc') return `container ${owner.name}`;
  if (owner.kind === 'dhcp') return `the DHCP client at ${owner.address}`;
  return owner.kind === 'attach'
    ? owner.id.replace(/^attached\.[a-z]+\./, '')
    : `${owner.id} (CNI network ${owner.network})`;
};

/** The name of an attachment's file in directories that other programs read (hosts(5) files, DHCP reservations). */
export const fileNameOf = (owner: Owner): string => {
  if (owner.kind === 'dhcp') return `dhcp@${owner.address}`; // no container's name has an @
  return owner.kind === 'lxc' ? owner.name : `${owner.id}:${owner.ifname}`;
};

/** How an interface is made: `none` by somebody else (LXC, another plugin), `peer` as one end of a pair between two containers. */
export type DriverName = 'none' | 'bridge' | 'ptp' | 'macvlan' | 'ipvlan' | 'peer';

/** Where addresses are held, in host-local's layout. */
export interface AddressStore {
  dataDir: string;
  /** Also the directory's name, so limited to what CNI allows in network names. */
  network: string;
}

/** One interface inside the namespace. */
export interface Interface {
  driver: DriverName;
  /** The network of nethooks.ini that it is on; null for none of ours. */
  network: string | null;
  /** DNS domain of its names; null without names. */
  domain: string | null;
  ifname: string;
  /** The N of `lxc.net.N`. */
  nic?: number;
  /** Of either family; the first IPv4 address is what ports and links lead to. */
  addresses: Cidr[];
  /** One of a family at most. */
  gateways: string[];
  /** Empty for ipvlan, which has its master's. */
  mac: string;
  /** Whether the MAC is of our making, and has to be set on an interface that somebody else made. */
  setMac?: boolean;
  /** Whether the container's own DHCP client sets the address. */
  dhcp?: true;
  /** Bytes; absent when it is the bridge's. */
  mtu?: number;
  /** What its own DHCP client is told in place of what the network says. */
  dhcpOptions?: DhcpOptions;
  /** The host's end of the pair, when it is of our making. */
  hostLink: string | null;
  /** ifindex of its port on the bridge, in the host; absent when it is on none of ours, or nobody has looked. */
  port?: number;
  /** Where its addresses are held; null when another plugin manages them. */
  store: AddressStore | null;
}

/** What tells whether the connected namespace is still there. Null: a record that was rebuilt does not know, so it is taken for alive. */
export type Life =
  | { pid: number /** proc(5), starttime */; started: string | null }
  | { /** Path. */ netns: string /** Device and inode. */; namespace: string }
  | Leased
  | null;

/** An address that a network's dnsmasq has leased. */
export interface Leased {
  /** The network. */
  lease: string;
  address: string;
  mac: string;
}

/** Names that it is to answer to, in the domains of its interfaces. */
export interface Names {
  /** Its own, bare: the first is the one that a reverse look-up gives. */
  own: string[];
  /** Names below its own that stand for others: its links' aliases. */
  linked: { name: string; address: string }[];
}

/** A process, named so that a later one with its pid is not taken for it. */
export interface ProcessId {
  pid: number;
  started: string | null;
}

/** An attachment as it is kept in /run while it exists: the intent before the first effect, complete after the last. */
export interface AttachmentRecord {
  owner: Owner;
  /** `intent`: being made, or left half-made by a process that is gone. `leaving`: being taken down. */
  state: 'intent' | 'attached' | 'leaving';
  /** Who is making it or taking it down; absent once that is done. */
  by?: ProcessId;
  life: Life;
  interfaces: Interface[];
  names: Names;
  /** Children that it links to, whether or not they have an address yet. */
  links: LinkOption[];
  /** What it has in our firewall; null when it needs nothing there. */
  policy: Policy | null;
  /** Its LXC configuration, and the words on its hook line. */
  configFile?: string | null;
  words?: readonly string[];
  /** What another plugin was called with to give addresses, to have it take them back. */
  ipam?: { type: string; text: string; path: string[]; args: string } | null;
  /** The CNI result, for CHECK and for whoever asks again. */
  result?: unknown;
  /** The host's own interface beside a macvlan one, to reach it; shared by all on that master. */
  shim?: { link: string /** Without prefix length. */; addresses: string[] };
  /** The id of the attachment at the other end of a pair between two containers: one goes with the other. */
  peer?: string;
  /** An LXC container on the network of another one, by its name: it has no interface of its own. */
  shares?: string;
  /** Files of ours outside the container that go with it. */
  files?: string[];
  /** Its file was unreadable: this is what could be found out. */
  rebuilt?: true;
}

/** What an LXC container keeps from one start to the next. */
export interface KeptRecord {
  interfaces: Interface[];
  /** The host ports it had: it gets those that nobody chose again. */
  publish: Published[];
  /** What links to it open. */
  exposed: Port[];
  /** What stands in its files, to be taken back when it is asked for no more. */
  written?: WrittenFiles;
  /** Its LXC configuration and the device that this was on: where that is not mounted, nobody knows whether it still exists. */
  place?: { configFile: string; device: number };
}

/** What we wrote into a container's files. */
export interface WrittenFiles {
  /** Whether /etc/hosts has a block of ours. */
  hosts: boolean;
  /** What resolv.conf is to say; absent when it is not ours. */
  resolvConf?: string;
  /** What resolv.conf held before ours, from the first time on: null when there was none; absent when it is not ours. */
  replaced?: string | null;
  /** What /etc/hostname held before ours: null when there was none; absent when it is not ours. */
  hostname?: string | null;
  /** Files for systemd's daemons, and directories that were made for them: paths below the root, in the order in which they were made. */
  dropIns?: string[];
}

/** Whether anything of ours stands in them. */
export const isWritten = ({ hosts, hostname, replaced, dropIns = [] }: WrittenFiles): boolean =>
  hosts || hostname !== undefined || replaced !== undefined || dropIns.length > 0;

/** The first IPv4 address of an interface, without prefix length; null without one. */
export const ipv4Of = ({ addresses }: Pick<Interface, 'addresses'>): string | null =>
  addresses.find((address) => !isV6(address))?.split('/')[0] ?? null;

/** The id under which an owner holds addresses in the store, whose ids are those of CNI containers. */
export const holderIdOf = (owner: Owner): string => {
  if (owner.kind === 'dhcp') return attachmentId(owner); // which holds none
  return owner.kind === 'lxc' ? `lxc-${owner.name}` : owner.id;
};
