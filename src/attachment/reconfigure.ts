/** Brings a running LXC container from what it has to what its options say now: exactly the difference. */
import type { AttachmentRecord } from '../model/attachment.ts';
import { isEmptyPolicy, NO_POLICY, type Policy } from '../model/policy.ts';
import type { Step } from '../model/step.ts';
import {
  limitsOf,
  namesOf,
  planContainerFiles,
  planNames,
  type Taken,
  withDhcpOptions,
} from '../plan/attachment/attach.ts';
import type { AttachmentSpec } from '../plan/attachment/spec.ts';
import { forgetParent } from '../store/links.ts';
import { releasePorts, samePort } from '../store/ports.ts';
import { readKept, writeRecord } from '../store/records.ts';
import { type Applying, applySteps, pairedWith, Transaction } from '../system/apply.ts';
import { bestEffort } from '../system/container-files.ts';
import { readText } from '../system/files.ts';
import { keep, placeOf } from './connect.ts';
import { fileFacts } from './facts.ts';
import { writeLinkEnvironment } from './link-files.ts';
import { changePolicy, relinkParents } from './relink.ts';
import { giveNames, placesOf, takeLinks, takeNames, takePorts } from './take.ts';

/**
 * Ports and links first, then names and files. Addresses and networks stay as they are until the next start.
 * @param spec what its options say now
 * @throws NethooksError when a port cannot be had, or the kernel refuses: nothing has changed then
 */
export async function reconfigure(
  how: Applying,
  record: AttachmentRecord,
  spec: AttachmentSpec,
  sweep: () => Promise<boolean>,
): Promise<AttachmentRecord> {
  const { owner } = record;
  if (owner.kind !== 'lxc') return record;
  const { name } = owner;
  const id = `lxc/${name}`;
  const before = record.policy;
  const transaction = new Transaction(how);
  let after: AttachmentRecord;
  try {
    const published = await takePorts(transaction, spec, readKept(name).publish, sweep);
    const links = takeLinks(transaction, spec, placesOf(record.interfaces), how.log);
    const { publishFrom: _, egress: __, source: ___, ...rest } = before ?? firstPolicy(record);
    const policy: Policy = {
      ...rest,
      ...limitsOf(spec, record.interfaces),
      port: before?.port ?? record.interfaces[0]?.port ?? (published.length > 0 ? await portOf(how, record) : null),
      publish: published,
      links,
      exposed: spec.exposed,
    };
    after = await changePolicy(how, record, isEmptyPolicy(policy) ? null : policy);
  } catch (error) {
    await transaction.rollback();
    throw error;
  }
  const gone = (before?.publish ?? []).filter((old) => !after.policy?.publish.some((port) => samePort(port, old)));
  releasePorts(id, gone);
  const children = (list: { container: string }[]): string[] => list.map(({ container }) => container);
  const staying = new Set(children(spec.links));
  forgetParent(name, { children: children(record.links).filter((child) => !staying.has(child)) });
  after = { ...(await withMtu(how, after, spec)), links: spec.links };
  writeRecord(after);
  keep(after, readKept(name).written, placeOf(record));
  await relinkParents(how, name, { gone: false });
  return refreshNames(how, after, spec);
}

const firstPolicy = ({ interfaces }: AttachmentRecord): Policy => {
  const [first] = placesOf(interfaces);
  return first ? { ...NO_POLICY, ...first } : NO_POLICY;
};

/** Names, files and the links' environment of a container that runs. */
export async function refreshNames(
  how: Applying,
  record: AttachmentRecord,
  spec: AttachmentSpec,
): Promise<AttachmentRecord> {
  const { owner, policy, configFile = null } = record;
  if (owner.kind !== 'lxc') return record;
  const links = policy?.links ?? [];
  const interfaces = withDhcpOptions(record.interfaces, spec, links);
  const after = { ...record, interfaces, names: namesOf(spec, links) };
  giveNames(record, after.names);
  const granted = takeNames(null, after, how.log);
  writeRecord(after);
  const { written } = readKept(owner.name);
  const facts = fileFacts(owner, interfaces, spec.files, written);
  const taken: Pick<Taken, 'links'> = { links };
  const { steps, warnings } = planContainerFiles(spec, taken, interfaces, facts);
  for (const warning of warnings) how.log(warning);
  const outputs = await applySteps(how, [...planNames(after, granted, facts), ...steps]);
  keep(after, outputs.written ?? written, placeOf(after));
  bestEffort(how.log, 'environment of links', () => {
    if (writeLinkEnvironment(owner.name, links, configFile))
      how.log(`the environment of ${owner.name}'s links has changed: it takes effect at its next start`);
  });
  return after;
}

/** ifindex of the host's end of its first interface. */
async function portOf(how: Applying, { interfaces }: AttachmentRecord): Promise<number | null> {
  const [first] = interfaces;
  if (!first) return null;
  const step: Step = { kind: 'ip', commands: [`link show dev ${first.ifname}`], undo: [], where: 'namespace' };
  return pairedWith((await applySteps(how, [step])).inside);
}

/** Sets the MTU of each interface that has one of its own, or had: the container may have changed it. The record as it is then. */
async function withMtu(how: Applying, record: AttachmentRecord, spec: AttachmentSpec): Promise<AttachmentRecord> {
  const commands: string[] = [];
  const interfaces = record.interfaces.map((one, index) => {
    const { mtu: before = null, ...rest } = one;
    const wanted = spec.interfaces.find(({ nic }) => nic === (one.nic ?? index))?.mtu ?? null;
    if (wanted === null && before === null) return one;
    const bytes = wanted ?? readText(`/sys/class/net/${one.network}/mtu`)?.trim() ?? 1500;
    commands.push(`link set dev ${one.ifname} mtu ${bytes}`);
    return wanted === null ? rest : { ...rest, mtu: wanted };
  });
  if (commands.length > 0) await applySteps(how, [{ kind: 'ip', commands, undo: [], where: 'namespace' }]);
  return { ...record, interfaces };
}
