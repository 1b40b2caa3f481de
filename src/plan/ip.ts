/** Addresses of both families as numbers, for whoever counts through a range. IPv4 alone is simpler (ipv4.ts). */
import { isIPv4 } from './ipv4.ts';
import { isIPv6 } from './ipv6.ts';

export interface Ip {
  /** 32 or 128. */
  bits: number;
  value: bigint;
}

/** The address that a text stands for; null when it is none. */
export function parseIp(text: string): Ip | null {
  if (isIPv4(text)) return { bits: 32, value: text.split('.').reduce((sum, octet) => sum * 256n + BigInt(octet), 0n) };
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
  if (bits === 32) return [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 255n).join('.');
  const groups = Array.from({ length: 8 }, (_, index) => ((value >> BigInt(112 - 16 * index)) & 0xffffn).toString(16));
  const text = groups.join(':');
  // The longest run of at least two zeros, the first of equals, becomes `::`.
  const runs = text.match(/\b0(:0)+\b/g) ?? [];
  const longest = runs.reduce((best, run) => (run.length > best.length ? run : best), '');
  return longest === '' ? text : text.replace(new RegExp(`(^|:)${longest}(:|$)`), '::');
}

/** First and last address of the subnet that an address lies in. `prefix` is in bits. */
export function subnetAround({ bits, value }: Ip, prefix: number): { first: bigint; last: bigint } {
  const size = 1n << BigInt(bits - prefix);
  const first = value - (value % size);
  return { first, last: first + size - 1n };
}
