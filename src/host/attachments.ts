/** Everything that is connected, or could be again, for `ps`, `inspect`, `port` and `status`. */
import { isDestroyed } from '../attachment/destroyed.ts';
import { NethooksError } from '../errors.ts';
import { type AttachmentRecord, attachmentId, holderIdOf, type Interface, type Owner } from '../model/attachment.ts';
import type { LinkOption } from '../model/container-options.ts';
import type { Published } from '../model/policy.ts';
import { domainsOf, namesFile } from '../plan/attachment/names.ts';
import { isAlive, isInProgress, listKept, listRecords, readKept } from '../store/records.ts';
import { listRefusals, type Refusal } from '../store/refusals.ts';
import { readText } from '../system/files.ts';

export interface AttachmentStatus {
  /** As people call it; two of different kinds may have the same. */
  name: string;
  /** `lxc/NAME`, `cni/NETWORK/ID:IFNAME`, `attach/ID:IFNAME` or `dhcp/ADDRESS`. */
  id: string;
  /** The id under which it holds addresses. */
  holder: string;
  /**
   * `stopped`: an LXC container that keeps its addresses; `refused`: one whose last start nethooks did not allow; `gone`: what gc takes back.
   */
  state: 'running' | 'starting' | 'stopping' | 'stopped' | 'refused' | 'gone';
  /** Of its init; null where it is not LXC's, or does not run. */
  pid: number | null;
  /** Of one that is not LXC's: the path of its network namespace. */
  netns: string | null;
  interfaces: Interface[];
  /** The container whose network it is on; null for one of its own. */
  shares: string | null;
  /** Names that answer now, with their domain. */
  names: string[];
  ports: Published[];
  links: LinkOption[];
  /** The host's address that it sends from, outside, if it has one of its own. */
  source: string | null;
  /** Why its last start was refused. */
  refused: Refusal | null;
}

/** All of them, by name. */
export function listAttachments(): AttachmentStatus[] {
  const records = listRecords();
  const refusals = listRefusals();
  const seen = new Set(records.flatMap(({ owner }) => (owner.kind === 'lxc' ? [owner.name] : [])));
  const others = new Set([...listKept(), ...refusals.keys()].filter((name) => !seen.has(name)));
  const all = [
    ...records.map((record) => recorded(record, refusals)),
    ...[...others].map((name) => unconnected(name, refusals.get(name) ?? null)),
  ];
  return all.sort((a, b) => a.name.localeCompare(b.name) || a.id.localeCompare(b.id));
}

/**
 * The one that is called so, by name or by id.
 * @throws NethooksError when there is none, or more than one
 */
export function attachmentNamed(name: string): AttachmentStatus {
  const found = listAttachments().filter(({ name: own, id, holder }) => [own, id, holder].includes(name));
  if (found.length > 1)
    throw new NethooksError(`${name}: more than one; allowed: ${found.map(({ id }) => id).join(', ')}`);
  const [only] = found;
  if (!only) throw new NethooksError(`nothing called ${name} is known; \`nethooks ps\` lists what is`);
  return only;
}

function recorded(record: AttachmentRecord, refusals: ReadonlyMap<string, Refusal>): AttachmentStatus {
  const { owner, life, interfaces, policy, links } = record;
  const state = stateOf(record);
  const names = state === 'gone' ? [] : answeringNames(record);
  return {
    // Without it, the name of a machine that is there by DHCP may be somebody else's.
    ...called(owner, owner.kind === 'dhcp' && names.length === 0 ? undefined : record.names.own[0]),
    state,
    pid: life && 'pid' in life && isAlive(record) ? life.pid : null,
    netns: life && 'netns' in life ? life.netns : null,
    interfaces,
    shares: record.shares ?? null,
    names,
    ports: policy?.publish ?? [],
    links,
    source: policy?.source?.to ?? null,
    refused: owner.kind === 'lxc' ? (refusals.get(owner.name) ?? null) : null,
  };
}

function stateOf(record: AttachmentRecord): AttachmentStatus['state'] {
  if (record.state === 'attached') return isAlive(record) ? 'running' : 'gone';
  if (!isInProgress(record)) return 'gone';
  return record.state === 'intent' ? 'starting' : 'stopping';
}

/** An LXC container that is not connected. */
function unconnected(name: string, refused: Refusal | null): AttachmentStatus {
  const kept = readKept(name);
  return {
    ...called({ kind: 'lxc', name }),
    state: refused ? 'refused' : isDestroyed(name, kept) ? 'gone' : 'stopped',
    pid: null,
    netns: null,
    interfaces: kept.interfaces,
    shares: null,
    names: [],
    ports: [],
    links: [],
    source: null,
    refused,
  };
}

/** @param own its name in DNS: what a runtime calls a container is an id to nobody but itself */
const called = (owner: Owner, own?: string): Pick<AttachmentStatus, 'name' | 'id' | 'holder'> => ({
  name: nameOf(owner, own),
  id: attachmentId(owner),
  holder: holderIdOf(owner),
});

function nameOf(owner: Owner, own: string | undefined): string {
  switch (owner.kind) {
    case 'lxc':
      return owner.name;
    case 'cni':
      return own ?? owner.id;
    case 'attach':
      return owner.id.replace(/^attached\.[a-z]+\./, '');
    case 'dhcp':
      return own ?? owner.address;
  }
}

/** Those of its own names that dnsmasq reads as its. */
const answeringNames = ({ owner, interfaces, names }: AttachmentRecord): string[] =>
  domainsOf(interfaces).flatMap((domain) => {
    const words = new Set((readText(namesFile(domain, owner)) ?? '').split(/\s+/));
    return names.own.map((name) => `${name}.${domain}`).filter((name) => words.has(name));
  });
