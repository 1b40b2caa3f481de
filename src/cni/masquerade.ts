/**
 * Masquerading for configurations with `ipMasq`. The rules are a table of their own: these networks are not nethooks.ini's, and
 * `nethooks down` must not cut them off. A container is one element of a set, whatever their number.
 *
 *   ip daddr 224.0.0.0/4 return                 as the stock plugins: multicast is not translated,
 *   ip saddr . ip daddr @local return           nor what stays in the container's own subnet
 *   ip saddr @containers masquerade
 */
import { bare, isIPv6, network } from '../plan/wiring.ts';
import { type Exec, failure } from '../system/exec.ts';
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
      const suffix = isIPv6(address) ? '6' : '';
      const subnet = network(address);
      return `add element ${CNI_TABLE} local${suffix} { ${subnet} . ${subnet} }\nadd element ${CNI_TABLE} containers${suffix} { ${bare(address)} }\n`;
    })
    .join('');
}

/** @param addresses without prefix length. `add` first, as deleting what is not there would fail the whole transaction. */
export function unmasqueradeScript(addresses: readonly string[]): string {
  return addresses
    .map((address) => {
      const element = `element ${CNI_TABLE} containers${isIPv6(address) ? '6' : ''} { ${address} }`;
      return `add ${element}\ndelete ${element}\n`;
    })
    .join('');
}

/** Adds elements; the table too when it is missing. */
export function masquerade(exec: Exec, addresses: readonly string[]): void {
  const script = masqueradeScript(addresses);
  if (exec('nft', ['-f', '-'], { input: script }).code === 0) return;
  const result = exec('nft', ['-f', '-'], { input: SETUP + script });
  if (result.code !== 0) throw new CniError(CODE.failed, 'masquerading failed', failure('nft', ['-f', '-'], result));
}

/** Removes elements. Without the table there is nothing to remove. */
export function unmasquerade(exec: Exec, addresses: readonly string[]): void {
  if (addresses.length === 0) return;
  const result = exec('nft', ['-f', '-'], { input: unmasqueradeScript(addresses) });
  if (result.code !== 0 && !/No such file or directory/.test(result.stderr))
    throw new CniError(CODE.failed, 'taking masquerading back failed', failure('nft', ['-f', '-'], result));
}

/** Removes the table. */
export function removeTable(exec: Exec): void {
  exec('nft', ['-f', '-'], { input: `add table ${CNI_TABLE}\ndelete table ${CNI_TABLE}\n` });
}
