/**
 * Connects a network namespace: the one way in for LXC, CNI and `nethooks attach`. The intent is recorded before the first effect, the
 * attachment after the last, so that whatever is cut short is found again (gc.ts). What a plain start does not need is loaded by import().
 */
import { statSync } from 'node:fs';
import { dirname } from 'node:path';
import { DRIVERS } from '../drivers/index.ts';
import { NethooksError } from '../errors.ts';
import { policyWithSenders } from '../model/antispoof.ts';
import {
  type AttachmentRecord,
  attachmentId,
  type Interface,
  type KeptRecord,
  type ProcessId,
  type WrittenFiles,
} from '../model/attachment.ts';
import type { Step } from '../model/step.ts';
import {
  bridgesOf,
  intentOf,
  interfaceOf,
  namesOf,
  planAttachment,
  planLinks,
  planPolicy,
  requireFiltering,
  type Taken,
  withPorts,
} from '../plan/attachment/attach.ts';
import type { LinkFacts } from '../plan/attachment/facts.ts';
import type { AttachmentSpec, Placed } from '../plan/attachment/spec.ts';
import {
  isAlive,
  readKeptIfThere,
  readRecord,
  recordPath,
  removeKept,
  removeRecord,
  writeKept,
  writeRecord,
} from '../store/records.ts';
import { antispoofNotes } from '../system/antispoof.ts';
import { type Applying, type Outputs, portsIn, Transaction } from '../system/apply.ts';
import { readText } from '../system/files.ts';
import type { GiveElsewhere } from './detach.ts';
import { fileFacts, linkFacts } from './facts.ts';
import { giveFormer, placesOf, type Retry, takeAddresses, takeLinks, takeMarks, takeNames, takePorts } from './take.ts';
import { thisProcess } from './this-process.ts';

/** An attachment of ours is there already. */
export class InterfaceExists extends NethooksError {}

/** Addresses that another program gives. */
export interface Elsewhere {
  /** Whether that one needs the interface (DHCP does). */
  afterLink: boolean;
  /** Has it give them; what takes them back is the transaction's. */
  take(transaction: Transaction): Promise<Pick<Placed, 'ips' | 'routes'>>;
}

export interface ConnectOptions {
  /** Takes back what others left when a pool is exhausted; whether anything was done. */
  sweep: Retry;
  giveElsewhere?: GiveElsewhere;
  elsewhere?: Elsewhere | null;
  /** Whether a process holds a busy host port for this very container, so that it is no conflict. */
  isOwn?: (pid: number) => boolean;
  /** What a front end keeps in the record of what was made. */
  result?: (placed: Placed[], interfaces: Interface[], facts: LinkFacts) => unknown;
}

/**
 * @returns the record of what is there now
 * @throws NethooksError for whatever keeps it from being connected as asked; nothing is left then
 */
export async function connect(
  how: Applying,
  spec: AttachmentSpec,
  { sweep, giveElsewhere, elsewhere = null, result, isOwn }: ConnectOptions,
): Promise<AttachmentRecord> {
  const id = attachmentId(spec.owner);
  await clearFormer(how, spec, id, giveElsewhere);
  const by = thisProcess();
  const kept = spec.owner.kind === 'lxc' ? readKeptIfThere(spec.owner.name) : null;
  const transaction = new Transaction(how);
  try {
    return await make(
      transaction,
      { ...spec, interfaces: withHints(spec, kept) },
      { id, by, kept, elsewhere, retry: sweep, result, isOwn },
    );
  } catch (error) {
    await transaction.rollback();
    throw error;
  }
}

/** What an earlier life left that nobody took back: its runtime was killed, or says ADD twice. */
async function clearFormer(how: Applying, spec: AttachmentSpec, id: string, give?: GiveElsewhere): Promise<void> {
  const former = readRecord(id);
  if (former === null) return;
  const [first] = spec.interfaces;
  // A runtime that asks twice for what is there is refused, and what is there stays (CNI's SPEC.md, ADD).
  if (spec.owner.kind !== 'lxc' && former.state === 'attached' && isAlive(former) && first && !first.untouched) {
    if (await hasInterface(how, first.ifname))
      throw new InterfaceExists(`the container already has an interface ${first.ifname}`);
  }
  const giveElsewhere = give?.(how, former);
  const { detach } = await import('./detach.ts');
  await detach(how, former, { ...(giveElsewhere && { giveElsewhere }) });
}

async function hasInterface({ exec, namespace }: Applying, ifname: string): Promise<boolean> {
  if (!namespace) return false;
  const args = ['--net=/proc/self/fd/3', 'ip', 'link', 'show', 'dev', ifname];
  return exec('nsenter', args, { fd: namespace.fd }).code === 0;
}

/** An LXC container keeps its addresses; where nothing is kept of it, it never had any. */
function withHints({ interfaces }: AttachmentSpec, kept: KeptRecord | null): AttachmentSpec['interfaces'] {
  if (kept === null) return interfaces;
  return interfaces.map((one) => {
    const before = kept.interfaces.find(
      ({ network, ifname }) => network === one.network?.name && ifname === one.ifname,
    );
    const { addressing } = one;
    if (addressing.how !== 'store') return one;
    const hints = before?.addresses.map((address) => address.split('/')[0] as string) ?? [];
    // An intent of a start that was cut short names none: then it may hold one all the same.
    return { ...one, addressing: { ...addressing, hints, search: kept.interfaces.length === 0 } };
  });
}

