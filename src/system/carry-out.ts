/** A change to the host from beginning to end: look, plan, apply, record. */
import { NethooksError } from '../errors.ts';
import type { HostFacts } from '../plan/facts.ts';
import type { HostWish } from '../plan/host.ts';
import type { HostRecord } from '../plan/host-record.ts';
import type { Plan } from '../plan/step.ts';
import { readRecord, writeRecord } from '../state/record.ts';
import { stranded } from '../state/stranded.ts';
import { type Applying, applySteps } from './apply.ts';
import type { Change } from './change.ts';
import type { Exec } from './exec.ts';
import { gatherFacts } from './facts.ts';

export interface Planned {
  plan: Plan;
  facts: HostFacts;
  /** What is to be remembered once the plan is applied. */
  after: HostRecord;
}

/** What would be done now, without doing it. */
export async function planChange(exec: Exec, change: Change): Promise<Planned> {
  const record = readRecord();
  const wish: HostWish = change.wish(record);
  // Planning loads while programs look.
  const [facts, { planFilesDown, planHost, recordAfter }] = await Promise.all([
    gatherFacts(exec, wish.networks, record.networks),
    import('../plan/host.ts'),
  ]);
  const plan = planHost(wish, facts, record);
  plan.warnings.push(...stranded(wish.networks));
  if (change.files) plan.steps.push(...planFilesDown(facts));
  return { plan, facts, after: recordAfter(plan, wish, facts, record) };
}

/** @throws NethooksError when the plan is refused or a step fails; nothing is changed then */
export async function carryOut(how: Applying, change: Change): Promise<Plan> {
  const { plan, after } = await planChange(how.exec, change);
  if (plan.refusals.length > 0) throw new NethooksError(plan.refusals.join('\n'));
  await applySteps(how, plan.steps);
  writeRecord(after);
  return plan;
}
