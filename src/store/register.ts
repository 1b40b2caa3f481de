/**
 * Who has what only one attachment may have: a name in a domain, a MAC on a network, a masqueraded address. One file each,
 * `/run/nethooks/REGISTER/KEY`, that names its attachment; host ports are kept the same way (ports.ts), and addresses in host-local's
 * layout (addresses.ts).
 */
import { basename, dirname } from 'node:path';
import { bare } from '../model/address.ts';
import { type AttachmentRecord, attachmentId, ownerOf } from '../model/attachment.ts';
import { registerDir } from '../model/paths.ts';
import { domainsOf, namesFile } from '../plan/attachment/names.ts';
import { filesIn, removeFile } from '../system/files.ts';
import { readHolder, releaseIfHeld, reservedAt, reserving } from '../system/reservation-file.ts';
import { isAlive, isLive, listRecords, readRecord } from './records.ts';

/** `claims`: DOMAIN/NAME. `macs`: NETWORK/MAC. `masquerade`: ADDRESS. */
export const REGISTERS = ['claims', 'macs', 'masquerade'] as const;
export type Register = (typeof REGISTERS)[number];

/** One entry of a register. */
export interface Entry {
  register: Register;
  key: string;
  /** The attachment's id; null when the file does not say. */
  holder: string | null;
  /** ms since the epoch. */
  since: number;
}

/** What came of it: `holder` is who else has it, null when the attachment has it now; `fresh` when it had it not before. */
export interface Take {
  holder: string | null;
  fresh: boolean;
}

/**
 * Takes what is free, is the attachment's already, or belongs to one that is gone. A machine's name by DHCP gives way to whoever else wants it.
 * @param always take it also from one that is there: the last one has it
 */
export function take(register: Register, key: string, id: string, { always = false } = {}): Take {
  const path = `${registerDir(register)}/${key}`;
  const directory = dirname(path);
  const file = path.slice(directory.length + 1);
  if (readHolder(path)?.id === id) return { holder: null, fresh: false };
  return reserving(directory, { id, ifname: '-' }, (reserve) => {
    // Twice: whoever has died gives way, and somebody else may be quicker to take its place.
    for (let attempt = 0; ; attempt++) {
      if (reserve(file)) return { holder: null, fresh: true };
      mend(register, key);
      const holder = readHolder(path)?.id;
      if (holder === id) return { holder: null, fresh: false };
      const gives = always || (isLease(holder) && !isLease(id));
      if (holder !== undefined && !gives && !isGone(holder)) return { holder, fresh: false };
      if (attempt === 2) return { holder: holder ?? 'somebody unknown', fresh: false };
      if (holder === undefined) continue;
      releaseIfHeld(directory, file, { id: holder });
      const owner = ownerOf(holder);
      // It has no other name there.
      if (owner?.kind === 'dhcp') removeFile(namesFile(dirname(key), owner));
    }
  });
}

/** Whether an attachment is a machine that is there by DHCP alone. */
const isLease = (id: string | undefined): boolean => id?.startsWith('dhcp/') ?? false;

/** Whether an attachment has it. */
export const isHolder = (register: Register, key: string, id: string): boolean => holderIn(register, key) === id;

/** Gives back what is the attachment's; whether it was. */
export function give(register: Register, key: string, id: string): boolean {
  const path = `${registerDir(register)}/${key}`;
  const directory = dirname(path);
  return releaseIfHeld(directory, path.slice(directory.length + 1), { id });
}

/** Who has it; null for nobody. */
function holderIn(register: Register, key: string): string | null {
  const id = readHolder(`${registerDir(register)}/${key}`)?.id;
  return id !== undefined && ownerOf(id) ? id : null;
}

/** What is held in a register. Reads directories only. */
export function keysOf(register: Register): string[] {
  const directory = registerDir(register);
  return filesIn(directory).flatMap((first) =>
    register === 'masquerade' ? [first] : filesIn(`${directory}/${first}`).map((second) => `${first}/${second}`),
  );
}

/** Everything in a register. */
export function entriesOf(register: Register): Entry[] {
  const directory = registerDir(register);
  return keysOf(register).flatMap((key) => {
    const since = reservedAt(`${directory}/${key}`);
    return since === null ? [] : [{ register, key, holder: holderIn(register, key), since }];
  });
}

/** An entry that does not say whose it is gets the name of the attachment that has it by its record, or goes. */
export function mend(register: Register, key: string): void {
  const directory = registerDir(register);
  const holder = readHolder(`${directory}/${key}`);
  if ((holder && ownerOf(holder.id)) || !releaseIfHeld(directory, key, holder && { id: holder.id })) return;
  const owner = listRecords().find((record) => isLive(record) && owns(record, { register, key }));
  if (owner) reserving(directory, { id: attachmentId(owner.owner), ifname: '-' }, (reserve) => reserve(key));
}

/** Whether an entry is an attachment's, by its record. */
export function owns(
  { names, interfaces, policy }: AttachmentRecord,
  { register, key }: Pick<Entry, 'register' | 'key'>,
): boolean {
  if (register === 'masquerade') return policy?.masquerade.some((address) => bare(address) === key) ?? false;
  const [where = '', what = ''] = [dirname(key), basename(key)];
  if (register === 'macs') return interfaces.some(({ network, mac }) => network === where && mac === what);
  return (
    domainsOf(interfaces).includes(where) && [...names.own, ...names.linked.map(({ name }) => name)].includes(what)
  );
}

function isGone(id: string): boolean {
  const record = readRecord(id);
  return record === null || !isAlive(record);
}
