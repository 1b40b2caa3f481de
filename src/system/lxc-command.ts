/**
 * What `lxc-start -s KEY=VALUE` and `--share-net` say: it is in no file, LXC cannot be asked while it runs a hook (lxc/lxc#395), and the
 * monitor has overwritten its command line. The program that was called still has its own: it waits until the container runs.
 */
import { existsSync, readdirSync, readlinkSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import { commandLine } from './process.ts';

/** How many pids below the monitor's are tried one by one: the program that started it has forked twice, so it is close. */
const NEAR = 32;
/** How many processes are looked at beyond these: others may have been started meanwhile, or pids have begun anew. */
const MOST = 4096;

/**
 * The settings about the network in the command that starts a container, as lines of a configuration; empty without any.
 * @param parent of the hook: LXC's monitor, or the command itself where that stays in the foreground
 */
export function settingsOnCommandLine(container: string, parent: number): string {
  const own = commandLine(parent);
  if (isStarter(own[0])) return settingsIn(own);
  // What uses liblxc has no options.
  if (!own[0]?.startsWith('[lxc monitor]')) return '';
  for (const pid of candidates(parent)) {
    const words = commandLine(pid);
    if (isStarter(words[0]) && names(words, container) && isOurs(pid)) return settingsIn(words);
  }
  return '';
}

/** Whether a program starts one container, which it is told by name. */
export const isStarter = (program = ''): boolean => ['lxc-start', 'lxc-execute'].includes(basename(program));

/** Whether the words that a program was called with name a container. */
export const names = (words: readonly string[], container: string): boolean =>
  words.some((word) => [container, `-n${container}`, `--name=${container}`].includes(word));

/** Of our user and in our namespaces: whatever runs in a container may call itself as it likes. */
export function isOurs(pid: number | string): boolean {
  const same = (namespace: string): boolean =>
    readlinkSync(`/proc/${pid}/ns/${namespace}`) === readlinkSync(`/proc/self/ns/${namespace}`);
  try {
    return statSync(`/proc/${pid}`).uid === process.geteuid?.() && ['mnt', 'pid', 'user'].every(same);
  } catch {
    return false; // it has ended
  }
}

/** From the monitor's pid downwards, then from the highest one. All processes are listed only where the nearest are others. */
function* candidates(monitor: number): Generator<number> {
  const last = Math.max(monitor - NEAR, 2);
  for (let pid = monitor - 1; pid >= last; pid--) if (existsSync(`/proc/${pid}`)) yield pid;
  const all = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  const rest = all.map(Number).filter((pid) => pid < last || pid > monitor);
  const distance = (pid: number): number => (pid < monitor ? monitor - pid : 2 ** 23 + monitor - pid);
  yield* rest.sort((a, b) => distance(a) - distance(b)).slice(0, MOST);
}

/** getopt_long(3): `-s X`, `-sX`, `--define X`, `--define=X`; what takes a value may end a bundle of letters (`-Fs X`). */
export function settingsIn(words: readonly string[]): string {
  const end = words.indexOf('--');
  const options = end < 0 ? words : words.slice(0, end);
  const lines = options.flatMap((word, index) => {
    const next = options[index + 1] ?? '';
    const [, long, given] = /^--(def\w*|share-n\w*)(?:=(.*))?$/.exec(word) ?? [];
    if (long !== undefined) {
      const value = given ?? next;
      return long.startsWith('def') ? [value] : [`lxc.namespace.share.net=${value}`];
    }
    const [, short] = /^-[dF]*s(.*)$/.exec(word) ?? [];
    return short === undefined ? [] : [short || next];
  });
  return lines
    .filter((line) => /^lxc\.(net|network|namespace\.share\.net)[.=\s]/.test(line) && !/[\r\n]/.test(line))
    .map((line) => `${line}\n`)
    .join('');
}
