/**
 * Which container holds which address, in the layout of CNI's host-local plugin (containernetworking/plugins,
 * plugins/ipam/host-local/backend/disk), so that CNI plugins and LXC share one subnet. The file `<dataDir>/<network>/<address>`
 * with `<id>\r\n<ifname>` in it is the reservation. host-local creates it with O_EXCL, we link(2) a finished file to the name:
 * both fail when the name exists, so the two need no common lock.
 *
 * A file that names no holder (host-local killed between create and write, a power cut) keeps its address: it looks like one
 * that is just being written. It is not listed; the error of an exhausted range counts such files.
 *
 * A holder makes one call at a time, as LXC and the CNI runtimes ensure; then it never gets two addresses.
 */

import { NethooksError } from '../errors.ts';
import { formatIp, type Ip, isAddress, parseIp } from '../model/address.ts';
import type { AddressStore } from '../model/attachment.ts';
import type { AddressRange } from '../model/config.ts';
import { filesIn } from '../system/files.ts';
import {
  addressFiles,
  type Holder,
  type HolderPattern,
  handOver,
  isHeldBy,
  isWritable,
  readHolder,
  readLastReserved,
  releaseIfHeld,
  reservedAt,
  reserving,
  writeLastReserved,
} from '../system/reservation-file.ts';

export type { AddressRange, AddressStore, Holder, HolderPattern };

/** host-local's own default. */
export const DEFAULT_DATA_DIR = '/var/lib/cni/networks';

/** The store of one of our networks, and of everything else that uses host-local's default directory. */
export const storeOf = (network: string): AddressStore => ({ dataDir: DEFAULT_DATA_DIR, network });

/** Nothing is free: what is left of containers that are gone may be in the way. */
export class Exhausted extends NethooksError {}

export interface Reservation {
  address: string;
  /** Made by this call, so a rollback may release it. */
  fresh: boolean;
}

export interface ReserveOptions {
  /** Addresses that are never given out: the bridge's own. */
  skip?: readonly string[];
  /** A static address; it may lie outside the ranges. */
  wanted?: string;
  /** The address that this holder is remembered to have. */
  hint?: string;
  /** With it, a hint outside of the ranges stays the holder's, unless it lies here, where somebody else gives addresses out. */
  dynamic?: AddressRange | null;
  /** Whether to look through the whole directory for an address that the holder may have, though nobody remembers; default: true. */
  search?: boolean;
  /** The index of host-local's range set that the ranges are; default: 0. */
  set?: number;
}

/**
 * The holder's address: the one it already has in these ranges, else the next free one after the last that was given out.
 * With `wanted`: that one; other addresses of the holder stay until they are released.
 * @throws NethooksError when `wanted` is somebody else's, when nothing is free, or for malformed arguments
 */
export function reserveAddress(
  store: AddressStore,
  ranges: readonly AddressRange[],
  holder: Holder,
  options: ReserveOptions = {},
): Reservation {
  const directory = directoryOf(store);
  if (!isWritable(holder)) throw new NethooksError(`not a holder of an address: ${JSON.stringify(holder)}`);
  const { skip = [], wanted, hint, dynamic, set = 0, search = true } = options;
  const bounds = ranges.map(toBounds);
  if (wanted !== undefined) return reserveWanted(store, holder, inFamily(wanted, bounds), skip);

  const usable = (address: string) => !skip.includes(address) && indexOf(bounds, parseIp(address)) >= 0;
  const isOurs = (address: string) => usable(address) && isHeldBy(`${directory}/${address}`, holder);
  const elsewhere = dynamic === undefined ? null : (dynamic ? [dynamic] : []).map(toBounds);
  const staysOurs = (address: string) =>
    elsewhere !== null &&
    !skip.includes(address) &&
    indexOf(elsewhere, parseIp(address)) < 0 &&
    isHeldBy(`${directory}/${address}`, holder);
  if (hint !== undefined && (isOurs(hint) || staysOurs(hint))) return { address: hint, fresh: false };
  const sticky = search ? addressFiles(directory).find(isOurs) : undefined;
  if (sticky !== undefined) return { address: sticky, fresh: false };

  const address = reserving(directory, holder, (reserve) => {
    // Round robin finds a free one at once, as a rule; only where it does not, the whole directory is read.
    let taken: Set<string> | null = null;
    let tries = 0;
    for (const candidate of candidates(bounds, parseIp(readLastReserved(directory, set) ?? ''))) {
      if (skip.includes(candidate) || taken?.has(candidate)) continue;
      if (reserve(candidate)) return candidate;
      tries += 1;
      if (tries === DIRECT_TRIES) taken = new Set(addressFiles(directory));
    }
    return null;
  });
  if (address === null) throw exhausted(store, ranges, addressFiles(directory).filter(usable));
  writeLastReserved(directory, set, address);
  return { address, fresh: true };
}

/** Addresses that are tried before the directory is read: each takes some µs, the directory some ms where thousands are held. */
const DIRECT_TRIES = 64;

/** Who holds an address; null for nobody, or somebody unknown. */
export const holderOf = (store: AddressStore, address: string): Holder | null =>
  readHolder(`${directoryOf(store)}/${address}`);

