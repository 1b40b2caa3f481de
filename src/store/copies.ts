/**
 * Which LXC container was just copied from which, `/run/nethooks/copies/PID`, while the process lives that does it. LXC renames by
 * copying and destroying, with no word of it to the hooks: what tells a rename is that one process does both.
 */
import { basename, dirname } from 'node:path';
import { copyNote } from '../model/paths.ts';
import { ensureText, filesIn, readText, removeFile } from '../system/files.ts';
import { isAlive, startTime } from '../system/process.ts';

/** Notes what the process `pid` has copied. */
export function noteCopy(pid: number, source: string, copy: string): void {
  for (const path of abandonedCopies()) removeFile(path);
  ensureText(copyNote(pid), `${startTime(pid)}\n${source}\n${copy}\n`);
}

/** The copy that the process has made of a container, if that was its last one; null otherwise. */
export function takeCopy(pid: number, source: string): string | null {
  const [started, from, copy] = (readText(copyNote(pid)) ?? '').split('\n');
  if (from !== source || !copy || started !== startTime(pid)) return null;
  removeFile(copyNote(pid));
  return copy;
}

/** Notes of processes that have ended. */
export const abandonedCopies = (): string[] =>
  filesIn(dirname(copyNote('-')))
    .map(copyNote)
    .filter((path) => {
      const [started] = (readText(path) ?? '').split('\n');
      return !isAlive({ pid: Number(basename(path)), ...(started && { started }) });
    });
