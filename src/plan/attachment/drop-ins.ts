/**
 * Drop-ins for systemd inside a container (resolved.conf(5), networkd.conf(5)): pure. There resolv.conf is a link to what resolved
 * writes, which asks nobody before DHCP is done, and never completes a bare name; and networkd removes what it has not made itself.
 */
import type { ResolvConf } from '../../model/resolv-conf.ts';
import type { DropIn } from '../../model/step.ts';

const MARK = '# Written by nethooks; changes are overwritten.\n';

/** Whether a file is of our making; one of the admin's in its place stays. */
export const isDropIn = (text: string): boolean => text.startsWith(MARK);

/**
 * @param asks what its resolv.conf says; null where that is not ours to say
 * @param addressed whether it has addresses and routes of ours
 */
export function dropIns(asks: ResolvConf | null, addressed: boolean): DropIn[] {
  return [
    ...(asks ? [{ daemon: 'resolved' as const, text: resolved(asks) }] : []),
    ...(addressed ? [{ daemon: 'networkd' as const, text: NETWORKD }] : []),
  ];
}

const resolved = ({ nameservers, search }: ResolvConf): string =>
  `${MARK}[Resolve]\nDNS=${nameservers.join(' ')}\n${search.length > 0 ? `Domains=${search.join(' ')}\n` : ''}`;

/** The routes stay that are there before networkd runs. Before systemd 256 the second key is unknown, and nexthops are left alone. */
const NETWORKD = `${MARK}[Network]\nManageForeignRoutes=no\nManageForeignNextHops=no\n`;
