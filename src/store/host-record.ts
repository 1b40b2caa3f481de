/** What was applied to the host, as JSON under /run: gone at a reboot, as the kernel's state is. */

import { EMPTY_RECORD, type HostRecord } from '../model/host-record.ts';
import { HOST_RECORD } from '../model/paths.ts';
import { ensureText, readText, removeFile } from '../system/files.ts';

/** The record of what is applied; an empty one when nothing is. */
export function readRecord(): HostRecord {
  const text = readText(HOST_RECORD);
  return text === null ? EMPTY_RECORD : (JSON.parse(text) as HostRecord);
}

/** Remembers; a record without networks is no file. */
export function writeRecord(record: HostRecord): void {
  if (record.networks.length === 0) removeFile(HOST_RECORD);
  else ensureText(HOST_RECORD, JSON.stringify(record));
}
