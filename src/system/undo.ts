/** Taking back what apply.ts has begun. */
import { describe, type FileStep, type IpStep, type Step } from '../model/step.ts';
import { type Applying, attempt, batch, begin, IpError, type Outputs } from './apply.ts';

/**
 * @param begun the last step first
 * @param failed they may have done half of their work, or nothing, so that they cannot be taken back is no news
 */
export async function takeAllBack(
  how: Applying,
  begun: Step[],
  failed: ReadonlyMap<Step, unknown>,
  outputs: Outputs,
): Promise<void> {
  for (const step of begun) {
    const failure = failed.get(step);
    if (step.kind === 'neighbour') continue;
    if (step.kind === 'ip' && step.makes && failure instanceof IpError && failure.line === 1) continue;
    await takeBack(failed.has(step) ? { ...how, log: () => undefined } : how, step, outputs);
  }
  for (const step of begun) {
    // What runs and reads its files anew, which are back by now.
    if (step.kind === 'neighbour') await takeBack(how, step, outputs);
    if (step.kind === 'dnsmasq' && step.action === 'restart') await takeBack(how, { ...step, action: 'stop' }, outputs);
  }
}

async function takeBack(how: Applying, step: Step, outputs: Outputs): Promise<void> {
  await attempt(how, describe(step)[0] ?? step.kind, () => {
    // Half of the step may never have been done: what cannot be undone must not keep the rest from it (ip(8), -force).
    if (step.kind === 'ip') return batch(how, { ...step, commands: step.undo }, ['-force']);
    const inverse = invert(step, outputs);
    return inverse && begin(how, inverse, outputs);
  });
}

/** The step that undoes a step; null where there is nothing to undo. Those of ip(8) carry their own. */
function invert(step: Exclude<Step, IpStep>, outputs: Outputs): Step | null {
  switch (step.kind) {
    case 'elements':
      return { ...step, remove: step.add, add: step.remove, guard: [], setup: null };
    case 'container-files':
      return { ...step, files: { resolvConf: null, hosts: [], hostname: null, dropIns: [] }, before: outputs.written };
    case 'connections':
    case 'hairpin':
    case 'inside':
    case 'reserve':
    case 'reload-dnsmasq':
    case 'lxc-net':
      return null;
    case 'sysctl':
      return step.shared ? null : { ...step, value: step.before, before: step.value };
    case 'nft':
      return { ...step, script: step.undo, undo: step.script };
    case 'bridge-netfilter':
      return null;
    case 'rules':
      if (step.action !== 'delete') return { ...step, action: 'delete' };
      // To where they were, the first one first: behind a rule that drops everything they would be for nothing.
      return { ...step, action: 'insert' };
    case 'file':
      return step.shared ? null : invertFile(step);
    case 'directory':
      return { ...step, action: step.action === 'make' ? 'remove' : 'make' };
    case 'unit':
      return { ...step, action: UNIT_INVERSE[step.action] };
    case 'dnsmasq':
      // After a restart: stopped here, started again when its old configuration is back.
      return { ...step, action: step.action === 'stop' ? 'start' : 'stop' };
    case 'neighbour':
      return step;
    case 'resolver':
      return { ...step, action: step.action === 'set' ? 'clear' : 'set' };
  }
}

/** A file whose text is not in the step comes back from its backup, or goes if there was none. */
export function invertFile({ path, before, content, backup }: FileStep): FileStep {
  const text = typeof content === 'object' ? null : content;
  return {
    kind: 'file',
    path,
    before: text,
    content: backup === undefined ? before : { from: backup, exact: true },
  };
}

/** What cannot be undone is followed by something that does no harm. */
const UNIT_INVERSE = {
  reload: 'reload',
  enable: 'disable',
  disable: 'enable',
  start: 'reload',
  forget: 'reload',
} as const;
