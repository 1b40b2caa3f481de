/** host-local's options (containernetworking/plugins, plugins/ipam/host-local/backend/allocator): which addresses it may give. Pure. */
import { isIPv4, subnetOf, toAddress, toNumber } from '../plan/ipv4.ts';
import { CniError, CODE } from './error.ts';
import { isRecord, type Route } from './result.ts';

/** One range of host-local's, with its defaults filled in. */
export interface Range {
  /** Prefix length in bits. */
  prefix: number;
  from: string;
  to: string;
  gateway: string;
}

export interface HostLocal {
  ranges: Range[];
  routes: Route[];
  /** Path of a file whose DNS settings go into the result. */
  resolvConf: string | null;
  dataDir: string | null;
}

/**
 * The options, or null when they ask for what only the real host-local does: IPv6, and more than one address.
 * @param runtimeRanges the capability ipRanges
 * @throws CniError (config)
 */
export function parseHostLocal(ipam: Record<string, unknown>, runtimeRanges: unknown): HostLocal | null {
  const sets = [...sequence(runtimeRanges), ...(ipam.subnet === undefined ? [] : [[ipam]]), ...sequence(ipam.ranges)];
  if (sets.length === 0)
    throw new CniError(CODE.config, 'ipam: no IP ranges specified', 'allowed: "subnet" or "ranges"');
  if (sets.length > 1) return null;
  const ranges = sequence(sets[0]).filter(isRecord);
  if (ranges.some(({ subnet }) => String(subnet).includes(':'))) return null;
  return {
    ranges: ranges.map(rangeOf),
    routes: routesOf(ipam),
    resolvConf: absolute(ipam, 'resolvConf'),
    dataDir: absolute(ipam, 'dataDir'),
  };
}

function rangeOf({ subnet, rangeStart, rangeEnd, gateway }: Record<string, unknown>): Range {
  const [address = '', bits = ''] = String(subnet).split('/');
  const prefix = /^\d{1,2}$/.test(bits) ? Number(bits) : 33;
  if (!isIPv4(address) || prefix > 32) throw wrong('subnet', subnet, 'a subnet such as 10.1.0.0/16');
  const { first, last } = subnetOf(address, prefix);
  if (prefix > 30) throw wrong('subnet', subnet, 'a subnet that is large enough, /30 at most');
  if (toAddress(first) !== address)
    throw wrong('subnet', subnet, `no host bits: the network address is ${toAddress(first)}`);
  const within = (key: string, value: unknown, otherwise: number): string => {
    if (value === undefined || value === '') return toAddress(otherwise);
    const text = String(value);
    if (isIPv4(text) && toNumber(text) >= first && toNumber(text) <= last) return text;
    throw wrong(key, value, `an address in ${subnet}`);
  };
  const range = {
    prefix,
    from: within('rangeStart', rangeStart, first + 1),
    to: within('rangeEnd', rangeEnd, last - 1),
    gateway: within('gateway', gateway, first + 1),
  };
  if (toNumber(range.from) > toNumber(range.to)) throw wrong('rangeStart', rangeStart, `at most rangeEnd, ${range.to}`);
  return range;
}

/** `routes` of an IPAM configuration go into the result as they are. */
export function routesOf(ipam: Record<string, unknown>): Route[] {
  return sequence(ipam.routes).map((route) => {
    if (isRecord(route) && isSubnet(route.dst) && (route.gw === undefined || isAddress(route.gw)))
      return route as unknown as Route;
    throw wrong('routes', route, '{"dst": SUBNET} or {"dst": SUBNET, "gw": ADDRESS}');
  });
}

const isAddress = (value: unknown): boolean =>
  typeof value === 'string' && (isIPv4(value) || /^(?=.*:.*:)[0-9a-f:.]+$/i.test(value));

const isSubnet = (value: unknown): boolean =>
  typeof value === 'string' && /^[^/]+\/\d{1,3}$/.test(value) && isAddress(value.split('/')[0]);

function absolute(ipam: Record<string, unknown>, key: string): string | null {
  const value = ipam[key];
  if (value === undefined || value === '') return null;
  if (typeof value === 'string' && value.startsWith('/')) return value;
  throw wrong(key, value, 'an absolute path');
}

function sequence(value: unknown): unknown[] {
  if (value === undefined || value === null) return [];
  if (Array.isArray(value)) return value;
  throw wrong('ranges', value, 'a list');
}

const wrong = (key: string, value: unknown, allowed: string): CniError =>
  new CniError(CODE.config, `ipam.${key}: ${JSON.stringify(value)}: allowed: ${allowed}`);
