/**
 * Machines that are on a network by DHCP alone: a virtual machine, a container of an ordinary user. Their names go through the one
 * register, so that nobody loses a name to them.
 */
import { type AttachmentRecord, attachmentId, type Leased } from '../model/attachment.ts';
import type { NetworkConfig } from '../model/config.ts';
import { planNames } from '../plan/attachment/attach.ts';
import { leaseRecord } from '../plan/attachment/dhcp-names.ts';
import { namesFile } from '../plan/attachment/names.ts';
import { isLive, readRecord, recordsWhere, writeRecord } from '../store/records.ts';
import { isHolder } from '../store/register.ts';
import { type Applying, applySteps } from '../system/apply.ts';
import { removeFile } from '../system/files.ts';
import { detach } from './detach.ts';
import { fileFacts } from './facts.ts';
import { takeNames } from './take.ts';
import { thisProcess } from './this-process.ts';

/**
 * Gives a machine the name that it asks for, unless somebody else has it.
 * @param name null where it may have none of that name
 */
export async function nameLease(
  how: Applying,
  leased: Leased,
  network: NetworkConfig,
  name: string | null,
): Promise<void> {
  const record = leaseRecord(leased, network, name === null ? [] : [name]);
  const { owner, interfaces } = record;
  const id = attachmentId(owner);
  const former = readRecord(id);
  if (former && !(isLive(former) && isSame(former, record))) await detach(how, former);
  // A machine that asks anew, with another client id, gets another address while the first lease still lasts.
  for (const other of recordsWhere((one) => one.kind === 'dhcp' && attachmentId(one) !== id))
    if (name !== null && other.names.own.includes(name) && macOf(other) === leased.mac) await detach(how, other);
  writeRecord({ ...record, state: 'intent', by: thisProcess() });
  const granted = takeNames(null, record, how.log);
  await applySteps(how, planNames({ ...record, state: 'intent' }, granted, fileFacts(owner, interfaces)));
  // Whoever has taken the name from it meanwhile has removed the file, maybe before it was written.
  if (name !== null && !isHolder('claims', `${network.domain}/${name}`, id))
    removeFile(namesFile(network.domain, owner));
  writeRecord({ ...record, state: 'attached' });
}

const macOf = ({ life }: AttachmentRecord): string | null => (life && 'lease' in life ? life.mac : null);

const isSame = (one: AttachmentRecord, other: Pick<AttachmentRecord, 'life' | 'names' | 'interfaces'>): boolean =>
  JSON.stringify([one.life, one.names, one.interfaces]) === JSON.stringify([other.life, other.names, other.interfaces]);

/** The lease is over, if it was that machine's. */
export async function endLease(how: Applying, address: string, mac: string): Promise<void> {
  const record = readRecord(attachmentId({ kind: 'dhcp', address }));
  if (record && macOf(record) === mac) await detach(how, record);
}

/** Takes back the names on networks that are down, or do not know of such names any more. */
export async function endDeadLeases(how: Applying): Promise<void> {
  for (const record of recordsWhere(({ kind }) => kind === 'dhcp')) if (!isLive(record)) await detach(how, record);
}
