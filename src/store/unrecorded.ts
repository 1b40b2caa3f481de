/**
 * Addresses of containers that CNI or `nethooks attach` connected, and of which there is no record: somebody has emptied /run/nethooks. What
 * our tables have for them is theirs as long as they hold their address.
 */
import { uptime } from 'node:os';
import { bare } from '../model/address.ts';
import type { AttachmentRecord } from '../model/attachment.ts';
import { filesIn } from '../system/files.ts';
import { readHolder, reservedAt } from '../system/reservation-file.ts';
import { addressFile, DEFAULT_DATA_DIR, storeOf } from './addresses.ts';

export interface Unrecorded {
  id: string;
  address: string;
}

/** @param listing of our tables; without one nothing is theirs */
export function unrecordedIn(listing: string | null, records: readonly AttachmentRecord[]): Unrecorded[] {
  if (listing === null) return [];
  const words = new Set(listing.split(/[\s,{}]+/));
  const known = new Set(
    records.flatMap(({ interfaces }) => interfaces.flatMap(({ addresses }) => addresses.map(bare))),
  );
  const booted = Date.now() - uptime() * 1000;
  return filesIn(DEFAULT_DATA_DIR).flatMap((network) =>
    filesIn(`${DEFAULT_DATA_DIR}/${network}`).flatMap((address) => {
      if (!words.has(address) || known.has(address)) return [];
      const path = addressFile(storeOf(network), address);
      const id = readHolder(path)?.id;
      // LXC's containers keep theirs while they are stopped, and their records are found again otherwise.
      return id === undefined || id.startsWith('lxc-') || (reservedAt(path) ?? 0) < booted ? [] : [{ id, address }];
    }),
  );
}
