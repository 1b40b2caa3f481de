/** Steps that bring back what running containers had, for apply.ts. */
import { closeSync, fstatSync, openSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import type { InsideStep, ReserveStep } from '../model/step.ts';
import type { Applying } from './apply.ts';
import { failure } from './exec.ts';
import { ipInside } from './ip.ts';
import { reserving } from './reservation-file.ts';

/** Only in the namespace that was looked at: a pid may be another process's by now, even one of the host's own network. */
export async function mendInside({ exec, log }: Applying, { about, namespace, commands }: InsideStep): Promise<void> {
  let fd: number;
  try {
    fd = openSync(namespace.path, 'r');
  } catch {
    return; // it has ended
  }
  try {
    const { dev, ino } = fstatSync(fd);
    if (`${dev}:${ino}` !== namespace.id) return;
    const result = await ipInside(exec, fd, '-force')(commands);
    if (result.code !== 0) log(`${about}: ${failure('ip', ['-batch', '-'], result)}`);
  } finally {
    closeSync(fd);
  }
}

/** Whoever has it by now keeps it. */
export function reserve({ path, id, ifname }: ReserveStep): void {
  reserving(dirname(path), { id, ifname }, (take) => take(basename(path)));
}
