/**
 * What `lxc-start -s KEY=VALUE` and `--share-net` say: it is in no file, LXC cannot be asked while it runs a hook (lxc/lxc#395), and the
 * monitor has overwritten its command line. The program that was called still has its own: it waits until the container runs.
 */
import { existsSync, readlinkSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import { readText } from './files.ts';
import { commandLine, startTime } from './process.ts';

/** How long a command takes at most until it has started its monitor, in clock ticks (proc(5)): 3 s, on a host that is very busy. */
const LONGEST = 300;
/** How many pids are looked at. */
const MOST = 1024;
/** pids begin anew behind those of the kernel's own (kernel/pid.c, RESERVED_PIDS). */
const FIRST_PID = 300;

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

/**
 * Processes from the monitor's pid downwards, as long as they may have started it. pids are given out in turn, so the first one that is
 * older ends it, on a host with thousands of processes as on one with ten.
 */
function* candidates(monitor: number): Generator<number> {
  const started = Number(startTime(monitor));
  let pid = monitor;
  for (let step = 0; step < MOST; step++) {
    pid = pid > FIRST_PID ? pid - 1 : highestPid();
    const before = existsSync(`/proc/${pid}`) ? startTime(pid) : null;
    if (before === null) continue;
    if (Number(before) < started - LONGEST) return;
    yield pid;
  }
}

const highestPid = (): number => Number(readText('/proc/sys/kernel/pid_max')) - 1;

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
