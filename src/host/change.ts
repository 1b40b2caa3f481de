/** A change to the host from beginning to end: lock, look, plan, apply, record. */
import { takeOver } from '../attachment/upgrade.ts';
import { NethooksError } from '../errors.ts';
import type { AttachmentRecord } from '../model/attachment.ts';
import type { HostFacts } from '../model/facts.ts';
import type { HostRecord } from '../model/host-record.ts';
import type { Plan } from '../model/step.ts';
import { planHealing } from '../plan/attachment/heal.ts';
import { type HostSpec, planFilesDown, planHost, recordAfter, recordDuring } from '../plan/host/host.ts';
import { planInstalled } from '../plan/host/installed.ts';
import { readHostRecord, writeHostRecord } from '../store/host-record.ts';
import { type Applying, applySteps } from '../system/apply.ts';
import type { Exec } from '../system/exec.ts';
import { lockHost } from '../system/lock.ts';
import { gatherFacts } from './facts.ts';
import { installedFiles } from './installed.ts';
import { outdated } from './outdated.ts';

export interface Change {
  /** From what the record holds to what is wanted. */
  spec: (record: HostRecord) => HostSpec;
  /** Also take back what outlives a reboot. */
  files?: boolean;
  /** Finds out about containers that run and have no record any more. */
  findLost?: (exec: Exec) => Promise<AttachmentRecord[]>;
  /** Whether to look closer than hooks do. */
  thorough?: boolean;
}

/**
 * Carries a change out and returns the plan that was applied. Only one at a time on a host; others wait.
 * @param waitSeconds how long to wait for another nethooks
 * @throws NethooksError when the plan is refused or a step fails; nothing is changed then
 */
export async function changeHost(how: Applying, change: Change, waitSeconds: number): Promise<Plan> {
  const release = await lockHost(how.exec, waitSeconds);
  try {
    const upgrade = takeOver();
    const { plan, before, after } = await planChange(how.exec, change);
    upgrade.removeRules(plan.steps);
    if (plan.refusals.length > 0) throw new NethooksError(plan.refusals.join('\n'));
    // Before the first effect: what a killed run has done is completed, or taken back, by the next one.
    writeHostRecord(recordDuring(before, after));
    try {
      await applySteps(how, plan.steps);
    } catch (error) {
      writeHostRecord(before);
      throw error;
    }
    writeHostRecord(after);
    upgrade.finish();
    return plan;
  } finally {
    release();
  }
}

export interface Planned {
  plan: Plan;
  facts: HostFacts;
  /** What is remembered now. */
  before: HostRecord;
  /** What is to be remembered once the plan is applied. */
  after: HostRecord;
}

/** What would be done now, without doing it. */
export async function planChange(exec: Exec, change: Change): Promise<Planned> {
  const record = readHostRecord();
  const spec = change.spec(record);
  const lost = (await change.findLost?.(exec)) ?? [];
  const looking = { lost, thorough: change.thorough ?? false };
  const { facts, running, unrecorded, live } = await gatherFacts(exec, spec.networks, record.networks, looking);
  const plan = planHost(spec, facts, record);
  const networks = spec.networks.map(({ name }) => name);
  plan.warnings.push(...outdated(spec.networks, live));
  // Whoever takes the last network down wants nothing back.
  if (networks.length > 0 && plan.refusals.length === 0) {
    heal(plan, planHealing(running, networks, facts));
    add(plan, planInstalled(installedFiles()));
    for (const { id, address } of unrecorded)
      plan.warnings.push(`${id} (${address}) has lost its record: its ports stay, its names come with its restart`);
  }
  if (change.files) plan.steps.push(...planFilesDown(facts));
  return { plan, facts, before: record, after: recordAfter(plan, spec, facts, record) };
}

/** What runs comes after what it runs on. A dnsmasq that is started reads all files anyway; asked to before it can be, it would end. */
function heal(plan: Plan, healing: Plan): void {
  const starting = new Set(plan.steps.flatMap((step) => (step.kind === 'dnsmasq' ? step.network : [])));
  const steps = healing.steps.filter((step) => step.kind !== 'reload-dnsmasq' || !starting.has(step.network));
  add(plan, { ...healing, steps });
}

function add(plan: Plan, { steps, warnings, faults = [] }: Plan): void {
  plan.steps.push(...steps);
  plan.warnings.push(...warnings);
  plan.faults = [...(plan.faults ?? []), ...faults];
}
