import type { ThrowawayHost } from '../../src/demo/throwaway.ts';
import { sh } from './host.ts';

/** What nethooks changes outside /etc/nethooks and /run/nethooks. */
export const TOUCHED_FILES = [
  '/etc/resolv.conf',
  '/etc/lxc/default.conf',
  '/etc/sysctl.d/60-nethooks.conf',
  '/etc/nethooks/nethooks.ini',
];

/**
 * The host's network state as one text, for byte-identical comparisons: nft, iptables, links and addresses, routes, policy rules, a
 * few sysctls, and files with mode, owner, time of last change and content. What changes by itself is made the same: counters,
 * timers, lifetimes, link-local addresses.
 */
export async function snapshot(host: ThrowawayHost, files: readonly string[] = TOUCHED_FILES): Promise<string> {
  return normalise(await sh(host, LIST, files));
}

const LIST = `
echo '== nft'; nft list ruleset
echo '== iptables'; iptables-save 2>&1
echo '== ip6tables'; ip6tables-save 2>&1
echo '== addresses'; ip -d address
echo '== routes'; ip route show table all
echo '== rules'; ip rule
echo '== sysctl'; sysctl net.ipv4.ip_forward net.ipv6.conf.all.forwarding
for file; do
  echo "== $file"
  if [ -e "$file" ] || [ -L "$file" ]; then stat -c '%N %A %U:%G %y' "$file"; cat "$file"; else echo 'not there'; fi
done
`;

/** See {@link snapshot}; a function of its own so that tests can compare what they have listed themselves. */
export function normalise(text: string): string {
  return text
    .replaceAll(/^# (Generated|Completed) .*\n/gm, '')
    .replaceAll(/\[\d+:\d+\]/g, '[0:0]')
    .replaceAll(/counter packets \d+ bytes \d+/g, 'counter packets 0 bytes 0')
    .replaceAll(/ expires \w+/g, '')
    .replaceAll(/_timer +[\d.]+/g, '_timer 0')
    .replaceAll(/_lft \d+sec/g, '_lft 0sec')
    .replaceAll(/^ +inet6 fe80:.*\n.*valid_lft.*\n/gm, '')
    .replaceAll(/^.*\bfe80:.*\n/gm, '')
    .replaceAll(/^(local|multicast|anycast) (fe80|ff00):.*\n/gm, '');
}

/** A snapshot without what a bridge shows for a while of ports that have come or gone. */
export const steady = (text: string): string =>
  text.replaceAll(/NO-CARRIER,|,LOWER_UP| state \w+| linkdown| tso_max_size \d+/g, '');