/** What makes the table, where an attachment is the first that needs it. */
async function tableSetup(): Promise<string> {
  const [{ tableScript }, { readHostRecord }] = await Promise.all([
    import('../plan/host/firewall.ts'),
    import('../store/host-record.ts'),
  ]);
  return tableScript(readHostRecord().networks);
}

interface Making {
  id: string;
  by: ProcessId;
  kept: KeptRecord | null;
  elsewhere: Elsewhere | null;
  retry: Retry;
  result: ConnectOptions['result'];
  isOwn: ConnectOptions['isOwn'];
}

async function make(
  transaction: Transaction,
  spec: AttachmentSpec,
  { id, by, kept, elsewhere, retry, result, isOwn }: Making,
): Promise<AttachmentRecord> {
  const { how } = transaction;
  const { exec, log } = how;
  const { owner } = spec;
  const intent = intentOf(spec, by);
  transaction.did('record', () => removeRecord(id));
  writeRecord(intent);
  if (owner.kind === 'lxc' && kept === null) {
    transaction.did('what it keeps', () => removeKept(owner.name));
    writeKept(owner.name, { interfaces: [], publish: [], exposed: [], ...placeOf(spec) });
  }

  const placed: Placed[] = [];
  for (const one of spec.interfaces) placed.push(await takeAddresses(transaction, spec, one, retry));
  const makes = spec.interfaces.some(({ link }) => link.driver !== 'none');
  const look = () => linkFacts(exec, bridgesOf(spec), makes);
  const [first] = placed;
  const other = elsewhere && first ? { elsewhere, first } : null;
  const late = other?.elsewhere.afterLink === true;
  if (other && late) {
    // As it is made now, whatever could be made from the addresses later.
    placed[0] = { ...other.first, spec: { ...other.first.spec, mac: interfaceOf(spec, other.first).mac } };
    await transaction.run(planLinks(DRIVERS, spec, placed, look()));
    placed[0] = { ...placed[0], ...(await other.elsewhere.take(transaction)) };
  } else if (other) placed[0] = { ...other.first, ...(await other.elsewhere.take(transaction)) };

  const interfaces = placed.map((one) => interfaceOf(spec, one));
  const facts = look();
  let record = intent;
  // While `ip` works on the links.
  const rest = async (): Promise<Step[]> => {
    const links = takeLinks(transaction, spec, placesOf(interfaces), log);
    const published = await takePorts(transaction, spec, kept?.publish ?? [], retry, isOwn);
    const granted = takeNames(transaction, { owner, interfaces, names: namesOf(spec, links) }, log);
    const taken: Taken = { placed, published, links, granted };
    const files = fileFacts(owner, interfaces, spec.files, kept?.written);
    for (const { path } of spec.hostFiles ?? []) files.files[path] = null;
    const plan = planAttachment(spec, taken, files, by);
    for (const warning of plan.warnings) log(warning);
    takeMarks(transaction, plan.record, log);
    record = plan.record;
    requireFiltering(record.policy, facts);
    return plan.steps;
  };
  const outputs = await transaction.run(planLinks(DRIVERS, spec, placed, facts, { made: late }), rest);
  record = withPorts(record, portsOf(record, outputs));
  const policy = policyWithSenders(record, antispoofNotes());
  if (policy !== null) {
    const setup = spec.masquerade ? await tableSetup() : '';
    // What the kernel is to have is in the record before the kernel has it.
    const before = JSON.stringify(intent);
    const file: Step = { kind: 'file', path: recordPath(id), before, content: JSON.stringify(record) };
    await transaction.run([file, ...planPolicy(null, policy, facts, setup)]);
  }
  const extra = result ? { result: result(placed, interfaces, facts) } : {};
  return complete({ ...record, ...extra }, spec, kept, outputs);
}

/** Its ports on bridges, by interface: what we made is asked for by name, of what LXC made the inside knows what it is paired with. */
function portsOf({ interfaces }: AttachmentRecord, { inside }: Outputs): ReadonlyMap<string, number> {
  const made = interfaces.flatMap(({ ifname, hostLink }): [string, number][] => {
    const index = hostLink === null ? null : readText(`/sys/class/net/${hostLink}/ifindex`);
    return index === null ? [] : [[ifname, Number(index)]];
  });
  return new Map([...portsIn(inside), ...made]);
}

/** Remembers it: it is there now. */
function complete(
  { by: _by, ...planned }: AttachmentRecord,
  spec: AttachmentSpec,
  before: KeptRecord | null,
  outputs: Outputs,
): AttachmentRecord {
  const record: AttachmentRecord = { ...planned, state: 'attached' };
  writeRecord(record);
  keep(record, outputs.written ?? before?.written, placeOf(spec));
  if (before && spec.owner.kind === 'lxc') giveFormer(spec.owner.name, before.interfaces, record.interfaces);
  return record;
}

/** What an LXC container keeps for its next start. */
export function keep(
  { owner, interfaces, policy }: AttachmentRecord,
  written: WrittenFiles | undefined,
  place: Pick<KeptRecord, 'place'>,
): void {
  if (owner.kind !== 'lxc') return;
  const { publish = [], exposed = [] } = policy ?? {};
  writeKept(owner.name, { interfaces, publish, exposed, ...(written && { written }), ...place });
}

/** Where its LXC configuration is, and on which device. */
export function placeOf({ configFile }: Pick<AttachmentSpec, 'configFile'>): Pick<KeptRecord, 'place'> {
  if (!configFile) return {};
  const device = statSync(dirname(dirname(configFile)), { throwIfNoEntry: false })?.dev;
  return device === undefined ? {} : { place: { configFile, device } };
}
