/** The bridge of Debian's lxc-net, as its script finds it: two files in the words of sh(1), and a default. */
import { readText } from './files.ts';

const DEFAULT = 'lxcbr0';

/** Its name, whether or not it is there. */
export function lxcNetBridge(): string {
  const text = ['/etc/default/lxc', '/etc/default/lxc-net'].map((path) => readText(path) ?? '').join('\n');
  return [...text.matchAll(/^[ \t]*LXC_BRIDGE=["']?([^\s"'#]+)/gm)].at(-1)?.[1] ?? DEFAULT;
}
