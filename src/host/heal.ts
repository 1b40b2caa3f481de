/** Brings back what was applied last, whatever the configuration says by now: that is its admin's to apply. */
import type { Finding } from '../model/finding.ts';
import { healingText } from '../model/healing.ts';
import type { Plan } from '../model/step.ts';
import { pausedUntil, readHealing, uptime } from '../store/healing.ts';
import { readHostRecord } from '../store/host-record.ts';
import type { Applying } from '../system/apply.ts';
import { hooksDirectory } from '../system/install.ts';
import { type Change, changeHost } from './change.ts';

const asApplied: Change = {
  spec: ({ host, networks }) => ({ host, networks, hooks: hooksDirectory() }),
};

/** @returns what was done; null where no network is up */
export async function heal(how: Applying, waitSeconds: number): Promise<Plan | null> {
  return readHostRecord().networks.length === 0 ? null : changeHost(how, asApplied, waitSeconds);
}

/** What `status` says of it: that it is paused, or that what was brought back does not stay. */
export function healingFindings(): Finding[] {
  const row = readHealing();
  const rows: [text: string | null, remedy: string | null][] = [
    [pauseText(), 'nethooks resume'],
    [row && healingText(row, uptime()), null],
  ];
  return rows.flatMap(([text, remedy]) =>
    text === null ? [] : [{ severity: 'warning', about: 'host', text, remedy }],
  );
}

/** Until when it is paused, in words; null when it is not. */
export function pauseText(): string | null {
  const until = pausedUntil();
  if (until === null) return null;
  const left = Math.ceil(until - uptime());
  const time = left < 120 ? `${left} s` : `${Math.ceil(left / 60)} min`;
  const end = left === Number.POSITIVE_INFINITY ? 'until `nethooks resume` or a reboot' : `for ${time} more`;
  return `paused ${end}: nothing is brought back by itself; containers start and stop as ever`;
}
