/** The log: a line for each event (model/event.ts), which `nethooks logs` reads. */
import {
  closeSync,
  existsSync,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { HOOK_LOG, RUN } from '../model/paths.ts';
import { isMissing } from './files.ts';

/** At this size the file gets another name, and the next one begins; as much is kept of those before it. */
export const MAX_BYTES = 4 * 1024 * 1024;

/** Appends a line, whole or not at all beside others who do. Never throws: a log must not stop a hook. */
export function appendLog(line: string, path = HOOK_LOG, most = MAX_BYTES): void {
  try {
    const file = openLog(path);
    try {
      writeSync(file, line);
      const { size, ino } = fstatSync(file);
      if (size >= most) rotate(path, ino, most);
    } finally {
      closeSync(file);
    }
  } catch {
    // Nowhere left to say it.
  }
}

/** Its directory is made again where nethooks is in use; who only tries a command, on a host without, gets none. */
function openLog(path: string): number {
  try {
    return openSync(path, 'a', 0o640);
  } catch (error) {
    if (!isMissing(error) || (path === HOOK_LOG && !existsSync(RUN))) throw error;
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
    return openSync(path, 'a', 0o640);
  }
}

/**
 * No lock: everybody's new name is another one, so that two who rename at once lose nothing, and what somebody still writes into a file
 * that has just been renamed is found there. Only the oldest is removed.
 */
function rotate(path: string, ino: number, most: number): void {
  if (statSync(path, { throwIfNoEntry: false })?.ino !== ino) return;
  renameSync(path, `${path}.${new Date().toISOString().replace(/[-:.]/g, '')}.${process.pid}`);
  let kept = 0;
  for (const old of formerLogs(path).reverse()) {
    if (kept >= most) rmSync(old, { force: true });
    else kept += statSync(old, { throwIfNoEntry: false })?.size ?? 0;
  }
}

/** The files before the current one, the oldest first. Earlier versions called theirs `hooks.log.1`. */
export function formerLogs(path = HOOK_LOG): string[] {
  try {
    const prefix = `${basename(path)}.`;
    const names = readdirSync(dirname(path)).filter((name) => name.startsWith(prefix));
    return names.sort().map((name) => join(dirname(path), name));
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

/** Text from outside with its control characters shown as `?`. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what this is about
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, '?');
}
