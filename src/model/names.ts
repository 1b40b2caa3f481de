/** What things may be called: containers, interfaces, hosts. One rule for each, for every way in. Pure. */

/** The characters that CNI allows in a container id (SPEC.md), which the address store holds; no path of any kind. */
export const isSafeName = (name: string): boolean => /^[A-Za-z0-9][A-Za-z0-9_.-]{0,199}$/.test(name);

/**
 * An interface's name: what the kernel takes (dev_valid_name in net/core/dev.c), in printable ASCII and without what means something
 * to `ip -batch` or nft.
 */
export const isInterfaceName = (name: string): boolean =>
  /^[!-~]{1,15}$/.test(name) && !/[/:%"'\\#]/.test(name) && name !== '.' && name !== '..';

/** A DNS name of labels as RFC 1123 section 2.1 allows them. */
export const isDomainName = (name: string): boolean =>
  name.length <= 253 && /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/i.test(name);

/** A container's name as a DNS name (RFC 1123), or null when it cannot be one: `my_db` becomes `my-db`. */
export function dnsName(container: string): string | null {
  const name = container.toLowerCase().replaceAll('_', '-');
  return isDomainName(name) ? name : null;
}
