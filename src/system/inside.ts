/** What a running container has on its network, read from /proc of one of its processes: no program is started. */
import { closeSync, openSync, readSync } from 'node:fs';
import type { InsideFact } from '../model/inside.ts';
import { parseLocalAddresses, parseRoutes } from '../plan/attachment/inside.ts';

/** More than any container of ours has; one with more routes than fit is not looked at. */
const buffer = Buffer.alloc(1 << 18);

/** The kernel gives out a page of whole lines at once, and these are short: what is less is the end. */
const PIECE = 3_500;

/** Null where nobody can tell: the process has ended. */
export function readInside(pid: number): InsideFact | null {
  const [trie, routes] = [read(pid, 'fib_trie'), read(pid, 'route')];
  return trie === null || routes === null
    ? null
    : { local: parseLocalAddresses(trie), routes: parseRoutes(routes), links: {} };
}

/** Null for a file that is missing, or does not fit. */
function read(pid: number, file: string): string | null {
  let fd: number;
  try {
    fd = openSync(`/proc/${pid}/net/${file}`, 'r');
  } catch {
    return null;
  }
  try {
    for (let end = 0; end < buffer.length; ) {
      const bytes = readSync(fd, buffer, end, buffer.length - end, null);
      end += bytes;
      if (bytes < PIECE) return buffer.toString('latin1', 0, end);
    }
    return null;
  } catch {
    return null; // it ended while it was read
  } finally {
    closeSync(fd);
  }
}
