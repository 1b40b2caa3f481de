/**
 * One file per thing that only one may have (an address, a host port, a name), which says who has it: what the store does on the disk.
 * The kernel makes a file for one of many who try, so no lock is needed.
 */
import {
  closeSync,
  constants,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  renameSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname } from 'node:path';
import { isAddress } from '../model/address.ts';

export interface Holder {
  /** The CNI container id, or the attachment's. */
  id: string;
  /** The interface in the container; empty in files written by rkt and by host-local before 0.8. */
  ifname: string;
}

/** Whose reservations a release means: without `ifname`, those of all interfaces. */
export type HolderPattern = Pick<Holder, 'id'> & Partial<Holder>;

/** Round robin's memory, one for each of host-local's range sets. */
const lastReserved = (directory: string, set: number): string => `${directory}/last_reserved_ip.${set}`;
const TEMPORARY = '.nethooks-';
/** Two names and a line break fit many times over; a longer file is no reservation. */
const MAX_BYTES = 4096;
/** A temporary file this old (ms) belongs to a process that was killed. */
const STALE_AFTER = 60_000;

const buffer = Buffer.alloc(MAX_BYTES);
let serial = 0;
let namespace: string | undefined;

/** What Unicode calls Cc. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what it looks for; the interpreter takes 0.1 ms to compile \p{Cc}
const CONTROL = /[\0-\x1f\x7f-\x9f]/;

/** Whether both names come back from the file as they went in: short, no control characters, no space at the ends. */
export function isWritable({ id, ifname }: Holder): boolean {
  return [id, ifname].every(
    (name) => name !== '' && name === name.trim() && Buffer.byteLength(name) <= MAX_BYTES / 4 && !CONTROL.test(name),
  );
}

const contentOf = ({ id, ifname }: Holder): string => `${id}\r\n${ifname}`;

/** Who the file says holds its address; null when it is missing, empty, garbage or no regular file. */
export function readHolder(path: string): Holder | null {
  const content = readShort(path);
  const [id = '', ifname, ...rest] = content?.trim().split(/\r?\n/) ?? [];
  if (rest.length > 0 || !isWritable({ id, ifname: ifname ?? '-' })) return null;
  return { id, ifname: ifname ?? '' };
}

/** Whether the file at `path` says that the holder has its address. A file without an interface is for all of them. */
export function isHeldBy(path: string, { id, ifname }: HolderPattern): boolean {
  const found = readHolder(path);
  return found?.id === id && (ifname === undefined || found.ifname === '' || found.ifname === ifname);
}

/**
 * Calls `use` with a function that reserves the address it is given and says whether it was free. The name appears with its
 * content complete: a temporary file is linked to it, which fails when the name exists, exactly as host-local's O_EXCL does.
 */
export function reserving<T>(directory: string, holder: Holder, use: (reserve: (address: string) => boolean) => T): T {
  const temporary = temporaryIn(directory);
  writeNew(directory, temporary, contentOf(holder));
  try {
    return use((address) => linkIfFree(temporary, `${directory}/${address}`));
  } finally {
    removeIfThere(temporary);
  }
}

/**
 * Removes the reservation of `address` if it is the holder's, or with null if the file does not say whose it is; true when it was. The
 * file is moved away before it is judged for good: if, after the first look, another process released the address and a third one
 * reserved it, it goes back.
 */
export function releaseIfHeld(directory: string, address: string, holder: HolderPattern | null): boolean {
  const path = `${directory}/${address}`;
  const isIts = (file: string): boolean => (holder ? isHeldBy(file, holder) : readHolder(file) === null);
  if (!isIts(path)) return false;
  const temporary = temporaryIn(directory);
  try {
    renameSync(path, temporary);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false; // somebody else released it just now
    throw error;
  }
  const ours = isIts(temporary);
  if (!ours) linkIfFree(temporary, path);
  removeIfThere(temporary);
  return ours;
}

/** Makes a reservation somebody else's, if it is `from`'s; nobody finds the address free meanwhile. */
export function handOver(directory: string, address: string, from: HolderPattern, to: Holder): void {
  const path = `${directory}/${address}`;
  if (!isHeldBy(path, from)) return;
  const temporary = temporaryIn(directory);
  writeNew(directory, temporary, contentOf(to));
  renameSync(temporary, path);
}

