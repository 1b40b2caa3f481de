/** IPv4 arithmetic for the hot path, where ipaddr.js would be one more module to load. */

/** The address as an unsigned 32-bit number. Expects a valid dotted quad: validation happened in src/config. */
export function toNumber(address: string): number {
  return address.split('.').reduce((sum, octet) => sum * 256 + Number(octet), 0);
}

/** The dotted quad of an unsigned 32-bit number. */
export function toAddress(value: number): string {
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join('.');
}

/** First and last address of the subnet that `address` lies in. `prefix` is in bits. */
export function subnetOf(address: string, prefix: number): { first: number; last: number } {
  const size = 2 ** (32 - prefix);
  const first = Math.floor(toNumber(address) / size) * size;
  return { first, last: first + size - 1 };
}

/** The subnet of an address in CIDR notation with the host bits cleared. */
export function cidr(address: string, prefix: number): string {
  return `${toAddress(subnetOf(address, prefix).first)}/${prefix}`;
}

/** The netmask of a prefix length in bits, as a dotted quad. */
export function netmask(prefix: number): string {
  return toAddress((2 ** 32 - 2 ** (32 - prefix)) >>> 0);
}

/** Whether two subnets in CIDR notation share an address. */
export function overlaps(a: string, b: string): boolean {
  const [x, y] = [range(a), range(b)];
  return x.first <= y.last && y.first <= x.last;
}

/** Whether `address` lies in the subnet. */
export function contains(subnet: string, address: string): boolean {
  const { first, last } = range(subnet);
  const value = toNumber(address);
  return first <= value && value <= last;
}

/** Whether the text is a dotted quad with four plain octets. */
export function isIPv4(text: string): boolean {
  return (
    /^(\d{1,3}\.){3}\d{1,3}$/.test(text) && text.split('.').every((o) => Number(o) <= 255 && String(Number(o)) === o)
  );
}

function range(subnet: string): { first: number; last: number } {
  const [address = '', prefix = '32'] = subnet.split('/');
  return subnetOf(address, Number(prefix));
}
