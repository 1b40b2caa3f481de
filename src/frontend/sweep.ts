/** Takes back what others left, for whoever finds a pool exhausted: one at a time, and its answer holds for seconds. */
import { statSync } from 'node:fs';
import type { Scope } from '../attachment/garbage.ts';
import { RUN } from '../model/paths.ts';
import type { Plan } from '../model/step.ts';
import { listAddresses, storeOf } from '../store/addresses.ts';
import { readHostRecord } from '../store/host-record.ts';
import { isLive, listRecords } from '../store/records.ts';
import { keysOf, REGISTERS } from '../store/register.ts';
import type { Applying } from '../system/apply.ts';
import { writeAtomically } from '../system/files.ts';
import { lockHost } from '../system/lock.ts';

const DIRECTORY = `${RUN}/gc`;
const ANSWER = `${DIRECTORY}/last`;
/** How long (ms) the answer of the last sweep holds. */
const HOLDS_MS = 3_000;
const WAIT_SECONDS = 3;

/**
 * For `up` and the hooks of interfaces: takes down what is dead, and looks at everything where there was something to do, as at boot.
 * Quick where nothing is. What fails is logged.
 */
export async function sweepAfter(how: Applying, plan: Plan): Promise<void> {
  const isQuiet = plan.steps.length === 0;
  const records = listRecords();
  if (isQuiet ? records.every(isLive) : records.length === 0 && !anythingHeld()) return;
  const release = await lockHost(how.exec, WAIT_SECONDS, DIRECTORY);
  try {
    await sweep(how, { stores: isQuiet ? [] : networkStores(), table: false });
  } finally {
    release();
  }
}

/** Looks at everything, as `nethooks gc` does. What fails is logged. */
export async function sweepAll(how: Applying): Promise<void> {
  const release = await lockHost(how.exec, WAIT_SECONDS, DIRECTORY);
  try {
    await sweep(how, { stores: networkStores(), table: true });
  } finally {
    release();
  }
}

async function sweep(how: Applying, scope: Scope): Promise<void> {
  const [{ collect }, { findGarbage }] = await Promise.all([
    import('../attachment/gc.ts'),
    import('../attachment/garbage.ts'),
  ]);
  const { giveElsewhere } = await import('./cni/elsewhere.ts');
  const { exec, log, wait } = how;
  for (const line of await collect({ exec, log, wait }, findGarbage(how, scope), giveElsewhere)) log(line);
}

/** @returns whether it is worth trying again */
export async function sweepOnce(how: Applying): Promise<boolean> {
  const asked = Date.now();
  if (asked - lastSweep() < HOLDS_MS) return false;
  const release = await lockHost(how.exec, WAIT_SECONDS, DIRECTORY);
  try {
    // Somebody swept while we waited: what that freed may be ours.
    if (lastSweep() >= asked) return true;
    await sweep(how, { stores: networkStores(), table: true });
    writeAtomically(ANSWER, '');
    return true;
  } finally {
    release();
  }
}

/** Whether anybody ever connected has something: on a host without containers nothing is loaded that could take it back. */
const anythingHeld = (): boolean =>
  REGISTERS.some((register) => keysOf(register).length > 0) ||
  networkStores().some((network) => listAddresses(storeOf(network)).length > 0);

const networkStores = (): string[] => readHostRecord().networks.map(({ name }) => name);

const lastSweep = (): number => statSync(ANSWER, { throwIfNoEntry: false })?.mtimeMs ?? 0;
