/** Names and MAC addresses made from ids and addresses: the same every time, so that they are found again without a record. */
import { bare, isV6, toNumber } from './address.ts';

/** FNV-1a: a short checksum, for names and to see that a text has changed. Not for secrets. */
export function fnv(text: string, seed: number): number {
  let hash = 0x811c9dc5 ^ seed;
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  return hash >>> 0;
}

const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0').slice(-digits);

/** The host's end of a container's pair. Made from its ids, so that it is found again without a record: `veth` and 8 digits, as rkt's. */
export const hostLinkOf = (networkName: string, id: string, ifname: string): string =>
  `veth${hex(fnv(`${networkName}/${id}/${ifname}`, 0), 8)}`;

/** A MAC of our own making for an interface whose address is not known before it is there: the same at every start, for DHCP. */
export function macOf(networkName: string, id: string, ifname: string): string {
  const text = `${networkName}/${id}/${ifname}`;
  const digits = `${hex(fnv(text, 1), 8)}${hex(fnv(text, 2), 2)}`;
  return ['06', ...(digits.match(/../g) as string[])].join(':');
}

/** A bridge's MAC, made from its first IPv4 address, else from its name. */
export function bridgeMac(name: string, addresses: readonly string[]): string {
  const first = addresses.find((address) => !isV6(address));
  return first ? macFor(bare(first)) : macOf('', name, '');
}

/** The host's end has the container's MAC with another first byte, locally administered as well. */
export const hostMac = (mac: string): string => `fe${mac.slice(2)}`;

/** A MAC address of our own making for whoever holds an IPv4 address: locally administered, fixed, unique in its network. */
export function macFor(address: string): string {
  const octets = toNumber(address).toString(16).padStart(8, '0').match(/../g) as string[];
  return ['02', '6e', ...octets].join(':');
}
