/** Keeps the parents' side of links right when a child starts, changes or goes for good. */
import type { Policy } from '../model/policy.ts';
import { type ContainerRecord, readRunning, remember } from '../store/container.ts';
import { parentsOf } from '../store/links.ts';
import type { Exec } from '../system/exec.ts';
import { isAlive } from '../system/process.ts';
import { resolveLink } from './make-policy.ts';
import { applyPolicy, type Log } from './policy.ts';

/**
 * Brings the links of running parents to what `child` is now: a new address, other exposed ports, or (destroyed) none, so that
 * nobody reaches who gets its address next. Costs nothing while nobody links to it.
 * @param gone whether the child is no more
 */
export function relinkParents(exec: Exec, child: string, gone: boolean, log: Log): void {
  for (const { parent, aliases } of parentsOf(child)) {
    const record = readRunning(parent);
    const after = record && isAlive(record) ? relinked(record, child, gone ? [] : aliases) : null;
    if (!record || !after || JSON.stringify(after) === JSON.stringify(record.policy)) continue;
    remember({ ...record, policy: after });
    applyPolicy(exec, record.policy, after, log);
  }
}

function relinked({ policy, attachments }: ContainerRecord, child: string, aliases: string[]): Policy | null {
  const first = attachments[0];
  if (!first) return null;
  const empty: Policy = {
    network: first.network,
    address: first.address,
    port: null,
    isolated: [],
    publish: [],
    links: [],
    exposed: [],
  };
  const base = policy ?? empty;
  const others = base.links.filter(({ container }) => container !== child);
  return { ...base, links: [...others, ...aliases.flatMap((alias) => resolveLink(attachments, child, alias) ?? [])] };
}
