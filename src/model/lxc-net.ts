/**
 * What Debian's lxc-net is set to (/usr/libexec/lxc/lxc-net): two files in the words of sh(1), which are read here, never executed. The
 * script reads /etc/default/lxc, and that one reads /etc/default/lxc-net.
 */
import { isIPv4, netmask, subnetCidr } from './address.ts';
import type { KeptRecord } from './attachment.ts';
import type { AddressRange } from './config.ts';
import { isDomainName, isInterfaceName } from './names.ts';

export const LXC_DEFAULTS = '/etc/default/lxc';
export const LXC_NET_DEFAULTS = '/etc/default/lxc-net';

export interface LxcNet {
  isOn: boolean;
  bridge: string;
  address: string;
  /** Bits. */
  prefix: number;
  dhcp: AddressRange | null;
  /** How many leases there may be, where somebody has said that. */
  mostLeases: number | null;
  /** Empty for none. */
  domain: string;
  /** More configuration of its dnsmasq; empty for none. */
  confFile: string;
  /** What is said of USE_LXC_BRIDGE, and where. */
  use: string;
  /** What cannot be understood, or is nothing that a network of ours can do: file, line, key, value and what is allowed. */
  faults: string[];
}

/** What its script begins with. */
const DEFAULTS = {
  USE_LXC_BRIDGE: 'true',
  LXC_BRIDGE: 'lxcbr0',
  LXC_BRIDGE_MAC: '00:16:3e:00:00:00',
  LXC_ADDR: '10.0.3.1',
  LXC_NETMASK: '255.255.255.0',
  LXC_NETWORK: '10.0.3.0/24',
  LXC_DHCP_RANGE: '10.0.3.2,10.0.3.254',
  LXC_DHCP_MAX: '253',
  LXC_DHCP_CONFILE: '',
  LXC_DHCP_PING: 'true',
  LXC_DOMAIN: '',
  LXC_USE_NFT: 'true',
  LXC_IPV6_ADDR: '',
  LXC_IPV6_MASK: '',
  LXC_IPV6_NETWORK: '',
  LXC_IPV6_NAT: 'false',
};
type Key = keyof typeof DEFAULTS;
const KEYS = Object.keys(DEFAULTS).join(', ');

