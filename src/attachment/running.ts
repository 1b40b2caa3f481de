/** Looks at what there is of each attachment that runs, for the plan that brings it back (plan/attachment/heal.ts). Starts no program. */
import { existsSync, readdirSync } from 'node:fs';
import { bare } from '../model/address.ts';
import { type AttachmentRecord, attachmentId, holderIdOf } from '../model/attachment.ts';
import type { InsideFact } from '../model/inside.ts';
import { registerDir } from '../model/paths.ts';
import type { NamespaceId } from '../model/step.ts';
import { linkNotes, type RunningFact } from '../plan/attachment/heal.ts';
import { domainsOf } from '../plan/attachment/names.ts';
import { addressFile } from '../store/addresses.ts';
import { portFile } from '../store/ports.ts';
import { namespaceAt, recordPath } from '../store/records.ts';
import { execWithin } from '../system/exec.ts';
import { readText } from '../system/files.ts';
import { readInside } from '../system/inside.ts';
import { readHolder } from '../system/reservation-file.ts';
import { fileFacts } from './facts.ts';

/**
 * @param live records; those of attachments that are being made, changed or taken down are left out
 * @param lost those of them that are nowhere any more
 */
export function runningFacts(live: readonly AttachmentRecord[], lost: readonly AttachmentRecord[]): RunningFact[] {
  const settled = live.filter(
    ({ owner, state, by, rebuilt }) =>
      state === 'attached' && by === undefined && !rebuilt && owner.kind !== 'dhcp' && !('chained' in owner),
  );
  const processes = settled.some(({ life }) => life && 'netns' in life) ? processesByNamespace() : new Map();
  return settled.map((record) => runningFact(record, processes, lost));
}

function runningFact(
  record: AttachmentRecord,
  processes: ReadonlyMap<string, number>,
  lost: readonly AttachmentRecord[],
): RunningFact {
  const { owner, interfaces, names } = record;
  const id = attachmentId(owner);
  const wanted = [...names.own, ...names.linked.map(({ name }) => name)];
  const claims = domainsOf(interfaces).map((domain) => ({
    domain,
    held: wanted.map((name) => ({ name, ...holding(`${registerDir('claims')}/${domain}/${name}`, id) })),
  }));
  const files = fileFacts(owner, interfaces, null, undefined, textAt);
  for (const { path } of linkNotes(record)) files.files[path] = textAt(path);
  return {
    record,
    inside: insideOf(record, processes),
    held: [...reservations(record, id), ...claims.flatMap(({ held }) => held)],
    granted: Object.fromEntries(
      claims.map(({ domain, held }) => [
        domain,
        held.flatMap(({ name, path, there }) => (!there || isOrMayBe(id, path) ? name : [])),
      ]),
    ),
    files,
    lost: lost.includes(record) ? { path: recordPath(id), text: JSON.stringify(record) } : null,
  };
}

/** Most have no options for DHCP: an error for each file that is not there would take longer than all the rest. */
const textAt = (path: string): string | null => (existsSync(path) ? readText(path) : null);

/** Whether a claim is its own; one that says nothing is not somebody else's. */
const isOrMayBe = (id: string, path: string): boolean => {
  const holder = readHolder(path);
  return holder === null || holder.id === id;
};

const holding = (path: string, id: string, ifname = '-'): RunningFact['held'][number] => ({
  path,
  id,
  ifname,
  there: existsSync(path),
});

/** Addresses, MACs, masqueraded addresses, host ports. */
function reservations({ owner, interfaces, policy }: AttachmentRecord, id: string): RunningFact['held'] {
  return [
    ...interfaces.flatMap(({ store, addresses, ifname }) =>
      store === null
        ? []
        : addresses.map((address) => holding(addressFile(store, bare(address)), holderIdOf(owner), ifname)),
    ),
    ...interfaces.flatMap(({ network, mac }) =>
      network === null || mac === '' ? [] : [holding(`${registerDir('macs')}/${network}/${mac}`, id)],
    ),
    ...(policy?.masquerade ?? []).map((address) => holding(`${registerDir('masquerade')}/${bare(address)}`, id)),
    ...(policy?.publish ?? []).map((port) => holding(portFile(port), id)),
  ];
}

/** By a process that is in its network namespace. */
function insideOf({ life }: AttachmentRecord, processes: ReadonlyMap<string, number>): RunningFact['inside'] {
  if (life === null || 'lease' in life) return null;
  const pid = 'pid' in life ? life.pid : processes.get(life.namespace);
  const found: InsideFact | null = pid === undefined ? null : readInside(pid);
  const path = 'pid' in life ? `/proc/${life.pid}/ns/net` : life.netns;
  const id = 'pid' in life ? namespaceAt(path) : life.namespace;
  const namespace: NamespaceId | null = id === null ? null : { path, id };
  return found === null || namespace === null ? null : { namespace, found };
}

/** As long (ms) as the answer may take: what a container has mounted over its /sys may never answer. */
const READING_MS = 2_000;

/**
 * Completes the facts by what the interfaces say of themselves in the containers' /sys, which only a process of their own network sees: MAC
 * and MTU. One program for all of them; where a container has no /sys, or lies, that is its own loss.
 */
export async function readInterfaces(running: readonly RunningFact[]): Promise<void> {
  const files = new Map<
    string,
    { inside: NonNullable<RunningFact['inside']>; ifname: string; what: 'address' | 'mtu' }
  >(
    running.flatMap(({ record: { interfaces, life }, inside }) =>
      inside === null || life === null || !('pid' in life)
        ? []
        : interfaces.flatMap(({ ifname }) =>
            (['address', 'mtu'] as const).map(
              (what) => [`/proc/${life.pid}/root/sys/class/net/${ifname}/${what}`, { inside, ifname, what }] as const,
            ),
          ),
    ),
  );
  if (files.size === 0) return;
  const { stdout } = await execWithin(READING_MS)
    .start('grep', [
      '--no-messages',
      '--with-filename',
      '--null',
      '--max-count=1',
      '--devices=skip',
      '',
      ...files.keys(),
    ])
    .catch(() => ({ stdout: '' }));
  for (const [, path = '', value = ''] of stdout.matchAll(/^([^\0\n]+)\0([0-9a-f:]{1,17})$/gm)) {
    const { inside, ifname, what } = files.get(path) ?? {};
    if (!inside || !ifname) continue;
    const { links } = inside.found;
    links[ifname] = { ...links[ifname], ...(what === 'mtu' ? { mtu: Number(value) } : { mac: value }) };
  }
}

/** One process of each network namespace that any process is in. */
function processesByNamespace(): Map<string, number> {
  const found = new Map<string, number>();
  for (const name of readdirSync('/proc')) {
    const id = /^\d+$/.test(name) ? namespaceAt(`/proc/${name}/ns/net`) : null;
    if (id !== null) found.set(id, Number(name));
  }
  return found;
}
