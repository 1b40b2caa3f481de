/** One change to the host at a time. */
import type { HostWish } from '../plan/host.ts';
import type { HostRecord } from '../plan/host-record.ts';
import type { Plan } from '../plan/step.ts';
import type { Applying } from './apply.ts';
import { lockHost } from './lock.ts';

export interface Change {
  /** From what the record holds to what is wanted. */
  wish: (record: HostRecord) => HostWish;
  /** Also take back what outlives a reboot. */
  files?: boolean;
}

/**
 * Carries a change out and returns the plan that was applied. Only one at a time on a host; others wait.
 * @param waitSeconds how long to wait for another nethooks
 * @throws NethooksError when the plan is refused or a step fails; nothing is changed then
 */
export async function changeHost(how: Applying, change: Change, waitSeconds: number): Promise<Plan> {
  // What is needed then loads while the lock is taken.
  const [release, { carryOut }] = await Promise.all([lockHost(how.exec, waitSeconds), import('./carry-out.ts')]);
  try {
    return await carryOut(how, change);
  } finally {
    release();
  }
}