/** A plain assignment: one word, quoted or not, without anything that the shell would expand. */
const ASSIGNMENT =
  /^[ \t]*(?:export[ \t]+)?([A-Za-z_]\w*)=(?:"([^"$`\\]*)"|'([^']*)'|([\w./:,@%+~-]*))[ \t]*(?:[ \t]#.*)?$/;
const COMMENT = /^[ \t]*(#.*)?$/;
/** As Debian has it. */
const INCLUDE = /^[ \t]*(\[ ! -f \/etc\/default\/lxc-net \] \|\| )?\. \/etc\/default\/lxc-net[ \t]*$/;

interface Found {
  values: Record<Key, string>;
  /** FILE:LINE of each that somebody has set. */
  places: Partial<Record<Key, string>>;
  faults: string[];
}

/**
 * @param lxc the text of /etc/default/lxc; null when it is not there
 * @param own the text of /etc/default/lxc-net
 */
export function parseLxcNet(lxc: string | null, own: string | null): LxcNet {
  const found: Found = { values: { ...DEFAULTS }, places: {}, faults: [] };
  let isIncluded = false;
  readLines(LXC_DEFAULTS, lxc ?? '', found, (line) => {
    if (!INCLUDE.test(line)) return false;
    isIncluded = true;
    readLines(LXC_NET_DEFAULTS, own ?? '', found, () => false);
    return true;
  });
  if (!isIncluded)
    found.faults.push(
      `${LXC_DEFAULTS} does not read ${LXC_NET_DEFAULTS}; allowed: with the line that Debian has there`,
    );
  return settings(found);
}

/** @param isKnown whether a line that is no assignment says something that is understood */
function readLines(path: string, text: string, found: Found, isKnown: (line: string) => boolean): void {
  for (const [index, line] of text.split('\n').entries()) {
    if (COMMENT.test(line)) continue;
    const place = `${path}:${index + 1}`;
    const [, key = '', double, single, bare = ''] = ASSIGNMENT.exec(line) ?? [];
    if (key === '') {
      if (!isKnown(line)) found.faults.push(`${place}: ${line.trim()}: is no plain assignment; allowed: KEY="VALUE"`);
    } else if (Object.hasOwn(DEFAULTS, key)) {
      found.values[key as Key] = double ?? single ?? bare;
      found.places[key as Key] = place;
    } else if (path === LXC_NET_DEFAULTS) found.faults.push(`${place}: ${line.trim()}: unknown; allowed: ${KEYS}`);
  }
}

function settings({ values, places, faults }: Found): LxcNet {
  const refuse = (key: Key, message: string): void => {
    faults.push(`${places[key] ?? 'lxc-net'}: ${key}="${values[key]}": ${message}`);
  };
  const address = values.LXC_ADDR;
  const prefix = prefixOf(values.LXC_NETMASK);
  const [from = '', to = '', ...more] = values.LXC_DHCP_RANGE.split(',');
  const hasRange = isIPv4(from) && isIPv4(to) && more.every((word) => /^\d+[smhdw]?$|^infinite$/.test(word));
  const bridge = values.LXC_BRIDGE;
  if (!isInterfaceName(bridge) || bridge.includes('.') || bridge === 'lo')
    refuse('LXC_BRIDGE', 'allowed: the name of a bridge');
  if (!isIPv4(address)) refuse('LXC_ADDR', 'allowed: an IPv4 address');
  if (prefix === null) refuse('LXC_NETMASK', 'allowed: a netmask from 255.0.0.0 to 255.255.255.252');
  else if (isIPv4(address) && values.LXC_NETWORK !== subnetCidr(`${address}/${prefix}`))
    refuse('LXC_NETWORK', `allowed: ${subnetCidr(`${address}/${prefix}`)}, by LXC_ADDR and LXC_NETMASK`);
  if (!hasRange) refuse('LXC_DHCP_RANGE', 'allowed: FIRST,LAST');
  if (!/^\d{1,6}$/.test(values.LXC_DHCP_MAX)) refuse('LXC_DHCP_MAX', 'allowed: a number');
  if (values.LXC_DOMAIN !== '' && !isDomainName(values.LXC_DOMAIN)) refuse('LXC_DOMAIN', 'allowed: a domain name');
  if (values.LXC_DHCP_CONFILE !== '' && !values.LXC_DHCP_CONFILE.startsWith('/'))
    refuse('LXC_DHCP_CONFILE', 'allowed: an absolute path');
  for (const key of ['LXC_IPV6_ADDR', 'LXC_IPV6_MASK', 'LXC_IPV6_NETWORK'] as const)
    if (values[key] !== '') refuse(key, 'networks of nethooks have no IPv6; allowed: nothing');
  return {
    isOn: values.USE_LXC_BRIDGE === 'true',
    bridge,
    address,
    prefix: prefix ?? 24,
    dhcp: hasRange ? { from, to } : null,
    mostLeases: places.LXC_DHCP_MAX === undefined ? null : Number(values.LXC_DHCP_MAX),
    domain: values.LXC_DOMAIN,
    confFile: values.LXC_DHCP_CONFILE,
    use: `${places.USE_LXC_BRIDGE ?? LXC_NET_DEFAULTS}: USE_LXC_BRIDGE="${values.USE_LXC_BRIDGE}"`,
    faults,
  };
}

function prefixOf(mask: string): number | null {
  for (let prefix = 8; prefix <= 30; prefix++) if (netmask(prefix) === mask) return prefix;
  return null;
}

/** What was found of lxc-net when it was taken over, for its return. */
export interface LxcNetRecord {
  /** `here`: its bridge is a network of ours; `move`: its containers are on ours. */
  mode: 'here' | 'move';
  bridge: string;
  /** Whether systemd started it at boot, and whether it was up. */
  enabled: boolean;
  active: boolean;
  /** The containers whose configuration was changed. */
  containers: string[];
}

/** An interface of a container that is on lxc-net's bridge. */
export interface TakenNic {
  /** The N of lxc.net.N. */
  index: number;
  ifname: string;
  /** By its configuration, or as it runs; null when it gets another one at each start. */
  mac: string | null;
  /** Whether its configuration says the MAC. */
  hasOwnMac: boolean;
  /** By its configuration. */
  address: string | null;
  /** What it has while it runs. */
  running: readonly string[];
}

export interface TakenContainer {
  name: string;
  configFile: string;
  nics: readonly TakenNic[];
  kept: KeptRecord;
}

/** A line of dnsmasq's lease file. */
export interface LxcNetLease {
  address: string;
  mac: string;
  hostname: string | null;
}

/** A line of LXC_DHCP_CONFILE. */
export interface ConfLine {
  /** FILE:LINE. */
  place: string;
  text: string;
}

/** An address that stays a container's. */
export interface Taken {
  container: string;
  nic: TakenNic;
  address: string;
  /** Whether lxc-net's dnsmasq was told that it has this one: then the container's options say so from now on. */
  isTold: boolean;
}

export interface Shares {
  taken: Taken[];
  /** Leases of machines that are no container of ours. */
  foreign: LxcNetLease[];
  /** What stays of the lines of LXC_DHCP_CONFILE. */
  lines: ConfLine[];
}