/** The names in the directory that stand for an address. Removes what killed processes left. */
export function addressFiles(directory: string): string[] {
  const names: string[] = [];
  for (const entry of readEntries(directory)) {
    if (!entry.isFile()) continue;
    if (isAddress(entry.name)) names.push(entry.name);
    else if (entry.name.startsWith(TEMPORARY)) removeIfStale(`${directory}/${entry.name}`);
  }
  return names;
}

/** The address of a range set that was given out last; null when nobody knows. */
export const readLastReserved = (directory: string, set: number): string | null =>
  readShort(lastReserved(directory, set))?.trim() ?? null;

/** Remembers the address for round robin. That only spaces out reuse, so a failure (a full disk) is no reason to stop. */
export function writeLastReserved(directory: string, set: number, address: string): void {
  try {
    writeFileSync(lastReserved(directory, set), address, { mode: 0o600 });
  } catch {}
}

/** When the reservation was made, in ms since the epoch; null when it is gone. */
export function reservedAt(path: string): number | null {
  return lstatSync(path, { throwIfNoEntry: false })?.mtimeMs ?? null;
}

/** The content of a small regular file; null when it cannot be read or is too long. Waits for no fifo, follows no link. */
function readShort(path: string): string | null {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch {
    return null;
  }
  try {
    const bytes = readSync(fd, buffer, 0, MAX_BYTES, 0);
    return bytes === MAX_BYTES ? null : buffer.toString('utf8', 0, bytes);
  } catch {
    return null; // a directory
  } finally {
    closeSync(fd);
  }
}

function writeNew(directory: string, path: string, content: string): void {
  const options = { flag: 'wx', mode: 0o600 };
  try {
    writeFileSync(path, content, options);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
    mkdirSync(directory, { recursive: true, mode: 0o755 });
    writeFileSync(path, content, options);
  }
}

function linkIfFree(from: string, to: string): boolean {
  for (let attempt = 0; ; attempt++) {
    try {
      linkSync(from, to);
      return true;
    } catch (error) {
      if (codeOf(error) === 'EEXIST') return false;
      // The name's own directory is not there yet, or has just been removed with the last name in it.
      if (codeOf(error) !== 'ENOENT' || attempt === 8) throw error;
      mkdirSync(dirname(to), { recursive: true, mode: 0o755 });
    }
  }
}

/** A name that host-local takes for no address, unique also between PID namespaces that share the directory. */
function temporaryIn(directory: string): string {
  serial += 1;
  return `${directory}/${TEMPORARY}${process.pid}-${pidNamespace()}-${serial}-${Math.random().toString(36).slice(2)}`;
}

/**
 * Temporary files below a directory, of processes of our PID namespace that are gone. Whether one of another namespace is, nobody here can
 * tell: those go by their age (addressFiles).
 */
export function abandonedReservations(directory: string): string[] {
  return filesBelow(directory).flatMap((path) => {
    const [, pid, namespace] = /^\.nethooks-(\d+)-(\d+)-/.exec(basename(path)) ?? [];
    return namespace === pidNamespace() && !existsSync(`/proc/${pid}`) ? [`${directory}/${path}`] : [];
  });
}

function filesBelow(directory: string): string[] {
  try {
    return readdirSync(directory, { recursive: true, encoding: 'utf8' });
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return [];
    throw error;
  }
}

/** Its inode (pid_namespaces(7)); empty where that cannot be known. */
function pidNamespace(): string {
  namespace ??= /\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0] ?? '';
  return namespace;
}

function removeIfStale(path: string): void {
  const changed = lstatSync(path, { throwIfNoEntry: false })?.ctimeMs; // a rename counts, unlike in mtime
  if (changed !== undefined && Date.now() - changed > STALE_AFTER) removeIfThere(path);
}

function removeIfThere(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
}

function readEntries(directory: string) {
  try {
    return readdirSync(directory, { withFileTypes: true });
  } catch (error) {
    // Nothing was ever reserved; or the configured directory is a file, and nothing can be.
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return [];
    throw error;
  }
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}
