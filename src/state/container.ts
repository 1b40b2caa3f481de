/** What a container holds on this host: its addresses, its names, its reservations, and the records of them. */
import { dirname, join } from 'node:path';
import { type Attachment, dhcpHost, hostsFile } from '../plan/container.ts';
import { dnsName } from '../plan/names.ts';
import { dhcpHostsDir, keptRecord, namesDir, runningRecord } from '../plan/paths.ts';
import type { Policy, Published } from '../plan/policy.ts';
import type { Port } from '../plan/ports.ts';
import { reloadDnsmasq } from '../system/dnsmasq.ts';
import { ensureText, filesIn, readText, removeFile, writeAtomically } from '../system/files.ts';
import { DEFAULT_DATA_DIR, releaseAddress } from './address-store.ts';
import { isAlive } from './process.ts';

/** A container as start-host left it. */
export interface ContainerRecord {
  name: string;
  /** pid of its init. */
  pid: number;
  /** When that started (process.ts): the pid alone may be somebody else's by now. */
  started: string | null;
  attachments: Attachment[];
  /** What it has in the kernel; null when it needs nothing there. */
  policy: Policy | null;
}

/** What a container keeps from one start to the next. */
export interface KeptRecord {
  attachments: Attachment[];
  /** The host ports it had: it gets those that nobody chose again. */
  publish: Published[];
  /** What links to it open. */
  exposed?: Port[];
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
  return Array.isArray(kept) ? { attachments: kept, publish: [] } : kept; // the first version kept only a list
}

/** Every container that start-host connected and post-stop has not seen yet, alive or not. */
export function listRunning(): ContainerRecord[] {
  return filesIn(dirname(runningRecord('-'))).flatMap((file) => readRunning(file.replace(/\.json$/, '')) ?? []);
}

/** The policies of the containers that run. */
export const livePolicies = (): Policy[] =>
  listRunning().flatMap((record) => (record.policy && isAlive(record) ? [record.policy] : []));

/** Remembers a container that has just been connected. */
export function remember(record: ContainerRecord): void {
  writeAtomically(runningRecord(record.name), JSON.stringify(record));
  const { publish = [], exposed = [] } = record.policy ?? {};
  const kept: KeptRecord = { attachments: record.attachments, publish, exposed };
  ensureText(keptRecord(record.name), JSON.stringify(kept));
}

/** Makes a container's names answer and reserves its addresses in DHCP; dnsmasq sees new files by itself. */
export function announce(container: string, attachments: Attachment[]): void {
  const name = dnsName(container);
  for (const domain of new Set(attachments.map((attachment) => attachment.domain)))
    if (name !== null) ensureText(join(namesDir(domain), container), hostsFile(name, domain, attachments));
  for (const attachment of attachments) {
    const path = reservation(container, attachment);
    const before = readText(path);
    const wanted = dhcpHost(attachment);
    if (before === wanted) continue;
    writeAtomically(path, wanted);
    // It adds what a changed file says now, but drops what the file said before only when told to read all anew.
    if (before !== null) reloadDnsmasq(attachment.network);
  }
}

/** Takes a container's names back; its addresses and reservations stay for its next start. */
export function silence(container: string, attachments: Attachment[]): void {
  for (const domain of new Set(attachments.map((attachment) => attachment.domain)))
    removeFile(join(namesDir(domain), container));
  // dnsmasq before 2.87 does not notice that a hosts file has gone.
  for (const network of new Set(attachments.map((attachment) => attachment.network))) reloadDnsmasq(network);
  removeFile(runningRecord(container));
}

/** Takes everything back that a container holds, as if it had never been. */
export function forget(container: string): void {
  const attachments = [...readKept(container).attachments, ...(readRunning(container)?.attachments ?? [])];
  for (const attachment of attachments) removeFile(reservation(container, attachment));
  // Without a hint: whatever it ever held goes, an address of an earlier range too.
  for (const network of new Set(attachments.map((attachment) => attachment.network)))
    releaseAddress(storeOf(network), { id: holderId(container) });
  silence(container, attachments);
  removeFile(keptRecord(container));
}

const reservation = (container: string, { network, ifname }: Attachment): string =>
  join(dhcpHostsDir(network), `${container}.${ifname}`);

function readJson<T>(path: string): T | null {
  const text = readText(path);
  return text === null ? null : (JSON.parse(text) as T);
}
