/** Keeps the parents' side of links right when a child starts, changes or goes for good. */
import { type AttachmentRecord, attachmentId } from '../model/attachment.ts';
import { isEmptyPolicy, NO_POLICY, type Policy } from '../model/policy.ts';
import { planPolicy } from '../plan/attachment/attach.ts';
import { policyWithout } from '../plan/attachment/detach.ts';
import { parentsOf } from '../store/links.ts';
import { isAlive, readContainer, writeRecord } from '../store/records.ts';
import { type Applying, applySteps } from '../system/apply.ts';
import { linkFacts } from './facts.ts';
import { placesOf, resolveLink } from './take.ts';

/**
 * Brings the links of running parents to what `child` is now: a new address, other exposed ports, or (gone) none, so that nobody
 * reaches who gets its address next. Costs nothing while nobody links to it.
 */
export async function relinkParents(how: Applying, child: string, { gone }: { gone: boolean }): Promise<void> {
  for (const { parent, aliases } of parentsOf(child)) {
    const record = readContainer(parent);
    if (record === null || record.state !== 'attached' || !isAlive(record)) continue;
    const after = relinked(record, child, gone ? [] : aliases);
    if (JSON.stringify(after) !== JSON.stringify(record.policy)) await changePolicy(how, record, after);
  }
}

/**
 * Brings the kernel from what the record says to another policy. The record says so before the kernel has it.
 * @returns the record as it is then
 * @throws NethooksError when the kernel refuses: all is as before then
 */
export async function changePolicy(
  how: Applying,
  record: AttachmentRecord,
  after: Policy | null,
): Promise<AttachmentRecord> {
  const networks = [...new Set([after?.network, record.policy?.network].flatMap((name) => name ?? []))];
  const bridges = networks.map((name) => ({ name, addresses: false, rules: true }));
  const facts = linkFacts(how.exec, bridges, false);
  const changed = { ...record, policy: after };
  writeRecord(changed);
  try {
    // One that had nothing there may have connections all the same.
    const before = record.policy ?? (after && { ...NO_POLICY, network: after.network, address: after.address });
    await applySteps(how, planPolicy(before, after, facts, ''));
  } catch (error) {
    writeRecord(record);
    throw error;
  }
  return changed;
}

function relinked({ policy, interfaces }: AttachmentRecord, child: string, aliases: string[]): Policy | null {
  const places = placesOf(interfaces);
  const [first] = places;
  if (!first) return policy;
  const base = policy ?? { ...NO_POLICY, network: first.network, address: first.address };
  const others = policyWithout(base, child);
  const after = {
    ...others,
    links: [...others.links, ...aliases.flatMap((alias) => resolveLink(places, child, alias) ?? [])],
  };
  return isEmptyPolicy(after) ? null : after;
}

/** For messages. */
export const nameOf = (record: AttachmentRecord): string =>
  record.owner.kind === 'lxc' ? record.owner.name : attachmentId(record.owner);
