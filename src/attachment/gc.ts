/**
 * What is left of containers that nobody took down: their runtime was killed, their directory was removed by hand, or we were killed
 * half-way. Mark and sweep: every kind of resource is listed first, and the records are read after that, so that a start in between
 * is seen with all it has; what no live record owns is garbage. Only what bears our mark is looked at.
 */
import { existsSync, statSync } from 'node:fs';
import { uptime } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { bare } from '../model/address.ts';
import {
  type AddressStore,
  type AttachmentRecord,
  attachmentId,
  fileNameOf,
  holderIdOf,
  type KeptRecord,
} from '../model/attachment.ts';
import { RUN, SLOTS, STATE } from '../model/paths.ts';
import { elementsAbout, elementsOf, mapElements, type PolicyElements, subtractElements } from '../model/policy.ts';
import { parseListing, TABLE } from '../plan/host/nft-listing.ts';
import { DEFAULT_DATA_DIR, type Holder, listAddresses, releaseAddress, storeOf } from '../store/addresses.ts';
import { forgetParent, listNotes } from '../store/links.ts';
import { type HeldPort, listPorts, listUnclearPorts, mendPort, releasePorts, samePort } from '../store/ports.ts';
import {
  isInProgress,
  isLive,
  listKept,
  listRecords,
  readKept,
  readRecord,
  unsureAddresses,
} from '../store/records.ts';
import { type Entry, entriesOf, give, mend, owns } from '../store/register.ts';
import { type Applying, applySteps } from '../system/apply.ts';
import { bestEffort } from '../system/container-files.ts';
import { abandonedIn, filesIn, readText, removeFile } from '../system/files.ts';
import { detach, type GiveElsewhere, withNamespace } from './detach.ts';
import { forget } from './forget.ts';

export interface Garbage {
  /** Attachments whose namespace has gone, or that were never finished. */
  dead: AttachmentRecord[];
  /** LXC containers that are no more, and the addresses that they hold. */
  vanished: { container: string; addresses: string[] }[];
  ports: HeldPort[];
  /** Names, MACs and masqueraded addresses. */
  entries: Entry[];
  /** Files that dnsmasq reads, and what killed processes were writing. */
  files: string[];
  /** Links of containers that do not run. */
  links: { parent: string; child: string }[];
  /** In the sets and maps of our table. */
  elements: PolicyElements;
  /** Addresses in stores that nobody can give back any more. */
  addresses: { store: AddressStore; address: string; holder: Holder }[];
}

export interface SweepOptions {
  /** Stores whose addresses are looked at, by name; none is quick. */
  stores: readonly string[];
  giveElsewhere: GiveElsewhere;
}

/** A reservation this young (ms) may be of a container that lxc-execute has just started, which has no directory. */
const STARTING_MS = 60_000;

/** Looks; changes nothing. */
export function findGarbage({ exec }: Pick<Applying, 'exec'>, stores: readonly string[]): Garbage {
  // First what there is, in the opposite order of a start …
  const entries = (['claims', 'macs', 'masquerade'] as const).flatMap(entriesOf);
  const ports = listPorts();
  const files = listFiles();
  const links = listNotes();
  const held = stores.map(storeOf).flatMap((store) => listAddresses(store).map((one) => ({ store, ...one })));
  const listing = exec('nft', ['list', 'table', ...TABLE.split(' ')]);
  const sets = listing.code === 0 ? parseListing(listing.stdout).sets : {};
  const kept = new Map(listKept().map((container) => [container, readKept(container)]));
  // … then who owns it.
  const records = listRecords();
  const byId = new Map(records.map((record) => [attachmentId(record.owner), record]));
  const live = records.filter(isLive);
  const dead = records.filter((record) => !isLive(record));
  const living = (id: string | null): AttachmentRecord | undefined => {
    const record = id === null ? undefined : byId.get(id);
    return record && isLive(record) ? record : undefined;
  };
  return {
    dead,
    vanished: vanished(kept, held, live),
    ports: ports.filter((port) => {
      const owner = living(port.container);
      return !owner || (!isUnsure(owner) && !owner.policy?.publish.some((one) => samePort(one, port)));
    }),
    entries: entries.filter((entry) => {
      const owner = living(entry.holder);
      return !owner || (!isUnsure(owner) && !owns(owner, entry));
    }),
    files: [...files.filter((path) => !isOwnedFile(path, live, kept)), ...abandoned()],
    links: links.filter(({ parent, child }) => {
      const owner = living(`lxc/${parent}`);
      return !owner || (!isUnsure(owner) && !owner.links.some(({ container }) => container === child));
    }),
    elements: staleElements(sets, live),
    addresses: held.filter((one) => isStale(one, kept, live, byId)),
  };
}

/** Whether it may have what its record does not say yet, or any more. */
const isUnsure = (record: AttachmentRecord): boolean => record.rebuilt === true || isInProgress(record);

/** Hosts files of names, and reservations in DHCP. */
const listFiles = (): string[] => [
  ...filesIn(`${RUN}/names`).flatMap((domain) =>
    filesIn(`${RUN}/names/${domain}`).map((file) => `${RUN}/names/${domain}/${file}`),
  ),
  ...filesIn(`${RUN}/dnsmasq`).flatMap((network) =>
    filesIn(`${RUN}/dnsmasq/${network}/dhcp-hosts`).map((file) => `${RUN}/dnsmasq/${network}/dhcp-hosts/${file}`),
  ),
];

