/**
 * What is left of containers that nobody took down: their runtime was killed, their directory was removed by hand, or we were killed
 * half-way. Mark and sweep: every kind of resource is listed first, and the records are read after that, so that a start in between
 * is seen with all it has; what no live record owns is garbage. Only what bears our mark is looked at.
 */
import { existsSync, statSync } from 'node:fs';
import { uptime } from 'node:os';
import { basename, dirname } from 'node:path';
import { bare } from '../model/address.ts';
import {
  type AddressStore,
  type AttachmentRecord,
  attachmentId,
  fileNameOf,
  holderIdOf,
  type KeptRecord,
  showOwner,
} from '../model/attachment.ts';
import { hasDhcpOptions } from '../model/dhcp-options.ts';
import type { Finding } from '../model/finding.ts';
import { dhcpHostsDir, dhcpOptionsDir, leasedName, RUN, refusalFile, SLOTS, STATE } from '../model/paths.ts';
import { elementsAbout, elementsOf, mapElements, type PolicyElements, subtractElements } from '../model/policy.ts';
import { showHostPort } from '../plan/attachment/publish.ts';
import { parseListing } from '../plan/host/nft-listing.ts';
import { DEFAULT_DATA_DIR, type Holder, listAddresses, storeOf } from '../store/addresses.ts';
import { abandonedCopies } from '../store/copies.ts';
import { isRemembered, listLeasedNames } from '../store/leases.ts';
import { listNotes } from '../store/links.ts';
import { type HeldPort, listPorts, samePort } from '../store/ports.ts';
import {
  isInProgress,
  isLive,
  listKept,
  listRecords,
  policiesOf,
  readKept,
  unsureAddresses,
} from '../store/records.ts';
import { readRefusal } from '../store/refusals.ts';
import { type Entry, entriesOf, owns, REGISTERS } from '../store/register.ts';
import { unrecordedIn } from '../store/unrecorded.ts';
import { antispoofNotes } from '../system/antispoof.ts';
import type { Applying } from '../system/apply.ts';
import { abandonedIn, filesIn, readText } from '../system/files.ts';
import { abandonedReservations } from '../system/reservation-file.ts';
import { readTables } from '../system/tables.ts';
import { isDestroyed } from './destroyed.ts';

export interface Garbage {
  /** Attachments whose namespace has gone, or that were never finished. */
  dead: AttachmentRecord[];
  /** LXC containers that are no more, and the addresses that they hold. */
  vanished: { container: string; addresses: string[] }[];
  ports: HeldPort[];
  /** Names, MACs and masqueraded addresses. */
  entries: Entry[];
  /** Files that dnsmasq reads, and notes about starts. */
  files: string[];
  /** Temporary files and places in the queue of processes that were killed. */
  abandoned: string[];
  /** Links of containers that do not run. */
  links: { parent: string; child: string }[];
  /** In the sets and maps of our table. */
  elements: PolicyElements;
  /** Addresses in stores that nobody can give back any more. */
  addresses: { store: AddressStore; address: string; holder: Holder }[];
}

/** A reservation this young (ms) may be of a container that lxc-execute has just started, which has no directory. */
const STARTING_MS = 60_000;
const REFUSALS = dirname(refusalFile('-'));
/** An empty file this old (ms) in the queue of hooks is of one that was killed before it had written its pid. */
const WRITING_MS = 1_000;

export interface Scope {
  /** Stores whose addresses are looked at, by name; none is quick. */
  stores: readonly string[];
  /** Whether to look at the table: what has just brought that to the records need not. */
  table: boolean;
}

/** Looks; changes nothing. */
export function findGarbage({ exec }: Pick<Applying, 'exec'>, { stores, table }: Scope): Garbage {
  // First what there is, in the opposite order of a start …
  const entries = REGISTERS.flatMap(entriesOf);
  const ports = listPorts();
  const files = listFiles();
  const links = listNotes();
  const held = stores.map(storeOf).flatMap((store) => listAddresses(store).map((one) => ({ store, ...one })));
  const listing = table ? readTables(exec) : null;
  const { sets } = parseListing(listing ?? '');
  const kept = new Map(listKept().map((container) => [container, readKept(container)]));
  // … then who owns it.
  const owners = readOwners();
  return {
    dead: owners.records.filter((record) => !isLive(record)),
    vanished: vanished(kept, held, owners.live),
    ports: ports.filter(owners.isStalePort),
    entries: entries.filter(owners.isStaleEntry),
    files: files.filter(owners.isStaleFile),
    abandoned: listAbandoned(),
    links: links.filter(owners.isStaleLink),
    elements: staleElements(
      sets,
      owners.live,
      unrecordedIn(listing, owners.records).map(({ address }) => address),
    ),
    addresses: held.filter((one) => isStale(one, kept, owners)),
  };
}

