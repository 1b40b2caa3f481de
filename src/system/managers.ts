/** Who manages networks on this host, and which interfaces their own files are about. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { HostFacts } from '../model/facts.ts';
import { filesIn, readText } from './files.ts';

/** Where a bridge is described, and the key of its name (systemd.netdev(5), nm-settings-keyfile(5)). */
const DESCRIPTIONS = [
  ...['/etc', '/run', '/usr/lib'].map((root) => ({
    directory: `${root}/systemd/network`,
    ending: '.netdev',
    key: 'Name',
  })),
  { directory: '/etc/NetworkManager/system-connections', ending: '.nmconnection', key: 'interface-name' },
];

export function managersFact(): HostFacts['managers'] {
  return {
    systemd: existsSync('/run/systemd/system'),
    networkManager: existsSync('/usr/sbin/NetworkManager'),
    named: DESCRIPTIONS.flatMap(({ directory, ending, key }) =>
      filesIn(directory)
        .filter((name) => name.endsWith(ending))
        .flatMap((name) => {
          const text = readText(join(directory, name)) ?? '';
          return new RegExp(`^${key}\\s*=\\s*(\\S+)`, 'm').exec(text)?.[1] ?? [];
        }),
    ),
  };
}
