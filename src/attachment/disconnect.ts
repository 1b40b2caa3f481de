/** Takes back what connect() set up for a container that runs no more. Its addresses stay its own until it is destroyed. */
import { type ContainerRecord, readKept, readRunning, silence } from '../store/container.ts';
import { forgetParent } from '../store/links.ts';
import { releasePorts } from '../store/ports.ts';
import type { Exec } from '../system/exec.ts';
import { applyPolicy, type Log } from './policy.ts';
import { relinkParents } from './relink.ts';

/** @throws NethooksError when the kernel keeps its rules; everything else is taken back then, the record excepted */
export function disconnect(exec: Exec, record: ContainerRecord, log: Log): void {
  const { name, policy, attachments } = record;
  forgetParent(name);
  if (policy) {
    applyPolicy(exec, policy, null, log);
    releasePorts(name, policy.publish);
  }
  silence(name, attachments);
}

/** The same for one that is no more: nobody may go on reaching its address, which somebody else gets. */
export function destroy(exec: Exec, name: string, log: Log): void {
  const record = readRunning(name);
  if (record) disconnect(exec, record, log);
  if (readKept(name).attachments.length > 0) relinkParents(exec, name, true, log);
}
