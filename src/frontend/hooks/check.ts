/**
 * What nethooks-check@.service and nethooks-rules.service run: the host is looked at, and what is missing of what was applied comes back.
 * What the timer has brought back time and again waits longer and longer; what another unit's restart took is brought back at once.
 */
import { heal } from '../../host/heal.ts';
import { digestIfMany, isAsLooked, noteLook } from '../../host/unchanged.ts';
import { inOneLine } from '../../model/finding.ts';
import { hasHeld, nextRepair, repaired } from '../../model/healing.ts';
import { headline } from '../../model/step.ts';
import { forgetHealing, isPaused, readHealing, uptime, writeHealing } from '../../store/healing.ts';
import { execUntil } from '../../system/exec.ts';
import { sweepAfter } from '../sweep.ts';
import type { HookContext } from './context.ts';

/** How long a check may take in all, and how long it waits for another nethooks. */
const LIMIT_MS = 60_000;
const WAIT_SECONDS = 30;

/** @param context its only word is the unit's instance, `timer` or `event` */
export async function run({ words, log }: HookContext): Promise<void> {
  if (isPaused()) return;
  const byTimer = words[0] === 'timer';
  const row = readHealing();
  if (byTimer && row !== null && uptime() < nextRepair(row)) return;
  const how = { exec: execUntil(performance.now() + LIMIT_MS), log, wait: true };
  const note = (what: string, error: string | null): void => {
    if (byTimer) writeHealing(repaired(row, { what, error }, uptime()));
  };
  try {
    const digest = byTimer && row === null ? await digestIfMany(how.exec) : null;
    if (digest !== null && isAsLooked(digest, uptime())) return;
    const plan = await heal(how, WAIT_SECONDS);
    if (plan === null) return;
    noteLook(plan.steps.length === 0 ? digest : null, uptime());
    if (plan.steps.length > 0) {
      const what = inOneLine(plan.steps.map(headline).join('\n'));
      log(`brought back: ${what}`);
      console.error(`nethooks: brought back: ${what}`); // for the journal
      note(what, null);
    } else if (row !== null && hasHeld(row, uptime())) forgetHealing();
    await sweepAfter(how, plan);
  } catch (error) {
    note(row?.what ?? 'networks', inOneLine(error instanceof Error ? error.message : String(error)));
    throw error;
  }
}
