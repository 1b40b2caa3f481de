/**
 * The network devices that an LXC configuration asks for (lxc.container.conf(5); the details from lxc's src/lxc/confile.c and
 * network.c, 2.0 to 7.0). Hooks cannot ask LXC itself: `lxc-info` from a hook deadlocks (lxc/lxc#395).
 */
import { isIPv4 } from '../../model/address.ts';
import { type LxcSetting, lastValue, type ReadInclude, readLxcConfig } from '../../model/lxc-config.ts';

export interface LxcNic {
  /** The N of `lxc.net.N`; with the keys before LXC 2.1, the place in the order of `lxc.network.type` lines. */
  index: number;
  /** veth, macvlan, ipvlan, vlan, phys, empty or none. */
  type: string;
  /** The bridge or parent interface on the host. */
  link?: string;
  /** In the container: as configured, or as the kernel will call it; empty for the type `none`, which makes no device. */
  name: string;
  /** Lower case, six pairs of digits; absent when LXC makes one up, also in part (a pattern with `x`). */
  hwaddr?: string;
  /** `lxc.net.N.ipv4.address`, each with its prefix length. */
  addresses: string[];
  /** An address, or `auto` (the bridge's) or `dev` (none, the device itself). */
  gateway?: string;
  /** Bytes; absent for the bridge's. */
  mtu?: number;
  /** Whether LXC brings the device up. */
  up: boolean;
}

/** LXC warns about a longer name and cuts it off. */
const IFNAME_LENGTH = 15;

type Draft = Omit<LxcNic, 'name'> & { name?: string };

/**
 * The devices that LXC makes for this text and all its includes, in LXC's order. None where the container shares another one's network
 * (lxc.namespace.share.net): its eth0 is the other container's.
 */
export function withIncludes(text: string, read: ReadInclude): LxcNic[] {
  const settings = readLxcConfig(text, read);
  return lastValue(settings, 'lxc.namespace.share.net') === null ? nicsOf(settings) : [];
}

/** The devices that the `lxc.net` lines among the settings ask for. */
export function nicsOf(settings: readonly LxcSetting[]): LxcNic[] {
  const drafts = new Map<number, Draft>();
  for (const { key, value } of settings) {
    if (key === 'lxc.net' && value === '') drafts.clear();
    else if (key.startsWith('lxc.net.')) setKey(drafts, key.slice('lxc.net.'.length), value);
    else if (key.startsWith('lxc.network')) setLegacyKey(drafts, key.slice('lxc.network'.length), value);
  }
  return named(drafts);
}

function setKey(drafts: Map<number, Draft>, key: string, value: string): void {
  const [, digits, subkey] = /^(\d+)(?:\.(.+))?$/.exec(key) ?? [];
  if (digits === undefined) return;
  const index = Number(digits);
  if (subkey === undefined) {
    if (value === '') drafts.delete(index); // lxc.net.0 =
    return;
  }
  const draft = drafts.get(index) ?? { index, type: 'empty', addresses: [], up: false };
  if (value !== '' || drafts.has(index)) drafts.set(index, draft);
  setSubkey(drafts, draft, subkey, value);
}

/** Before LXC 2.1 a `lxc.network.type` line begins the next device; `lxc.network.N.key` means the Nth of them. */
function setLegacyKey(drafts: Map<number, Draft>, key: string, value: string): void {
  if (key === '' || (key === '.type' && value === '')) drafts.clear();
  const [, digits, name] = /^\.(?:(\d+)\.)?(.+)$/.exec(key) ?? [];
  if (name === 'type' && value !== '') {
    drafts.set(drafts.size, { index: drafts.size, type: value, addresses: [], up: false });
    return;
  }
  const draft = drafts.get(digits === undefined ? drafts.size - 1 : Number(digits));
  if (draft && name !== undefined) setSubkey(drafts, draft, name === 'ipv4' ? 'ipv4.address' : name, value);
}

