/** Whether a process that a record names is still that process: pids are given out again. */
import { statSync } from 'node:fs';
import { readText } from './files.ts';

/**
 * Whether this is root whose files ours are. It is not for an ordinary user's container: some of its hooks run as that user, others (clone)
 * as the root of a user namespace, to whom the host's files are nobody's.
 */
export const isRoot = (): boolean => process.getuid?.() === 0 && statSync('/run').uid === 0;

/** When the process started, in clock ticks since boot (proc(5), stat field 22); null when there is no such process. */
export const startTime = (pid: number): string | null => statFields(pid)?.[18] ?? null;

/** The process that started it; null when there is no such process. */
export const parentOf = (pid: number): number | null => Number(statFields(pid)?.[0]) || null;

/** The fields of proc(5), stat, from the parent's pid on; null when the process has ended. */
function statFields(pid: number): string[] | null {
  let stat: string | null;
  try {
    stat = readText(`/proc/${pid}/stat`);
  } catch {
    return null; // it ended while it was read (ESRCH)
  }
  if (stat === null) return null;
  // The second field is the program's name in parentheses, which may hold anything, spaces and parentheses too.
  const [state, ...fields] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return state === 'Z' || state === 'X' ? null : fields;
}

/** Whether the process that had this pid and start time is alive; without a known start time, whether the pid is. */
export function isAlive({ pid, started }: { pid: number; started?: string | null }): boolean {
  const now = startTime(pid);
  return now !== null && (started === undefined || started === null || now === started);
}

/** The words that the process was started with (proc(5), cmdline); none when there is no such process. */
export function commandLine(pid: number): string[] {
  try {
    return (readText(`/proc/${pid}/cmdline`) ?? '').replace(/\0$/, '').split('\0');
  } catch {
    return []; // it ended while it was read (ESRCH)
  }
}
