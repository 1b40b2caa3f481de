/** What a container holds on this host: its addresses, its names, its reservations, and the records of them. */
import { dirname } from 'node:path';
import { keptRecord, linkEnvironmentPath, optionsCache, runningRecord } from '../model/paths.ts';
import type { Policy, Published } from '../model/policy.ts';
import type { Port } from '../model/ports.ts';
import type { Attachment } from '../plan/attachment/interfaces.ts';
import { ensureText, filesIn, readText, removeFile, writeAtomically } from '../system/files.ts';
import { isAlive } from '../system/process.ts';
import { DEFAULT_DATA_DIR, listAddresses, releaseAddress } from './address-store.ts';
import { unannounce, unreserveInDhcp } from './names.ts';

/** A container as start-host left it. */
export interface ContainerRecord {
  name: string;
  /** pid of its init. */
  pid: number;
  /** When that started (process.ts): the pid alone may be somebody else's by now. */
  started: string | null;
  attachments: Attachment[];
  /** Its LXC configuration, where there is one. */
  configFile?: string | null;
  /** The words on its hook line. */
  words?: readonly string[];
  /** What it has in the kernel; null when it needs nothing there. */
  policy: Policy | null;
}

/** What a container keeps from one start to the next. */
export interface KeptRecord {
  attachments: Attachment[];
  /** The host ports it had: it gets those that nobody chose again. */
  publish: Published[];
  /** What links to it open. */
  exposed: Port[];
  /** What stands in its files, to be taken back when it is asked for no more. */
  told?: Told;
}

/** What we wrote into a container's files. */
export interface Told {
  /** Whether /etc/hosts has a block of ours. */
  hosts: boolean;
  /** What /etc/hostname held before ours: null when there was none; absent when it is not ours. */
  hostname?: string | null;
}

/** The id under which an LXC container holds addresses in the store, beside those of CNI containers. */
export const holderId = (container: string): string => `lxc-${container}`;

export const storeOf = (network: string) => ({ dataDir: DEFAULT_DATA_DIR, network });

/** What start-host applied, while the container runs. */
export const readRunning = (container: string): ContainerRecord | null =>
  readJson<ContainerRecord>(runningRecord(container));

/** What the container had at its last start: the hint by which its address is found again without a search. */
export function readKept(container: string): KeptRecord {
  const kept = readJson<KeptRecord | Attachment[]>(keptRecord(container)) ?? [];
  return Array.isArray(kept) ? { attachments: kept, publish: [], exposed: [] } : kept; // the first version kept only a list
}

/** Every container that start-host connected and post-stop has not seen yet, alive or not. */
export function listRunning(): ContainerRecord[] {
  return filesIn(dirname(runningRecord('-'))).flatMap((file) => readRunning(file.replace(/\.json$/, '')) ?? []);
}

/** The policies of the containers that run. */
export const livePolicies = (): Policy[] =>
  listRunning().flatMap((record) => (record.policy && isAlive(record) ? [record.policy] : []));

/**
 * Remembers a container that has just been connected.
 * @param told what stands in its files now; default: what is known of that
 */
export function remember(record: ContainerRecord, told: Told | undefined = readKept(record.name).told): void {
  writeAtomically(runningRecord(record.name), JSON.stringify(record));
  const { publish = [], exposed = [] } = record.policy ?? {};
  const kept: KeptRecord = { attachments: record.attachments, publish, exposed, ...(told && { told }) };
  ensureText(keptRecord(record.name), JSON.stringify(kept));
}

/** Remembers what stands in a container's files now. */
export function rememberTold(container: string, told: Told): void {
  const { told: before = { hosts: false }, ...kept } = readKept(container);
  if (JSON.stringify(before) !== JSON.stringify(told))
    writeAtomically(keptRecord(container), JSON.stringify({ ...kept, told }));
}

/** Takes a container's names back; its addresses and reservations stay for its next start. */
export function silence(container: string, attachments: Attachment[]): void {
  unannounce(container, attachments);
  removeFile(runningRecord(container));
}

/** Gives back what a container held at its last start and holds no more: it is on another network now, or that has another subnet. */
export function releaseFormer(container: string, before: Attachment[], now: Attachment[]): void {
  for (const old of before) {
    const same = now.find(({ network, ifname }) => network === old.network && ifname === old.ifname);
    if (!same) unreserveInDhcp(container, [old]);
    if (same?.address === old.address) continue;
    const holder = { id: holderId(container), ifname: old.ifname };
    // Only what is surely its own: a release whose hint is wrong takes all that its holder has.
    const held = listAddresses(storeOf(old.network)).find(({ address }) => address === old.address)?.holder;
    if (held?.id === holder.id && held.ifname === holder.ifname)
      releaseAddress(storeOf(old.network), holder, old.address);
  }
}

/** Takes everything back that a container holds, as if it had never been. */
export function forget(container: string): void {
  const attachments = [...readKept(container).attachments, ...(readRunning(container)?.attachments ?? [])];
  unreserveInDhcp(container, attachments);
  // Without a hint: whatever it ever held goes, an address of an earlier range too.
  for (const network of new Set(attachments.map((attachment) => attachment.network)))
    releaseAddress(storeOf(network), { id: holderId(container) });
  silence(container, attachments);
  for (const path of [keptRecord(container), optionsCache(container), linkEnvironmentPath(container)]) removeFile(path);
}

function readJson<T>(path: string): T | null {
  const text = readText(path);
  return text === null ? null : (JSON.parse(text) as T);
}