/** Every address that an id holds, in any store below host-local's default directory. Reads all of them. */
export function heldBy(id: string, ifname?: string): { store: AddressStore; address: string; holder: Holder }[] {
  return filesIn(DEFAULT_DATA_DIR)
    .map(storeOf)
    .flatMap((store) =>
      listAddresses(store)
        .filter(({ holder }) => holder.id === id && (ifname === undefined || ifname === holder.ifname))
        .map(({ address, holder }) => ({ store, address, holder })),
    );
}

/**
 * Gives the holder's addresses back and returns them; having none is no error. With a `hint` that is the holder's: only that
 * one, without reading the whole directory; without `search` never any other. What counts is what the file says, never its name alone: by the time a late
 * release comes, somebody else may hold the address.
 */
export function releaseAddress(
  store: AddressStore,
  holder: HolderPattern,
  hint?: string,
  { search = true } = {},
): string[] {
  const directory = directoryOf(store);
  if (hint !== undefined && isAddress(hint) && releaseIfHeld(directory, hint, holder)) return [hint];
  if (!search) return [];
  return addressFiles(directory).filter((address) => releaseIfHeld(directory, address, holder));
}

/** Makes an address that `from` holds another holder's. */
export function passAddress(store: AddressStore, address: string, from: HolderPattern, to: Holder): void {
  if (isAddress(address)) handOver(directoryOf(store), address, from, to);
}

/** Every address whose file names a holder, in no particular order. `reservedAt` is in ms since the epoch. */
export function listAddresses(store: AddressStore): { address: string; holder: Holder; reservedAt: number }[] {
  const directory = directoryOf(store);
  return addressFiles(directory).flatMap((address) => {
    const holder = readHolder(`${directory}/${address}`);
    const time = reservedAt(`${directory}/${address}`);
    return holder && time !== null ? [{ address, holder, reservedAt: time }] : [];
  });
}

/** The address as its file is called. It may lie outside the ranges, but is of their family. */
function inFamily(text: string, bounds: readonly Bounds[]): string {
  const ip = parseIp(text);
  if (ip && bounds.some(({ bits }) => bits === ip.bits)) return formatIp(ip);
  throw new NethooksError(`not an address of the network's family: ${text}`);
}

function reserveWanted(store: AddressStore, holder: Holder, wanted: string, skip: readonly string[]): Reservation {
  const directory = directoryOf(store);
  const path = `${directory}/${wanted}`;
  if (skip.includes(wanted)) throw new NethooksError(`address ${wanted} is the host's own in network ${store.network}`);
  if (isHeldBy(path, holder)) return { address: wanted, fresh: false };
  if (reserving(directory, holder, (reserve) => reserve(wanted))) return { address: wanted, fresh: true };
  const other = readHolder(path);
  const name = other ? [other.id, other.ifname].filter(Boolean).join(' ') : 'somebody unknown';
  throw new NethooksError(
    `address ${wanted} of network ${store.network} is held by ${name}; choose another one, or remove ${path} if that holder is gone`,
  );
}

function exhausted(store: AddressStore, ranges: readonly AddressRange[], held: string[]): Exhausted {
  const directory = directoryOf(store);
  const nameless = held.filter((address) => readHolder(`${directory}/${address}`) === null).length;
  const where = ranges.map(({ from, to }) => `${from}-${to}`).join(', ') || 'no range';
  return new Exhausted(
    `no free address in network ${store.network}: all of ${where} is in use, ${held.length} held` +
      `${nameless > 0 ? ` (${nameless} by files that name no holder)` : ''}; ` +
      `make the range larger, destroy containers, or remove leftovers from ${directory}`,
  );
}

/** A range of addresses of one family, inclusive. */
interface Bounds {
  bits: number;
  from: bigint;
  to: bigint;
}

function toBounds({ from, to }: AddressRange): Bounds {
  const [first, last] = [parseIp(from), parseIp(to)];
  if (first && last && first.bits === last.bits && first.value <= last.value)
    return { bits: first.bits, from: first.value, to: last.value };
  throw new NethooksError(`not a range of addresses: ${from}-${to}`);
}

const indexOf = (bounds: readonly Bounds[], ip: Ip | null): number =>
  ip === null ? -1 : bounds.findIndex(({ bits, from, to }) => bits === ip.bits && from <= ip.value && ip.value <= to);

/** All addresses of the ranges, each once: from the one after `last` to the end, then from the beginning up to `last`. */
function* candidates(bounds: readonly Bounds[], last: Ip | null): Generator<string> {
  const start = indexOf(bounds, last);
  const current = bounds[start];
  if (last === null || current === undefined) {
    for (const range of bounds) yield* addresses(range);
    return;
  }
  yield* addresses({ ...current, from: last.value + 1n });
  for (const range of [...bounds.slice(start + 1), ...bounds.slice(0, start)]) yield* addresses(range);
  yield* addresses({ ...current, to: last.value });
}

function* addresses({ bits, from, to }: Bounds): Generator<string> {
  for (let value = from; value <= to; value++) yield formatIp({ bits, value });
}

/** The file that says who has an address. */
export const addressFile = (store: AddressStore, address: string): string => `${directoryOf(store)}/${address}`;

function directoryOf({ dataDir, network }: AddressStore): string {
  if (/^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(network)) return `${dataDir}/${network}`;
  throw new NethooksError(`not a network's name: ${JSON.stringify(network)}`);
}
