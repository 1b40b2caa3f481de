import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';

const DIRECTORIES = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];

/** Programs that the demo runs, and the Debian packages that have them. */
const NEEDED = [
  ['lxc-start', 'lxc'],
  ['busybox', 'busybox-static'],
  ['dnsmasq', 'dnsmasq-base'],
  ['nft', 'nftables'],
  ['iptables', 'iptables'],
  ['ip', 'iproute2'],
  ['sysctl', 'procps'],
  ['nsenter', 'util-linux'],
  ['setpriv', 'util-linux'],
] as const;

/** Whether a program is where Debian puts programs, whatever PATH says. */
export function installed(program: string): boolean {
  return DIRECTORIES.some((directory) => {
    try {
      accessSync(join(directory, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** What keeps the demo from running, in one line with the way out; undefined if nothing does. */
export function whatIsMissing(uid = process.getuid?.(), has = installed): string | undefined {
  const missing = NEEDED.filter(([program]) => !has(program));
  if (missing.length > 0) {
    const packages = [...new Set(missing.map(([, name]) => name))].join(' ');
    return `needs ${missing.map(([program]) => program).join(', ')}: apt install ${packages}`;
  }
  if (uid !== 0) return 'needs root for namespaces of its own: run it with sudo';
  return undefined;
}
