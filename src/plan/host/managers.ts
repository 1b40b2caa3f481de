/**
 * systemd-networkd, udev and NetworkManager manage every interface that a file of theirs matches: networkd would take a bridge's address
 * away and containers' interfaces out of it. Files that go with us say that ours are nobody's (systemd.network(5), systemd.link(5),
 * NetworkManager.conf(5)).
 */
import type { NetworkConfig } from '../../model/config.ts';
import type { HostFacts } from '../../model/facts.ts';
import { NETWORK_MANAGER, NETWORKD_LINK, NETWORKD_NETWORK } from '../../model/paths.ts';
import type { FileStep, Step } from '../../model/step.ts';
import { ALIAS } from './bridge.ts';

/** The host's ends of containers' pairs: those that LXC makes for root and for others, and ours (hostLinkOf). */
const PAIRS = ['veth??????', 'veth*_????', 'veth????????'];

const HEAD = '# Written by nethooks; changes are overwritten by `nethooks up`.\n';

/** The steps to their files, where they are installed; before a bridge is made. */
export function planManagers(networks: NetworkConfig[], facts: HostFacts): Step[] {
  const { systemd, networkManager } = facts.managers;
  const names = [...networks.map(({ name }) => name).filter((name) => isOurs(name, facts)), ...PAIRS];
  const none = networks.length === 0;
  const match = names.join(' ');
  const device = names.map((name) => `interface-name:${name}`).join(',');
  return [
    ...planFor('systemd-networkd', facts, systemd && !none, {
      [NETWORKD_NETWORK]: `${HEAD}[Match]\nName=${match}\n\n[Link]\nUnmanaged=yes\n`,
      [NETWORKD_LINK]: `${HEAD}[Match]\nOriginalName=${match}\n\n[Link]\nNamePolicy=keep kernel\nMACAddressPolicy=none\n`,
    }),
    ...planFor('NetworkManager', facts, networkManager && !none, {
      [NETWORK_MANAGER]: `${HEAD}[device-nethooks]\nmatch-device=${device}\nmanaged=0\n`,
    }),
  ];
}

/** One that somebody else has made, or has files for, stays whose it is. */
function isOurs(name: string, { links, managers }: HostFacts): boolean {
  const link = links.find((one) => one.name === name);
  return link ? link.alias === ALIAS : !managers.named.includes(name);
}

function planFor(
  program: 'systemd-networkd' | 'NetworkManager',
  facts: HostFacts,
  isWanted: boolean,
  files: Record<string, string>,
): Step[] {
  const changes = Object.entries(files).flatMap(([path, text]): FileStep[] => {
    const before = facts.files[path] ?? null;
    const content = isWanted ? text : null;
    return before === content ? [] : [{ kind: 'file', path, before, content }];
  });
  return changes.length === 0 ? [] : [...changes, { kind: 'neighbour', program }];
}
