/** Takes an attachment down, by its record alone. What is not there any more is no failure. */
import { closeSync, openSync } from 'node:fs';
import { DRIVERS } from '../drivers/index.ts';
import { NethooksError } from '../errors.ts';
import { type Cidr, contains } from '../model/address.ts';
import { lacksPort, policyWithSenders } from '../model/antispoof.ts';
import { type AttachmentRecord, attachmentId, type Interface, type Life } from '../model/attachment.ts';
import { hostLinkOf } from '../model/derived.ts';
import { RUN } from '../model/paths.ts';
import { elementsAbout, elementsOf, NO_POLICY } from '../model/policy.ts';
import { planDetach } from '../plan/attachment/detach.ts';
import { domainsOf, namesFile } from '../plan/attachment/names.ts';
import { ATTACHED } from '../plan/attachment/wiring.ts';
import { parseListing, removeTable, TABLE } from '../plan/host/nft-listing.ts';
import { readHostRecord } from '../store/host-record.ts';
import { forgetParent } from '../store/links.ts';
import { listPorts, releasePorts } from '../store/ports.ts';
import { isAlive, namespaceAt, readRecord, removeRecord, writeRecord } from '../store/records.ts';
import { keysOf } from '../store/register.ts';
import { antispoofNotes } from '../system/antispoof.ts';
import { type Applying, applyAll, applySteps } from '../system/apply.ts';
import { changeElements } from '../system/elements.ts';
import { hasOrphans } from '../system/exec.ts';
import { filesIn, readText } from '../system/files.ts';
import { isAlive as isProcessAlive } from '../system/process.ts';
import { sleep } from '../system/sleep.ts';
import { readTables } from '../system/tables.ts';
import { fileFacts, nameFiles } from './facts.ts';
import { removeShim } from './shim.ts';
import { addressesOf, giveAddresses, giveMarks, giveNames } from './take.ts';
import { thisProcess } from './this-process.ts';

/** How another program takes back the addresses of an attachment; undefined where it gave none. */
export type GiveElsewhere = (how: Applying, record: AttachmentRecord) => DetachOptions['giveElsewhere'];

/** How long (ms) a program may go on that outlived the process that started it. */
const ORPHAN_MS = 5_000;

export interface DetachOptions {
  /** Whether its addresses and DHCP reservations go too: those of an LXC container stay until it is destroyed. */
  forGood?: boolean;
  /** Has another program take its addresses back; DHCP does it over the interface, so before that goes. */
  giveElsewhere?: { beforeLink: boolean; give(): void };
}

/**
 * @throws the first failure, when all has been tried; the record says then what is left
 */
export async function detach(how: Applying, record: AttachmentRecord, options: DetachOptions = {}): Promise<void> {
  const { owner, interfaces: known, policy, links, shares = [] } = record;
  const { forGood = owner.kind !== 'lxc', giveElsewhere } = options;
  const id = attachmentId(owner);
  awaitOrphans(record);
  const interfaces = record.rebuilt ? guessed(record) : known;
  writeRecord({ ...record, state: 'leaving', by: thisProcess() });
  const errors: unknown[] = [];
  const attempt = async (action: () => unknown): Promise<void> => {
    try {
      await action();
    } catch (error) {
      errors.push(error);
    }
  };
  if (owner.kind === 'lxc')
    forgetParent(
      owner.name,
      record.rebuilt ? {} : { children: links.map(({ container }) => container).concat(shares) },
    );
  if (giveElsewhere?.beforeLink) await attempt(giveElsewhere.give);
  if (record.shim) removeShim(how.exec, record.shim, id);
  const masquerade = giveMarks({ ...record, interfaces });
  const facts = fileFacts(owner, interfaces);
  const domains = record.rebuilt ? filesIn(`${RUN}/names`) : domainsOf(interfaces);
  for (const path of [
    ...nameFiles(owner, interfaces),
    ...domains.map((domain) => namesFile(domain, owner)),
    ...(record.files ?? []),
  ])
    facts.files[path] ??= readText(path);
  const alone = masquerade.filter(isAlone);
  const modes = antispoofNotes();
  const own = policyWithSenders({ policy, interfaces }, modes);
  const searched = record.rebuilt || (lacksPort(record) && interfaces.some(({ network }) => modes[network ?? '']));
  const leaving = { record: { ...record, interfaces, policy: own }, masquerade, alone, forGood, domains };
  const steps = planDetach(DRIVERS, leaving, facts);
  // A namespace that has gone took its interfaces along.
  const there = how.namespace !== undefined;
  await attempt(() => applyAll(how, there ? steps : steps.filter((step) => step.kind !== 'ip' || !step.where)));
  if (searched) await attempt(() => removeUnknown(how, interfaces));
  await attempt(() => restoreLocal(how, alone));
  if (masquerade.length > 0) await attempt(() => endMasquerading(how));
  // As long as the rules are there, the ports are nobody else's.
  if (errors.length === 0) {
    releasePorts(id, record.rebuilt || record.state === 'intent' ? portsOf(id) : (policy?.publish ?? []));
    giveNames(record);
    if (giveElsewhere && !giveElsewhere.beforeLink) await attempt(giveElsewhere.give);
    if (forGood) giveAddresses(record, interfaces);
  }
  if (errors.length > 0) {
    writeRecord({ ...record, state: 'leaving' });
    throw errors[0];
  }
  const peer = record.peer === undefined ? null : readRecord(record.peer);
  if (peer) {
    giveAddresses(peer, peer.interfaces);
    removeRecord(attachmentId(peer.owner));
  }
  removeRecord(id);
}

