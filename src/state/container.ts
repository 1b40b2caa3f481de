/** What a container holds on this host: its addresses, its names, its reservations, and the records of them. */
import { join } from 'node:path';
import { type Attachment, dhcpHost, hostsFile } from '../plan/container.ts';
import { dnsName } from '../plan/names.ts';
import { dhcpHostsDir, keptRecord, namesDir, runningRecord } from '../plan/paths.ts';
import { reloadDnsmasq } from '../system/dnsmasq.ts';
import { ensureText, readText, removeFile, writeAtomically } from '../system/files.ts';
import { DEFAULT_DATA_DIR, releaseAddress } from './address-store.ts';

/** A container as start-host left it. */
export interface ContainerRecord {
  name: string;
  /** pid of its init. */
  pid: number;
  attachments: Attachment[];
}

/** The id under which an LXC container holds addresses in the store, beside those of CNI containers. */
export const holderId = (container: string): string => `lxc-${container}`;

export const storeOf = (network: string) => ({ dataDir: DEFAULT_DATA_DIR, network });

/** What start-host applied, while the container runs. */
export const readRunning = (container: string): ContainerRecord | null =>
  readJson<ContainerRecord>(runningRecord(container));

/** What the container had at its last start: the hint by which its address is found again without a search. */
export const readKept = (container: string): Attachment[] => readJson<Attachment[]>(keptRecord(container)) ?? [];

/** Remembers a container that has just been connected. */
export function remember(record: ContainerRecord): void {
  writeAtomically(runningRecord(record.name), JSON.stringify(record));
  ensureText(keptRecord(record.name), JSON.stringify(record.attachments));
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
  const attachments = [...readKept(container), ...(readRunning(container)?.attachments ?? [])];
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
