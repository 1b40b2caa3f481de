/** What commands print. */
import { describe, type Plan, remarks } from '../../model/step.ts';

/** A plan for people or as JSON; `done` says what happened, `todo` what would. */
export function printPlan(plan: Plan, how: 'json' | 'done' | 'todo'): void {
  if (how === 'json') {
    console.log(JSON.stringify({ faults: [], ...plan }, null, 2));
    return;
  }
  for (const text of remarks(plan)) warn(text);
  const lines = plan.steps.flatMap((step) => describe(step));
  console.log(lines.join('\n') || (how === 'done' ? 'nothing to change' : 'nothing would change'));
}

/** A line on standard error. */
export function warn(line: string): void {
  console.error(`nethooks: ${line}`);
}
