/** Where LXC keeps its containers, unless one was started with -P (lxc.system.conf(5), lxc.lxcpath). */
import { readText } from './files.ts';

const CONFIG = '/etc/lxc/lxc.conf';
const DEFAULT = '/var/lib/lxc';

/** The directory as LXC is configured, else where Debian's puts them. */
export function lxcPath(): string {
  let text: string | null = null;
  try {
    text = readText(CONFIG);
  } catch {
    // A directory in its place: LXC reads nothing there either.
  }
  const [, path] = [...(text ?? '').matchAll(/^\s*lxc\.lxcpath\s*=\s*(\/.*?)\s*$/gm)].at(-1) ?? [];
  return path ?? DEFAULT;
}
