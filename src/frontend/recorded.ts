/** A command leaves a line in the log (system/event.ts). */
import { NethooksError } from '../errors.ts';
import { beginEvent, endEvent, type Worth } from '../system/event.ts';

export interface Commanded {
  name: string;
  /** What it is about: the first of its arguments. */
  about: string;
  words: string[];
  /** What paths in the words are relative to. */
  directory: string;
  worth: Worth;
}

export async function recorded(
  { name, about, words, directory, worth }: Commanded,
  run: () => Promise<number>,
): Promise<number> {
  beginEvent(name, about, { words, env: { PWD: directory } }, worth);
  try {
    const code = await run();
    endEvent(null);
    return code;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    // Who has mistyped a word sees it, and nothing has been done.
    const isUsage = error instanceof NethooksError && error.exitCode === 2;
    if (!isUsage && endEvent(message) !== null) await tell(`${name}: ${message.split('\n')[0]}`);
    throw error;
  }
}

/** Under systemd it is in the journal anyway, as what the service has printed (systemd.exec(5), JOURNAL_STREAM). */
async function tell(line: string): Promise<void> {
  if (process.env.JOURNAL_STREAM === undefined) (await import('../system/syslog.ts')).tellSystem(line);
}
