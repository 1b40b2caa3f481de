/** What failed, where an admin looks: the journal, or syslog where no systemd runs. Loaded only then. */
import { existsSync } from 'node:fs';
import { execWithin } from './exec.ts';
import { printable } from './log.ts';

/** ms that logger(1) may take. */
const LIMIT_MS = 1000;
const JOURNAL = '/run/systemd/journal/socket';
const SYSLOG = '/dev/log';

/**
 * Leaves an error there. Never throws.
 * @param unit the service that it is about, which the journal shows it with
 */
export function tellSystem(line: string, unit?: string): void {
  const message = printable(`nethooks: ${line}`);
  try {
    if (existsSync(JOURNAL)) {
      const fields = { MESSAGE: message, PRIORITY: '3', SYSLOG_IDENTIFIER: 'nethooks', OBJECT_SYSTEMD_UNIT: unit };
      const input = Object.entries(fields).flatMap(([field, value]) =>
        value === undefined ? [] : `${field}=${value}\n`,
      );
      execWithin(LIMIT_MS)('logger', ['--journald'], { input: input.join('') });
    } else if (existsSync(SYSLOG))
      execWithin(LIMIT_MS)('logger', ['-t', 'nethooks', '-p', 'daemon.err', '--', message]);
  } catch {
    // Our log has it, too.
  }
}
