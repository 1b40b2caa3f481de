/** The hooks' log: what a hook has to say after its caller has swallowed what it printed. */
import { appendFileSync, mkdirSync, renameSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { HOOK_LOG } from '../model/paths.ts';

const MAX_BYTES = 1024 * 1024;

/** Appends a line; at 1 MiB the log starts anew and the old one is kept as hooks.log.1. Never throws: a log must not stop a hook. */
export function logHook(event: string, message: string): void {
  try {
    mkdirSync(dirname(HOOK_LOG), { recursive: true, mode: 0o755 });
    if ((statSync(HOOK_LOG, { throwIfNoEntry: false })?.size ?? 0) > MAX_BYTES) renameSync(HOOK_LOG, `${HOOK_LOG}.1`);
    // One write, so that hooks running at once do not mix their lines; no line of an attacker's making inside.
    const lines = message.split('\n').map((line) => `${new Date().toISOString()} ${event}: ${printable(line)}\n`);
    appendFileSync(HOOK_LOG, lines.join(''), { mode: 0o640 });
  } catch {
    // Nowhere left to say it.
  }
}

/** Text from outside with its control characters shown as `?`. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what this is about
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, '?');
}
