/** A container starts on a network that has lost something: it comes back before. Seldom needed, so loaded by import(). */
import { heal } from '../../host/heal.ts';
import { inOneLine } from '../../model/finding.ts';
import { headline } from '../../model/step.ts';
import { isPaused } from '../../store/healing.ts';
import type { Applying } from '../../system/apply.ts';

const WAIT_SECONDS = 3;

/** Never throws: what the container cannot do without is found when it is connected. */
export async function healAtStart({ exec, log }: Applying): Promise<void> {
  if (isPaused()) return;
  try {
    const plan = await heal({ exec, log, wait: false }, WAIT_SECONDS);
    if (plan && plan.steps.length > 0) log(`brought back: ${inOneLine(plan.steps.map(headline).join('\n'))}`);
  } catch (error) {
    log(`the network is not as it was brought up: ${error instanceof Error ? error.message : error}; nethooks up`);
  }
}
