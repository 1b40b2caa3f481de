/**
 * lxc.hook.destroy. LXC runs it for an end, and also in the middle of a rename (copy, then destroy the original) and of a restore
 * (destroy, then copy the snapshot to the same name), where what the container was given has to stay.
 */

import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { detach } from '../../attachment/detach.ts';
import { forget, forgetOptions } from '../../attachment/forget.ts';
import { rename } from '../../attachment/rename.ts';
import { takeCopy } from '../../store/copies.ts';
import { readContainer, readKept } from '../../store/records.ts';
import { hasSnapshots, snapshotOf } from '../../system/lxc-snapshots.ts';
import type { HookContext } from '../hooks/context.ts';
import { parseLxcEvent } from './lxc-event.ts';

/** The container's addresses are free again, and nobody's link leads to them any more. */
export async function run({ words, env, ...how }: HookContext): Promise<void> {
  const { name, configFile } = parseLxcEvent(words, env);
  if (configFile !== null) {
    if (snapshotOf(configFile) !== null) return;
    const copy = newNameOf(name, configFile, env);
    if (copy !== null) return rename(how, { from: name, ...copy });
    if (hasSnapshots(dirname(configFile))) {
      // If it does not come back, gc takes what it keeps with its last snapshot.
      const record = readContainer(name);
      if (record) await detach(how, record);
      return;
    }
  }
  await forget(how, name);
  forgetOptions(name);
}

/** What the process that destroys it has just made of it, if that has not started since; null when this is no rename. */
function newNameOf(name: string, configFile: string, { NETHOOKS_LXC }: NodeJS.ProcessEnv) {
  const to = takeCopy(Number(NETHOOKS_LXC), name);
  if (to === null || readContainer(to) !== null || readKept(to).interfaces.length > 0) return null;
  const copy = join(dirname(dirname(configFile)), to, 'config');
  return existsSync(copy) ? { to, configFile: copy } : null;
}
