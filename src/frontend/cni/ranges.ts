/** host-local's options (containernetworking/plugins, plugins/ipam/host-local/backend/allocator): which addresses it may give. Pure. */
import { canonicalCidr, formatIp, type Ip, parseIp, subnetAround } from '../../model/address.ts';
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
  /** A container gets one address from each set. */
  sets: Range[][];
  routes: Route[];
  /** Path of a file whose DNS settings go into the result. */
  resolvConf: string | null;
  dataDir: string | null;
}

/**
 * @param runtimeRanges the capability ipRanges
 * @throws CniError (config)
 */
export function parseHostLocal(ipam: Record<string, unknown>, runtimeRanges: unknown): HostLocal {
  const given = [...sequence(runtimeRanges), ...(ipam.subnet === undefined ? [] : [[ipam]]), ...sequence(ipam.ranges)];
  if (given.length === 0)
    throw new CniError(CODE.config, 'ipam: no IP ranges specified', 'allowed: "subnet" or "ranges"');
  const sets = given.map((set) => setOf(sequence(set)));
  for (const [index, set] of sets.entries())
    if (sets.slice(0, index).some((other) => other.some((one) => set.some((two) => overlap(one, two)))))
      throw wrong('ranges', given[index], 'sets that do not overlap');
  return {
    sets,
    routes: routesOf(ipam),
    resolvConf: absolute(ipam, 'resolvConf'),
    dataDir: absolute(ipam, 'dataDir'),
  };
}

function setOf(given: unknown[]): Range[] {
  const ranges = given.filter(isRecord).map(rangeOf);
  if (ranges.length === 0) throw wrong('ranges', given, 'sets of at least one range');
  for (const [index, range] of ranges.entries()) {
    if (ipOf(range.from).bits !== ipOf((ranges[0] as Range).from).bits)
      throw wrong('ranges', given, 'IPv4 and IPv6 in sets of their own');
    if (ranges.slice(0, index).some((other) => overlap(range, other)))
      throw wrong('ranges', given, 'ranges that do not overlap');
  }
  return ranges;
}

function rangeOf({ subnet, rangeStart, rangeEnd, gateway }: Record<string, unknown>): Range {
  const [address = '', length = ''] = String(subnet).split('/');
  const ip = parseIp(address);
  const prefix = /^\d{1,3}$/.test(length) ? Number(length) : Number.NaN;
  if (!ip || !(prefix <= ip.bits)) throw wrong('subnet', subnet, 'a subnet such as 10.1.0.0/16');
  if (prefix > ip.bits - 2) throw wrong('subnet', subnet, `a subnet that is large enough, /${ip.bits - 2} at most`);
  const { bits } = ip;
  const { first, last } = subnetAround(ip, prefix);
  if (first !== ip.value)
    throw wrong('subnet', subnet, `no host bits: the network address is ${formatIp({ bits, value: first })}`);
  const within = (key: string, value: unknown, otherwise: bigint): string => {
    if (value === undefined || value === '') return formatIp({ bits, value: otherwise });
    const own = parseIp(String(value));
    if (own?.bits === bits && own.value >= first && own.value <= last) return formatIp(own);
    throw wrong(key, value, `an address in ${subnet}`);
  };
  const usable = usableIn(ip, prefix);
  const start = ipOf(within('rangeStart', rangeStart, usable.first)).value;
  const end = ipOf(within('rangeEnd', rangeEnd, usable.last)).value;
  const range = {
    prefix,
    // host-local takes ranges that reach over them, and gives them out.
    from: formatIp({ bits, value: start === first ? usable.first : start }),
    to: formatIp({ bits, value: end === last ? usable.last : end }),
    gateway: within('gateway', gateway, first + 1n),
  };
  if (ipOf(range.from).value > ipOf(range.to).value)
    throw wrong('rangeStart', rangeStart, `at most rangeEnd, ${range.to}`);
  return range;
}

/**
 * First and last address of a subnet that an interface can have. The first of all is the network's (RFC 1122 section 3.2.1.3), in IPv6
 * that of any router (RFC 4291 section 2.6.1); IPv4's last one is the broadcast address, IPv6 has none.
 */
function usableIn(ip: Ip, prefix: number): { first: bigint; last: bigint } {
  const { first, last } = subnetAround(ip, prefix);
  return { first: first + 1n, last: ip.bits === 32 ? last - 1n : last };
}

/**
 * For each range set the first address of those asked for that a container can have there; host-local wants all of them used.
 * @throws CniError (config) when one is left over
 */
export function wantedIn(sets: readonly Range[][], wanted: readonly string[]): (string | undefined)[] {
  const chosen = sets.map((ranges) => wanted.find((address) => ranges.some((range) => isUsable(range, address))));
  const left = wanted.filter((address) => !chosen.includes(address));
  if (left.length === 0) return chosen;
  throw new CniError(
    CODE.config,
    `failed to allocate all requested IPs: ${left.join(' ')}`,
    'one address per range set, neither the network address nor the broadcast address',
  );
}

function isUsable(range: Range, address: string): boolean {
  const ip = parseIp(address);
  if (!ip || !inSubnet(range, address)) return false;
  const { first, last } = usableIn(ip, range.prefix);
  return first <= ip.value && ip.value <= last;
}

/** Whether an address is one of the range's subnet: what a container asks for may lie beside what is given out by itself. */
function inSubnet({ gateway, prefix }: Range, address: string): boolean {
  const [own, ip] = [ipOf(gateway), parseIp(address)];
  if (ip?.bits !== own.bits) return false;
  const { first, last } = subnetAround(own, prefix);
  return first <= ip.value && ip.value <= last;
}

const ipOf = (address: string): Ip => parseIp(address) as Ip;

const overlap = (a: Range, b: Range): boolean =>
  ipOf(a.from).bits === ipOf(b.from).bits &&
  ipOf(a.from).value <= ipOf(b.to).value &&
  ipOf(b.from).value <= ipOf(a.to).value;

/** `routes` of an IPAM configuration go into the result as they are, their destinations as everybody writes them. */
export function routesOf(ipam: Record<string, unknown>): Route[] {
  return sequence(ipam.routes).map((route) => {
    if (isRecord(route) && isSubnet(route.dst) && (route.gw === undefined || isAddress(route.gw)))
      return { ...(route as unknown as Route), dst: canonicalCidr(String(route.dst)) };
    throw wrong('routes', route, '{"dst": SUBNET} or {"dst": SUBNET, "gw": ADDRESS}');
  });
}

const isAddress = (value: unknown): boolean => typeof value === 'string' && parseIp(value) !== null;

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
