/**
 * The record of every attachment, in /run while it exists, and what LXC's containers keep in /var. One reader for all of them: a
 * broken file is set aside, and what can be known takes its place, so that nobody is refused because of it.
 */
import { rmdirSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { bare, isV6 } from '../model/address.ts';
import { type AntispoofModes, lacksPort, policyWithSenders } from '../model/antispoof.ts';
import {
  type AttachmentRecord,
  attachmentId,
  holderIdOf,
  type Interface,
  type KeptRecord,
  type Owner,
  ownerOf,
  type WrittenFiles,
} from '../model/attachment.ts';
import { ATTACHMENTS, keptRecord } from '../model/paths.ts';
import type { Policy } from '../model/policy.ts';
import { either } from '../model/shape.ts';
import { note } from '../system/event.ts';
import { ensureText, filesIn, removeFile, writeAtomically } from '../system/files.ts';
import { readJson, setAside } from '../system/json-file.ts';
import { isAlive as isProcessAlive } from '../system/process.ts';
import { heldBy } from './addresses.ts';
import { currentKept, type EarlierKept, NOTHING_KEPT } from './earlier-formats.ts';
import { isLeased } from './leases.ts';
import { attachmentShape, earlierKeptShape, keptShape } from './shapes.ts';

const fileOf = (id: string): string => join(ATTACHMENTS, `${id}.json`);

/** The record of an attachment; null without one. One that cannot be read is rebuilt. */
export function readRecord(id: string): AttachmentRecord | null {
  const path = fileOf(id);
  const found = readJson<AttachmentRecord>(path, attachmentShape);
  if (found.state === 'found' && attachmentId(found.value.owner) === id) return found.value;
  const owner = ownerOf(id);
  if (found.state === 'missing' || owner === null) return null;
  setAside(path);
  if (owner.kind === 'dhcp') return null; // its lease's next event makes it anew
  note(`${path} could not be read: it is ${path}.broken now, and was made anew from what is known`);
  const record = rebuilt(owner);
  writeRecord(record);
  return record;
}

/** Writes an attachment's record. */
export function writeRecord(record: AttachmentRecord): void {
  writeAtomically(fileOf(attachmentId(record.owner)), JSON.stringify(record), 0o600);
}

/** Where an attachment's record is, for a plan that writes it. */
export const recordPath = fileOf;

/** Removes an attachment's record, and the remains of a broken one. */
export function removeRecord(id: string): void {
  removeFile(fileOf(id));
  rmSync(`${fileOf(id)}.broken`, { force: true });
  if (id.startsWith('lxc/')) return;
  try {
    rmdirSync(dirname(fileOf(id))); // the last one of its CNI network
  } catch {
    // Others are there.
  }
}

/** The ids of all attachments that have a record. */
function listIds(): string[] {
  const within = (directory: string): string[] =>
    filesIn(join(ATTACHMENTS, directory)).flatMap((file) =>
      file.endsWith('.json') ? [`${directory}/${file.slice(0, -'.json'.length)}`] : [],
    );
  const networks = filesIn(join(ATTACHMENTS, 'cni')).map((network) => `cni/${network}`);
  return ['lxc', 'attach', 'dhcp', ...networks].flatMap(within);
}

/** Every attachment, alive or not. */
export const listRecords = (): AttachmentRecord[] => listIds().flatMap((id) => readRecord(id) ?? []);

/** The attachments of one kind of owner, or of one CNI network. */
export const recordsWhere = (test: (owner: Owner) => boolean): AttachmentRecord[] =>
  listIds()
    .filter((id) => {
      const owner = ownerOf(id);
      return owner !== null && test(owner);
    })
    .flatMap((id) => readRecord(id) ?? []);

/** The record of a running LXC container. */
export const readContainer = (name: string): AttachmentRecord | null => readRecord(`lxc/${name}`);

/** Whether what was connected is still there. A record that does not know is taken for alive. */
export function isAlive({ life }: Pick<AttachmentRecord, 'life'>): boolean {
  if (life === null) return true;
  if ('pid' in life) return isProcessAlive(life);
  return 'lease' in life ? isLeased(life) : namespaceAt(life.netns) === life.namespace;
}

/** Whether a process is making it or taking it down now. */
export const isInProgress = ({ by }: AttachmentRecord): boolean => by !== undefined && isProcessAlive(by);

/** Whether it is there, or is just being made: what it holds is not garbage. */
export const isLive = (record: AttachmentRecord): boolean =>
  isInProgress(record) || (record.state === 'attached' && isAlive(record));

/** The policies of attachments that are live, with what they may send on networks that check it. */
export const policiesOf = (live: readonly AttachmentRecord[], modes: AntispoofModes = {}): Policy[] =>
  live.flatMap((record) => policyWithSenders(record, modes) ?? []);

/** Addresses of those whose record was lost, or lacks a port: nobody knows what else of the firewall is theirs, so all about them stays. */
export const unsureAddresses = (live: readonly AttachmentRecord[]): string[] =>
  live
    .filter((record) => record.rebuilt || lacksPort(record))
    .flatMap(({ interfaces }) => interfaces.flatMap(({ addresses }) => addresses.map(bare)));

/** Which namespace a path leads to, as device and inode; null when there is none. */
export function namespaceAt(path: string): string | null {
  try {
    const { dev, ino } = statSync(path);
    return `${dev}:${ino}`;
  } catch {
    return null;
  }
}

// ---- What an LXC container keeps from one start to the next

/** What a container had at its last start: the hint by which its address is found again without a search. */
export function readKept(container: string): KeptRecord {
  return readKeptIfThere(container) ?? NOTHING_KEPT;
}

/** The same; null when it never started. */
export function readKeptIfThere(container: string): KeptRecord | null {
  const path = keptRecord(container);
  const found = readJson<KeptRecord | EarlierKept>(path, either(keptShape, earlierKeptShape));
  if (found.state === 'found') return currentKept(found.value);
  if (found.state === 'missing') return null;
  setAside(path);
  note(`${path} could not be read: it is ${path}.broken now, and was made anew from what is known`);
  const kept = { ...NOTHING_KEPT, interfaces: heldInterfaces({ kind: 'lxc', name: container }) };
  writeAtomically(path, JSON.stringify(kept));
  return kept;
}

/** Keeps what a container has now. */
export function writeKept(container: string, kept: KeptRecord): void {
  ensureText(keptRecord(container), JSON.stringify(kept));
}

/** Keeps what stands in a container's files now. */
export function writeKeptFiles(container: string, written: WrittenFiles): void {
  const { written: before = { hosts: false }, ...kept } = readKept(container);
  if (JSON.stringify(before) !== JSON.stringify(written)) writeKept(container, { ...kept, written });
}

/** Containers that keep something. */
export const listKept = (): string[] =>
  filesIn(dirname(keptRecord('-'))).flatMap((file) => (file.endsWith('.json') ? [file.slice(0, -5)] : []));

export function removeKept(container: string): void {
  removeFile(keptRecord(container));
  rmSync(`${keptRecord(container)}.broken`, { force: true });
}

// ---- Rebuilding

/** What is known of an attachment whose record is lost: its addresses, by the store. Whether it is alive is not. */
function rebuilt(owner: Owner): AttachmentRecord {
  const kept = owner.kind === 'lxc' ? readKept(owner.name).interfaces : [];
  return {
    owner,
    state: 'attached',
    life: null,
    interfaces: kept.length > 0 ? kept : heldInterfaces(owner),
    names: { own: [], linked: [] },
    links: [],
    policy: null,
    rebuilt: true,
  };
}

/** An interface for each that holds an address in any store. Reads every file of all stores. */
function heldInterfaces(owner: Owner): Interface[] {
  const ifname = 'ifname' in owner ? owner.ifname : undefined;
  const interfaces = new Map<string, Interface>();
  for (const { store, address, holder } of heldBy(holderIdOf(owner), ifname)) {
    const key = `${store.network} ${holder.ifname}`;
    const known = interfaces.get(key);
    const cidr = `${address}/${isV6(address) ? 128 : 32}`;
    interfaces.set(key, {
      driver: 'none',
      network: store.network,
      domain: null,
      ifname: holder.ifname,
      addresses: [...(known?.addresses ?? []), cidr],
      gateways: [],
      mac: '',
      hostLink: null,
      store,
    });
  }
  return [...interfaces.values()];
}