/** Temporary files and places in the queue of processes that were killed. */
const abandoned = (): string[] => [
  ...[RUN, STATE, DEFAULT_DATA_DIR].flatMap(abandonedIn),
  ...filesIn(SLOTS).flatMap((slot) => {
    const path = `${SLOTS}/${slot}`;
    const pid = /^(\d+)\n$/.exec(readText(path) ?? '')?.[1];
    return pid !== undefined && !existsSync(`/proc/${pid}`) ? path : [];
  }),
];

function isOwnedFile(path: string, live: readonly AttachmentRecord[], kept: ReadonlyMap<string, KeptRecord>): boolean {
  const file = basename(path);
  if (path.startsWith(`${RUN}/names/`)) return live.some(({ owner }) => fileNameOf(owner) === file);
  const reserved = ([name, { interfaces }]: [string, KeptRecord]): boolean =>
    interfaces.some(({ ifname }) => `${name}.${ifname}` === file);
  return (
    [...kept].some(reserved) ||
    live.some(
      ({ owner, interfaces }) =>
        owner.kind === 'lxc' && reserved([owner.name, { interfaces, publish: [], exposed: [] }]),
    )
  );
}

function staleElements(sets: Record<string, string[]>, live: readonly AttachmentRecord[]): PolicyElements {
  const present = mapElements((name) => sets[name] ?? []);
  const wanted = elementsOf(...live.flatMap(({ policy }) => policy ?? []));
  return subtractElements(subtractElements(present, wanted), elementsAbout(unsureAddresses(live), sets));
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

/** Whether a container that does not run is no more. One below a path that is not mounted now may come back. */
function isDestroyed(name: string, kept: KeptRecord | undefined): boolean {
  if (!kept?.place) return !existsSync(join(lxcPath(), name));
  const { configFile, device } = kept.place;
  if (existsSync(configFile)) return false;
  return statSync(dirname(dirname(configFile)), { throwIfNoEntry: false })?.dev === device;
}

/**
 * Whether nobody will ever give an address back: an LXC container that has another one now, or a CNI container of an earlier boot,
 * whose namespace ended with it. Whose record is there gives it back with that.
 */
function isStale(
  { store, address, holder, reservedAt }: Held,
  kept: ReadonlyMap<string, KeptRecord>,
  live: readonly AttachmentRecord[],
  byId: ReadonlyMap<string, AttachmentRecord>,
): boolean {
  const container = containerOf(holder);
  const known = [...byId.values()].some(
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

/**
 * Takes back what was found. What has changed since is left alone; what fails does not keep the rest.
 * @returns one line for each thing that could not be taken back
 */
export async function collect(how: Applying, garbage: Garbage, giveElsewhere: GiveElsewhere): Promise<string[]> {
  const failures: string[] = [];
  const attempt = async (what: string, action: () => unknown): Promise<void> => {
    try {
      await action();
    } catch (error) {
      failures.push(`${what}: ${error instanceof Error ? error.message : error}`);
    }
  };
  for (const { owner } of garbage.dead) {
    const id = attachmentId(owner);
    await attempt(id, () => takeDown(how, id, giveElsewhere));
  }
  for (const { container } of garbage.vanished) await attempt(container, () => forget(how, container));
  const { remove, isEmpty } = stillStale(garbage);
  if (!isEmpty)
    await attempt('rules', () =>
      applySteps(how, [{ kind: 'elements', remove, add: elementsOf(), guard: [], setup: null }]),
    );
  for (const port of listUnclearPorts()) await attempt(`port ${port.hostPort}`, () => mendPort(port));
  for (const port of garbage.ports) await attempt(port.container, () => releasePorts(port.container, [port]));
  for (const { register, key, holder } of garbage.entries)
    await attempt(key, () => (holder === null ? mend(register, key) : give(register, key, holder)));
  for (const path of garbage.files) await attempt(path, () => removeFile(path));
  for (const { parent, child } of garbage.links)
    await attempt(parent, () => forgetParent(parent, { children: [child] }));
  for (const { store, address, holder } of garbage.addresses)
    await attempt(address, () => releaseAddress(store, holder, address, { search: false }));
  return failures;
}

/** Elements that still nobody owns: a start in between may have come to want one. */
function stillStale({ elements }: Garbage): { remove: PolicyElements; isEmpty: boolean } {
  const remove = subtractElements(
    elements,
    elementsOf(
      ...listRecords()
        .filter(isLive)
        .flatMap(({ policy }) => policy ?? []),
    ),
  );
  return { remove, isEmpty: Object.values(remove).every((list) => list.length === 0) };
}

/** One that is dead, unless it has come back to life. */
async function takeDown(how: Applying, id: string, give: GiveElsewhere): Promise<void> {
  const record = readRecord(id);
  if (record === null || isLive(record)) return;
  await withNamespace(how, record.life, (inside) => {
    const giveElsewhere = give(inside, record);
    return detach(inside, record, giveElsewhere ? { giveElsewhere } : {});
  });
}

/** Where LXC keeps its containers (lxc.system.conf(5)). */
function lxcPath(): string {
  let text = '';
  bestEffort(
    () => undefined,
    'lxc.conf',
    () => {
      text = readText('/etc/lxc/lxc.conf') ?? '';
    },
  );
  return /^\s*lxc\.lxcpath\s*=\s*(\S+)\s*$/m.exec(text)?.[1] ?? '/var/lib/lxc';
}

/** Every store of host-local's default directory. */
export const allStores = (): string[] => filesIn(DEFAULT_DATA_DIR);

/** Whether nothing was found. */
export const isEmptyGarbage = ({ elements, ...lists }: Garbage): boolean =>
  Object.values(lists).every((list) => list.length === 0) && Object.values(elements).every((list) => list.length === 0);
