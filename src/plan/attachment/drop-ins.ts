/**
 * Drop-ins for systemd inside a container (resolved.conf(5), networkd.conf(5), systemd.network(5)): pure. There resolv.conf is a link to what
 * resolved writes, which asks nobody before DHCP is done, and never completes a bare name; and networkd removes what it has not made itself.
 */
import type { ResolvConf } from '../../model/resolv-conf.ts';
import type { DropIn } from '../../model/step.ts';

const MARK = '# Written by nethooks; changes are overwritten.\n';

/** Whether a file is of our making; one of the admin's in its place stays. */
export const isDropIn = (text: string): boolean => text.startsWith(MARK);

/**
 * @param asks what its resolv.conf says; null where that is not ours to say
 * @param ifnames its interfaces that have addresses and routes of ours; null where it has no network of ours
 */
export function dropIns(asks: ResolvConf | null, ifnames: readonly string[] | null): DropIn[] {
  return [
    ...(asks ? [{ daemon: 'resolved' as const, directory: 'resolved.conf.d', text: resolved(asks) }] : []),
    ...(ifnames ? [{ daemon: 'networkd' as const, directory: 'networkd.conf.d', text: NETWORKD }] : []),
    ...(ifnames ?? []).map(keepAddress),
  ];
}

const resolved = ({ nameservers, search }: ResolvConf): string =>
  `${MARK}[Resolve]\nDNS=${nameservers.join(' ')}\n${search.length > 0 ? `Domains=${search.join(' ')}\n` : ''}`;

/** The routes stay that are there before networkd runs. Before systemd 256 the second key is unknown, and nexthops are left alone. */
const NETWORKD = `${MARK}[Network]\nManageForeignRoutes=no\nManageForeignNextHops=no\n`;

/**
 * The address stays as well: while the interface has none, resolved takes the network to be down and asks nobody. The file that
 * configures an interface is called after it, as images of LXC's have it; for another one there is a moment without.
 */
const keepAddress = (ifname: string): DropIn => ({
  daemon: 'networkd',
  directory: `network/${ifname}.network.d`,
  text: `${MARK}[Network]\nKeepConfiguration=static\n`,
  unless: { file: `network/${ifname}.network`, says: 'KeepConfiguration' },
});