function setSubkey(drafts: Map<number, Draft>, draft: Draft, key: string, value: string): void {
  const given = value === '' ? undefined : value;
  switch (key) {
    case 'type': // forgets what earlier lines said about this device, as LXC does since 4.0.7
      drafts.set(draft.index, { index: draft.index, type: given ?? 'empty', addresses: [], up: false });
      break;
    case 'link':
    case 'name':
      assign(draft, key, given?.slice(0, IFNAME_LENGTH));
      break;
    case 'ipv4.gateway':
      assign(draft, 'gateway', given);
      break;
    case 'hwaddr':
      assign(draft, 'hwaddr', macOf(value));
      break;
    case 'mtu':
      assign(draft, 'mtu', mtuOf(value));
      break;
    case 'flags': // whatever is set means up
      draft.up = given !== undefined;
      break;
    case 'ipv4.address':
      draft.addresses = given === undefined ? [] : [...draft.addresses, ...withPrefix(given)];
      break;
  }
}

function assign<Key extends 'link' | 'name' | 'gateway' | 'hwaddr' | 'mtu'>(
  draft: Draft,
  key: Key,
  value: Draft[Key] | undefined,
): void {
  if (value === undefined) delete draft[key];
  else draft[key] = value;
}

/** One that the kernel takes of a veth (ETH_MIN_MTU in linux/if_ether.h), and DHCP. */
const mtuOf = (value: string): number | undefined =>
  /^\d{2,5}$/.test(value) && Number(value) >= 68 && Number(value) <= 65535 ? Number(value) : undefined;

/** LXC takes single digits, and separators as optional (lxc_convert_mac). */
function macOf(value: string): string | undefined {
  const pairs =
    /^([\da-f]{1,2}):?([\da-f]{1,2}):?([\da-f]{1,2}):?([\da-f]{1,2}):?([\da-f]{1,2}):?([\da-f]{1,2})$/i.exec(value);
  return pairs
    ?.slice(1)
    .map((pair) => pair.padStart(2, '0').toLowerCase())
    .join(':');
}

/** `ADDRESS[/PREFIX] [BROADCAST]`; nothing for an address that LXC itself refuses to start with. */
function withPrefix(value: string): string[] {
  const [, address = '', prefix] = /^([^ /]+)(?:\/(\d+))?(?: .*)?$/.exec(value) ?? [];
  if (!isIPv4(address) || Number(prefix ?? 0) > 32) return [];
  return [`${address}/${prefix ?? classPrefix(address)}`];
}

/** By network class as LXC sees it on little-endian machines: it looks at the last octet (*seen*: 10.0.0.5 becomes /8, 10.0.0.200 /24). */
function classPrefix(address: string): number {
  const last = Number(address.split('.')[3]);
  return last < 128 ? 8 : last < 192 ? 16 : 24;
}

/**
 * Gives each device the name it will have: LXC first makes those with a name, then the kernel picks the lowest free ethN for
 * each of the others, in the order of their numbers. A name with `%d` is such a pattern, too.
 */
function named(drafts: Map<number, Draft>): LxcNic[] {
  const nics = [...drafts.values()]
    .sort((a, b) => a.index - b.index)
    .map((draft) => ({ ...draft, name: givenName(draft) }));
  const taken = new Set<string>();
  const isUnnamed = ({ name, type }: LxcNic) => name === 'eth%d' && type !== 'none';
  for (const nic of [...nics.filter((nic) => !isUnnamed(nic)), ...nics.filter(isUnnamed)]) {
    nic.name = pickName(nic.name, taken);
    taken.add(nic.name);
  }
  return nics;
}

function givenName({ type, name, link }: Draft): string {
  if (type === 'none') return '';
  if (type === 'empty') return 'lo';
  return name ?? (type === 'phys' ? link : undefined) ?? 'eth%d'; // a moved interface keeps its name
}

function pickName(name: string, taken: ReadonlySet<string>): string {
  if (!name.includes('%d')) return name;
  for (let number = 0; ; number++) {
    const candidate = name.replace('%d', String(number));
    if (!taken.has(candidate)) return candidate;
  }
}