/** Who is there, and what by that is nobody's. */
export interface Owners {
  records: AttachmentRecord[];
  live: AttachmentRecord[];
  isStalePort(port: HeldPort): boolean;
  isStaleEntry(entry: Entry): boolean;
  isStaleFile(path: string): boolean;
  isStaleLink(link: Garbage['links'][number]): boolean;
}

/** Reads all records. What is asked about must have been listed before. */
export function readOwners(): Owners {
  const records = listRecords();
  const live = records.filter(isLive);
  const byId = new Map(live.map((record) => [attachmentId(record.owner), record]));
  /** Whether an attachment is not there, or is and has it not. */
  const isNot = (id: string | null, has: (owner: AttachmentRecord) => boolean): boolean => {
    const owner = id === null ? undefined : byId.get(id);
    return !owner || (!isUnsure(owner) && !has(owner));
  };
  return {
    records,
    live,
    isStalePort: (port) =>
      isNot(port.container, ({ policy }) => policy?.publish.some((one) => samePort(one, port)) ?? false),
    isStaleEntry: (entry) => isNot(entry.holder, (owner) => owns(owner, entry)),
    isStaleFile: (path) => !isOwnedFile(path, live),
    isStaleLink: ({ parent, child }) =>
      isNot(
        `lxc/${parent}`,
        (owner) => owner.shares === child || owner.links.some(({ container }) => container === child),
      ),
  };
}

/** Whether it may have what its record does not say yet, or any more. */
const isUnsure = (record: AttachmentRecord): boolean => record.rebuilt === true || isInProgress(record);

/** Hosts files of names, what DHCP knows of containers, names of leases, and why starts were refused. */
const listFiles = (): string[] => [
  ...filesIn(REFUSALS).map((file) => `${REFUSALS}/${file}`),
  ...listLeasedNames().map(leasedName),
  ...filesIn(`${RUN}/names`).flatMap((domain) =>
    filesIn(`${RUN}/names/${domain}`).map((file) => `${RUN}/names/${domain}/${file}`),
  ),
  ...filesIn(`${RUN}/dnsmasq`).flatMap((network) =>
    [dhcpHostsDir(network), dhcpOptionsDir(network)].flatMap((directory) =>
      filesIn(directory).map((file) => `${directory}/${file}`),
    ),
  ),
];

const listAbandoned = (): string[] => [
  ...abandonedCopies(),
  ...[RUN, STATE].flatMap(abandonedIn),
  ...[RUN, STATE, DEFAULT_DATA_DIR].flatMap(abandonedReservations),
  ...filesIn(SLOTS).flatMap((slot) => {
    const path = `${SLOTS}/${slot}`;
    const text = readText(path) ?? '';
    const pid = /^(\d+)\n$/.exec(text)?.[1];
    const old = Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0) > WRITING_MS;
    return (text === '' && old) || (pid !== undefined && !existsSync(`/proc/${pid}`)) ? path : [];
  }),
];

/** What DHCP knows is kept while a container is stopped. */
function isOwnedFile(path: string, live: readonly AttachmentRecord[]): boolean {
  const file = basename(path);
  if (dirname(path) === REFUSALS) return readRefusal(file) !== null;
  if (path === leasedName(file)) return isRemembered(file);
  if (path.startsWith(`${RUN}/names/`)) return live.some(({ owner }) => fileNameOf(owner) === file);
  const [, container = '', ifname = ''] = /^(.*)\.(.*)$/.exec(file) ?? [];
  const isOptions = basename(dirname(path)) === basename(dhcpOptionsDir('-'));
  const has = ({ interfaces }: Pick<KeptRecord, 'interfaces'>, unsure = false): boolean =>
    interfaces.some((one) => one.ifname === ifname && (!isOptions || unsure || hasDhcpOptions(one)));
  return (
    live.some((one) => one.owner.kind === 'lxc' && one.owner.name === container && has(one, isUnsure(one))) ||
    has(readKept(container))
  );
}

function staleElements(
  sets: Record<string, string[]>,
  live: readonly AttachmentRecord[],
  unrecorded: readonly string[],
): PolicyElements {
  const present = mapElements((name) => sets[name] ?? []);
  const wanted = elementsOf(...policiesOf(live, antispoofNotes()));
  return subtractElements(
    subtractElements(present, wanted),
    elementsAbout([...unsureAddresses(live), ...unrecorded], sets),
  );
}

