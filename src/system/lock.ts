/** One change to the host at a time: `up`, `down`, `gc` and the ifupdown hooks, which run in parallel. The sweep has its own lock. */
import { closeSync, constants, linkSync, mkdirSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { NethooksError } from '../errors.ts';
import { RUN } from '../model/paths.ts';
import type { Exec } from './exec.ts';
import { readText } from './files.ts';
import { isAlive, startTime } from './process.ts';

const POLL_MS = 5;

/**
 * Takes the host's lock and returns what gives it back. Where nobody is in the way that takes no process, which flock(1) would be:
 * node has no flock(2). Who finds the lock taken stands in a queue; only the head of the queue removes the lock of a holder that
 * has died, so nobody removes one that has just been taken.
 * @param waitSeconds how long to wait for another nethooks
 * @param directory where the lock is
 * @throws NethooksError when the lock is still taken after that
 */
export async function lockHost(exec: Exec, waitSeconds: number, directory: string = RUN): Promise<() => void> {
  mkdirSync(directory, { recursive: true, mode: 0o755 });
  const lock = `${directory}/lock`;
  const release = (): void => rmSync(lock, { force: true });
  if (take(lock)) return release;
  const busy = (): NethooksError =>
    new NethooksError(`another nethooks is still at work after ${waitSeconds} s (${lock})`);
  const deadline = performance.now() + waitSeconds * 1000;
  const queue = openSync(`${directory}/queue`, constants.O_CREAT | constants.O_RDWR, 0o600);
  try {
    // The lock belongs to the open file, which flock(1) shares with us: it is ours when that has ended.
    const { code } = await exec.prepare('flock', ['-w', String(waitSeconds), '3'], { fd: queue })('');
    if (code !== 0) throw busy();
    while (!take(lock)) {
      const holder = readText(lock);
      if (holder !== null && !isHolderAlive(holder)) release();
      else if (performance.now() > deadline) throw busy();
      else await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    return release;
  } finally {
    closeSync(queue);
  }
}

/**
 * Takes flock(2)'s lock on a directory that is there anyway, to leave nothing behind, and returns what gives it back. It goes with
 * this process, however that ends; programs that it starts do not inherit it.
 * @returns undefined when another process still has it after `waitSeconds`
 */
export function lockDirectory(exec: Exec, directory: string, waitSeconds: number): (() => void) | undefined {
  const file = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY);
  const { code } = exec('flock', ['-w', String(waitSeconds), '3'], { fd: file });
  if (code === 0) return () => closeSync(file);
  closeSync(file);
  return undefined;
}

/** Whether the lock was free, and is ours now. It names its holder, and is made with link(2): there whole, or not at all. */
function take(lock: string): boolean {
  const own = `${lock}.${process.pid}`;
  writeFileSync(own, `${process.pid} ${startTime(process.pid)}\n`, { mode: 0o600 });
  try {
    linkSync(own, lock);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    rmSync(own, { force: true });
  }
}

function isHolderAlive(text: string): boolean {
  const [pid, started] = text.trim().split(' ');
  return isAlive({ pid: Number(pid), started: started ?? null });
}