/** Programs that a killed process has started and left behind come to their end first: what they do must not come after us. */
function awaitOrphans({ by }: AttachmentRecord): void {
  if (!by || isProcessAlive(by)) return;
  for (let waited = 0; hasOrphans(by); waited += 20) {
    if (waited >= ORPHAN_MS) throw new NethooksError('a program that was started for it still runs');
    sleep(20);
  }
}

/** The ports that it holds, by what the register says. */
const portsOf = (id: string) => listPorts().filter(({ container }) => container === id);

/** What can be said of the interfaces of a record that was lost: the host's end is called by the ids. */
function guessed({ owner, interfaces }: AttachmentRecord): Interface[] {
  if (owner.kind === 'lxc' || owner.kind === 'dhcp' || (owner.kind === 'cni' && owner.chained)) return interfaces;
  const network = owner.kind === 'cni' ? owner.network : ATTACHED;
  const hostLink = hostLinkOf(network, owner.id, owner.ifname);
  const [first] = interfaces;
  const base: Interface = first ?? {
    driver: 'bridge',
    network: null,
    domain: null,
    ifname: owner.ifname,
    addresses: [],
    gateways: [],
    mac: '',
    hostLink,
    store: null,
  };
  return [{ ...base, driver: 'bridge', hostLink }, ...interfaces.slice(1)];
}

/** Whether nobody else in the subnet of an address is masqueraded. */
const isAlone = (address: Cidr): boolean => !keysOf('masquerade').some((other) => contains(address, other));

/** Somebody may have come into a subnet while we took it for empty: who comes is in the register first. */
async function restoreLocal({ exec }: Applying, alone: readonly Cidr[]): Promise<void> {
  const masquerade = alone.filter((address) => !isAlone(address));
  const { local, local6 } = elementsOf({ ...NO_POLICY, masquerade });
  const add = { ...elementsOf(), local, local6 };
  await changeElements(exec, { kind: 'elements', remove: elementsOf(), add, guard: [], setup: null });
}

/** The last one whose packets are masqueraded takes the table along, where no network of ours is up. */
async function endMasquerading(how: Applying): Promise<void> {
  if (readHostRecord().networks.length === 0 && keysOf('masquerade').length === 0)
    await applySteps(how, [{ kind: 'nft', script: removeTable(TABLE), undo: '' }]);
}

/** Removes what leads to addresses whose owner does not know what it had. */
async function removeUnknown({ exec }: Applying, interfaces: readonly Interface[]): Promise<void> {
  const listing = readTables(exec);
  if (listing === null) return;
  const addresses = [...addressesOf(interfaces, false), ...addressesOf(interfaces, true)];
  const { sets } = parseListing(listing);
  const remove = elementsAbout(addresses, { ...sets, local: [], local6: [] });
  await changeElements(exec, { kind: 'elements', remove, add: elementsOf(), guard: [], setup: null });
}

/** Does something with the connected namespace open, where it is still there. */
export async function withNamespace<T>(how: Applying, life: Life, use: (how: Applying) => Promise<T>): Promise<T> {
  if (life === null || 'lease' in life) return use(how);
  const path = 'netns' in life ? life.netns : `/proc/${life.pid}/ns/net`;
  const there = 'netns' in life ? namespaceAt(path) === life.namespace : isAlive({ life });
  if (!there) return use(how);
  const fd = openSync(path, 'r');
  try {
    return await use({ ...how, namespace: { fd, host: null, inside: null } });
  } finally {
    closeSync(fd);
  }
}
