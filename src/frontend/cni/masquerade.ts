/**
 * Masquerading for configurations with `ipMasq`. The rules are a table of their own: these networks are not nethooks.ini's, and
 * `nethooks down` must not cut them off. A container is one element of a set, whatever their number.
 *
 *   ip daddr 224.0.0.0/4 return                 as the stock plugins: multicast is not translated,
 *   ip saddr . ip daddr @local return           nor what stays in the container's own subnet
 *   ip saddr @containers masquerade
 */
import { bare, isV6, subnetCidr } from '../../model/address.ts';
import {
  claimMasquerade,
  isAnyMasqueraded,
  type Key,
  masqueraded,
  releaseMasquerade,
} from '../../store/attachments.ts';
import { type Exec, type ExecResult, failure } from '../../system/exec.ts';
import { CniError, CODE } from './error.ts';

export const CNI_TABLE = 'inet nethooks-cni';

const SETUP = `add table ${CNI_TABLE}
add set ${CNI_TABLE} containers { type ipv4_addr; }
add set ${CNI_TABLE} containers6 { type ipv6_addr; }
add set ${CNI_TABLE} local { type ipv4_addr . ipv4_addr; flags interval; }
add set ${CNI_TABLE} local6 { type ipv6_addr . ipv6_addr; flags interval; }
add chain ${CNI_TABLE} postrouting { type nat hook postrouting priority srcnat; policy accept; }
flush chain ${CNI_TABLE} postrouting
add rule ${CNI_TABLE} postrouting ip daddr 224.0.0.0/4 return
add rule ${CNI_TABLE} postrouting ip6 daddr ff00::/8 return
add rule ${CNI_TABLE} postrouting ip saddr . ip daddr @local return
add rule ${CNI_TABLE} postrouting ip6 saddr . ip6 daddr @local6 return
add rule ${CNI_TABLE} postrouting ip saddr @containers masquerade
add rule ${CNI_TABLE} postrouting ip6 saddr @containers6 masquerade
`;

/** @param addresses with prefix length */
export function masqueradeScript(addresses: readonly string[]): string {
  return addresses
    .map((address) => {
      const suffix = isV6(address) ? '6' : '';
      const subnet = subnetCidr(address);
      return `add element ${CNI_TABLE} local${suffix} { ${subnet} . ${subnet} }\nadd element ${CNI_TABLE} containers${suffix} { ${bare(address)} }\n`;
    })
    .join('');
}

/** `add` first, as deleting what is not there would fail the whole transaction. */
export function unmasqueradeScript(addresses: readonly string[]): string {
  return addresses
    .map((address) => {
      const element = `element ${CNI_TABLE} containers${isV6(address) ? '6' : ''} { ${bare(address)} }`;
      return `add ${element}\ndelete ${element}\n`;
    })
    .join('');
}

/** Masquerades an attachment's addresses, given with prefix length. The table is made by whoever finds it missing. */
export function masquerade(exec: Exec, addresses: readonly string[], key: Key): void {
  const first = !isAnyMasqueraded();
  for (const address of addresses) claimMasquerade(address, key);
  apply(exec, masqueradeScript(addresses), first);
}

/**
 * Takes that back, except for addresses that somebody else has by now. The last one takes the table along.
 * @param forget whether to give the claim up even if nft fails: there will be no other try
 */
export function unmasquerade(exec: Exec, addresses: readonly string[], key: Key, forget = false): void {
  const own = addresses.filter((address) => releaseMasquerade(address, key));
  if (own.length === 0) return;
  const last = !isAnyMasqueraded();
  const result = nft(exec, last ? REMOVE : unmasqueradeScript(own));
  if (result.code !== 0 && !/No such file or directory/.test(result.stderr)) {
    if (!forget) for (const address of own) claimMasquerade(address, key); // the next DEL tries again
    throw new CniError(CODE.failed, 'taking masquerading back failed', failure('nft', ['-f', '-'], result));
  }
  // Somebody may have come between the look and the removal.
  if (last) restoreMasquerade(exec);
}

/** Puts back what should be there, after a flush. */
export function restoreMasquerade(exec: Exec): void {
  const addresses = masqueraded();
  if (addresses.length > 0) apply(exec, masqueradeScript(addresses), false);
}

/** @param missing whether the table is likely not there */
function apply(exec: Exec, script: string, missing: boolean): void {
  if (!missing && nft(exec, script).code === 0) return;
  const result = nft(exec, SETUP + script);
  if (result.code !== 0) throw new CniError(CODE.failed, 'masquerading failed', failure('nft', ['-f', '-'], result));
}

const nft = (exec: Exec, input: string): ExecResult => exec('nft', ['-f', '-'], { input });

const REMOVE = `add table ${CNI_TABLE}\ndelete table ${CNI_TABLE}\n`;
