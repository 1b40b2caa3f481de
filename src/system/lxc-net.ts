/** The bridge of Debian's lxc-net, as its script finds it: two files in the words of sh(1), and a default. */
import { existsSync, readdirSync, readlinkSync } from 'node:fs';
import { isMissing, readText } from './files.ts';

const DEFAULT = 'lxcbr0';

/** Its name, whether or not it is there. */
export function lxcNetBridge(): string {
  const text = ['/etc/default/lxc', '/etc/default/lxc-net'].map((path) => readText(path) ?? '').join('\n');
  return [...text.matchAll(/^[ \t]*LXC_BRIDGE=["']?([^\s"'#]+)/gm)].at(-1)?.[1] ?? DEFAULT;
}

const UNITS = '/etc/systemd/system';

/** Whether it is there or comes at boot; one that is there does not come again where its service is masked (systemd.unit(5)). */
export function lxcNetComes(bridge: string): boolean {
  if (targetOf(`${UNITS}/lxc-net.service`) === '/dev/null') return false;
  if (existsSync(`/sys/class/net/${bridge}`) || !existsSync('/run/systemd/system')) return true;
  return readdirSync(UNITS).some(
    (name) => name.endsWith('.wants') && targetOf(`${UNITS}/${name}/lxc-net.service`) !== null,
  );
}

function targetOf(link: string): string | null {
  try {
    return readlinkSync(link);
  } catch (error) {
    if (isMissing(error) || (error as NodeJS.ErrnoException).code === 'EINVAL') return null;
    throw error;
  }
}
