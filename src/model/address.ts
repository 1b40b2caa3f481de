/**
 * Addresses of both families: the one place that reads, writes and compares them. Ours rather than a library's, as every hook loads it:
 * ipaddr.js takes 0.6 ms to load, a tenth of what a hook has. Tests compare the two.
 */

/** An address with prefix length, `10.0.0.2/24` or `fd00::2/64`; as a subnet, with the host bits cleared. */
export type Cidr = string;

export interface Ip {
  /** 32 or 128. */
  bits: number;
  value: bigint;
}

/** Whether the text is a dotted quad with four plain octets. */
export function isIPv4(text: string): boolean {
  return (
    /^(\d{1,3}\.){3}\d{1,3}$/.test(text) && text.split('.').every((o) => Number(o) <= 255 && String(Number(o)) === o)
  );
}

/**
 * Whether the text is an IPv6 address, without brackets and without a zone (RFC 4291 section 2.2), as URLs have it. node:net knows it
 * too, but brings node's streams along: 1.3 ms in front of every hook.
 */
export function isIPv6(text: string): boolean {
  return /^[\da-f:.]+$/i.test(text) && URL.canParse(`http://[${text}]`);
}

/** Whether the text is an address of either family. */
export const isAddress = (text: string): boolean => isIPv4(text) || isIPv6(text);

/** Whether an address, with or without prefix length, that is known to be one is of IPv6. */
export const isV6 = (address: string): boolean => address.includes(':');

/** The address that a text stands for; null when it is none. */
export function parseIp(text: string): Ip | null {
  if (isIPv4(text)) return { bits: 32, value: BigInt(toNumber(text)) };
  if (!isIPv6(text)) return null;
  // The last 32 bits may be written as an IPv4 address (RFC 4291 section 2.2).
  const [, head = '', quad] = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text) ?? [];
  const low = quad === undefined ? null : (parseIp(quad)?.value ?? 0n);
  const plain = low === null ? text : `${head}${(low >> 16n).toString(16)}:${(low & 0xffffn).toString(16)}`;
  const [left = [], right] = plain.split('::').map((half) => half.split(':').filter(Boolean));
  const middle = right === undefined ? [] : Array<string>(8 - left.length - right.length).fill('0');
  const groups = [...left, ...middle, ...(right ?? [])];
  return { bits: 128, value: groups.reduce((sum, group) => sum * 65536n + BigInt(`0x${group}`), 0n) };
}

/** The address as everybody writes it: what it is called as a file has to be unique (IPv6: RFC 5952 section 4). */
export function formatIp({ bits, value }: Ip): string {
  if (bits === 32) return toAddress(Number(value));
  const groups = Array.from({ length: 8 }, (_, index) => ((value >> BigInt(112 - 16 * index)) & 0xffffn).toString(16));
  const text = groups.join(':');
  // The longest run of at least two zeros, the first of equals, becomes `::`.
  const runs = text.match(/\b0(:0)+\b/g) ?? [];
  const longest = runs.reduce((best, run) => (run.length > best.length ? run : best), '');
  return longest === '' ? text : text.replace(new RegExp(`(^|:)${longest}(:|$)`), '::');
}

/** An address with its prefix length in bits, `10.0.0.1/24`, taken apart; null for any other text. */
export function parseCidr(text: string): { address: string; prefix: number } | null {
  const [, address = '', digits = ''] = /^([^/]+)\/(0|[1-9]\d{0,2})$/.exec(text) ?? [];
  const bits = parseIp(address)?.bits ?? -1;
  return Number(digits) <= bits ? { address, prefix: Number(digits) } : null;
}

/** First and last address of the subnet that an address lies in. `prefix` is in bits. */
export function subnetAround({ bits, value }: Ip, prefix: number): { first: bigint; last: bigint } {
  const size = 1n << BigInt(bits - prefix);
  const first = value - (value % size);
  return { first, last: first + size - 1n };
}

/**
 * An address, with or without prefix length, as it goes into a line for another program.
 * @throws TypeError for what would not stay in its place there
 */
export function word(address: string): string {
  if (/^[0-9a-f:.]+(\/\d{1,3})?$/i.test(address)) return address;
  throw new TypeError(`not an address: ${JSON.stringify(address)}`);
}

/** An address without its prefix length. */
export const bare = (address: string): string => word(address).split('/')[0] as string;

/** An address, with or without prefix length, as everybody writes it. What is no address stays as it is. */
export function canonicalCidr(address: string): string {
  const [text = '', ...prefix] = address.split('/');
  const ip = parseIp(text);
  return ip ? [formatIp(ip), ...prefix].join('/') : address;
}

/** The subnet of one address alone. */
export const hostCidr = (address: string): Cidr => `${bare(address)}/${isV6(address) ? 128 : 32}`;

/** The subnet of an address with its prefix length: host bits cleared. */
export function subnetCidr(address: Cidr): Cidr {
  const [text = '', bits = '0'] = word(address).split('/');
  const ip = parseIp(text);
  if (!ip) throw new TypeError(`not an address: ${JSON.stringify(address)}`);
  return `${formatIp({ ...ip, value: subnetAround(ip, Number(bits)).first })}/${bits}`;
}

/** Whether two subnets share an address. */
export function overlaps(a: Cidr, b: Cidr): boolean {
  const [x, y] = [range(a), range(b)];
  return x.bits === y.bits && x.first <= y.last && y.first <= x.last;
}

/** Whether `address`, without prefix length, lies in the subnet. */
export function contains(within: Cidr, address: string): boolean {
  const { bits, first, last } = range(within);
  const ip = parseIp(address);
  return ip?.bits === bits && first <= ip.value && ip.value <= last;
}

function range(within: Cidr): { bits: number; first: bigint; last: bigint } {
  const [text = '', prefix] = within.split('/');
  const ip = parseIp(text);
  if (!ip) return { bits: 0, first: 1n, last: 0n }; // no address lies in it
  return { bits: ip.bits, ...subnetAround(ip, Number(prefix ?? ip.bits)) };
}

// ---- IPv4 as numbers, for who counts through a subnet

/** The address as an unsigned 32-bit number. Expects a valid dotted quad. */
export function toNumber(address: string): number {
  return address.split('.').reduce((sum, octet) => sum * 256 + Number(octet), 0);
}

/** The dotted quad of an unsigned 32-bit number. */
export function toAddress(value: number): string {
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join('.');
}

/** How many addresses an inclusive range of IPv4 addresses has. */
export const sizeOf = ({ from, to }: { from: string; to: string }): number => toNumber(to) - toNumber(from) + 1;

/** First and last address of the IPv4 subnet that `address` lies in. `prefix` is in bits. */
export function subnetOf(address: string, prefix: number): { first: number; last: number } {
  const size = 2 ** (32 - prefix);
  const first = Math.floor(toNumber(address) / size) * size;
  return { first, last: first + size - 1 };
}

/** The netmask of a prefix length in bits, as a dotted quad. */
export function netmask(prefix: number): string {
  return toAddress((2 ** 32 - 2 ** (32 - prefix)) >>> 0);
}
