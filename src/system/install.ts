/** Where this nethooks is installed. */
import { existsSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** The usual place, for an executable that was started from somewhere else, such as dist/. */
const INSTALLED = '/usr/lib/nethooks';

/** The directory of our LXC hooks, beside the executable or in the usual place; null when they are not installed. */
export function hooksDirectory(): string | null {
  const beside = dirname(realpathSync(executable()));
  return (
    [beside, INSTALLED]
      .map((directory) => join(directory, 'lxc'))
      .find((directory) => existsSync(join(directory, 'start-host'))) ?? null
  );
}

/** What dnsmasq calls about leases; null when it is not installed: dnsmasq does not start then. */
export function leaseScript(): string | null {
  const hooks = hooksDirectory();
  const path = hooks === null ? null : join(dirname(hooks), 'dhcp-script');
  return path !== null && existsSync(path) ? path : null;
}

/** The program on disk: the compiled executable, or the script that node runs. */
export function executable(): string {
  const script = process.argv[1];
  return process.versions.bun || !script ? process.execPath : script;
}