interface Held {
  store: AddressStore;
  address: string;
  holder: Holder;
  reservedAt: number;
}

const containerOf = ({ id }: Holder): string | null => /^lxc-(.+)$/.exec(id)?.[1] ?? null;

/** Containers of which something is kept, or which hold an address, though they are no more. */
function vanished(kept: ReadonlyMap<string, KeptRecord>, held: readonly Held[], live: readonly AttachmentRecord[]) {
  const running = new Set(live.flatMap(({ owner }) => (owner.kind === 'lxc' ? [owner.name] : [])));
  const young = new Set(
    held.flatMap(({ holder, reservedAt }) =>
      Date.now() - reservedAt < STARTING_MS ? (containerOf(holder) ?? []) : [],
    ),
  );
  const names = new Set([...kept.keys(), ...held.flatMap(({ holder }) => containerOf(holder) ?? [])]);
  return [...names]
    .filter((name) => !running.has(name) && !young.has(name) && isDestroyed(name, kept.get(name)))
    .map((container) => ({
      container,
      addresses: held.filter(({ holder }) => containerOf(holder) === container).map(({ address }) => address),
    }));
}

/**
 * Whether nobody will ever give an address back: an LXC container that has another one now, or a CNI container of an earlier boot,
 * whose namespace ended with it. Whose record is there gives it back with that.
 */
function isStale(
  { store, address, holder, reservedAt }: Held,
  kept: ReadonlyMap<string, KeptRecord>,
  { records, live }: Owners,
): boolean {
  const container = containerOf(holder);
  const known = records.some(
    ({ owner, interfaces }) =>
      holderIdOf(owner) === holder.id && interfaces.some(({ ifname }) => ifname === holder.ifname),
  );
  if (container === null) return !known && reservedAt < Date.now() - uptime() * 1000;
  const interfaces = kept.get(container)?.interfaces ?? [];
  if (
    interfaces.length === 0 ||
    live.some(({ owner, state }) => holderIdOf(owner) === holder.id && state !== 'attached')
  )
    return false;
  return !interfaces.some(
    (one) => one.store?.network === store.network && one.addresses.some((own) => bare(own) === address),
  );
}

/** Every store of host-local's default directory. */
export const allStores = (): string[] => filesIn(DEFAULT_DATA_DIR);

/** What was found, for people. What belongs to something that is named already goes with that. */
export function findingsOf({ dead, vanished, ports, entries, files, links, elements, addresses }: Garbage): Finding[] {
  const left = (about: string, text: string): Finding => ({ severity: 'warning', about, text, remedy: 'nethooks gc' });
  const named = new Set(dead.map(({ owner }) => attachmentId(owner)));
  const findings = [
    ...dead.flatMap(({ owner, interfaces, policy, state }) => {
      const who = showOwner(attachmentId(owner));
      const what = state === 'attached' ? 'is no more' : 'was left half-way';
      const held = interfaces.flatMap((one) => one.addresses.map(bare));
      return [
        left('host', `${who} ${what}: its names, ${held.join(', ') || 'no address'}`),
        ...listElements(elementsOf(...(policy ? [policy] : []))).map((line) => left(who, line)),
      ];
    }),
    ...ports
      .filter(({ container }) => !named.has(container))
      .map((port) => left(showOwner(port.container), `host port ${showHostPort(port)}/${port.protocol}`)),
    ...entries
      .filter(({ holder }) => holder === null || !named.has(holder))
      .map(({ register, key, holder }) =>
        left(holder === null ? 'nobody' : showOwner(holder), `${key} in ${register}`),
      ),
    ...links.map(({ parent, child }) => left(parent, `its link to ${child}`)),
    ...vanished.map(({ container, addresses: held }) =>
      left('host', `${container} is no more: ${held.join(', ') || 'what it kept'}`),
    ),
    ...addresses.map(({ store, address, holder }) =>
      left('host', `${holder.id} holds ${address} of ${store.network} for nobody`),
    ),
  ];
  const rest = [...(findings.length > 0 ? [] : files), ...(dead.length > 0 ? [] : listElements(elements))];
  return [...findings, ...rest.map((text) => left('host', text))];
}

const listElements = (elements: Garbage['elements']): string[] =>
  Object.entries(elements).flatMap(([set, list]) => list.map((element) => `${set} ${element}`));
