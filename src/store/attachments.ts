/**
 * What CNI's ADD and `nethooks attach` have made, on disk: what DEL, CHECK and GC go by, whatever the configuration says by then.
 */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import type { Kind } from '../frontend/cni/conf.ts';
import type { Result } from '../frontend/cni/result.ts';
import { RUN } from '../model/paths.ts';
import type { Policy } from '../model/policy.ts';
import { ensureText, filesIn, readText, removeFile, writeAtomically } from '../system/files.ts';
import type { AddressStore } from './address-store.ts';

const ATTACHMENTS = `${RUN}/cni/attachments`;
const MASQUERADED = `${RUN}/cni/masquerade`;

/** One attachment: an interface of a container on a network. */
export interface Key {
  /** The CNI network's name. */
  network: string;
  id: string;
  ifname: string;
}

export interface AttachmentRecord extends Key {
  kind: Kind;
  /** Path of the namespace, and which namespace was there: device and inode. */
  netns: string;
  namespace: string;
  /** The host's end of the pair; null for macvlan and ipvlan. */
  hostLink: string | null;
  /** Where the address is held; null when another plugin manages it. */
  store: AddressStore | null;
  /** What the other plugin was called with, to have it take the address back. */
  ipam: { type: string; text: string; path: string[]; args: string } | null;
  /** Addresses with prefix length whose packets are masqueraded. */
  masquerade: string[];
  /** What it has in our firewall: published ports, and the rules that keep it apart; null for nothing. */
  policy: Policy | null;
  /** Files with the container's names, and the networks whose dnsmasq reads them. */
  names: { files: string[]; networks: string[] };
  result: Result | null;
  /** The host's own interface beside a macvlan one, to reach it. */
  shim?: Shim;
  /** The other end of a pair between two containers: one goes with the other. */
  peer?: Key;
}

/** An interface of the host on the same master, shared by all macvlan containers there that want one. */
export interface Shim {
  link: string;
  /** Without prefix length. */
  addresses: string[];
}

const fileOf = ({ network, id, ifname }: Key): string => join(ATTACHMENTS, network, `${id}:${ifname}.json`);

export const readAttachment = (key: Key): AttachmentRecord | null => parse(readText(fileOf(key)));

export const writeAttachment = (record: AttachmentRecord): void =>
  writeAtomically(fileOf(record), JSON.stringify(record), 0o600);

export const removeAttachment = (key: Key): boolean => removeFile(fileOf(key));

/** Every attachment of a network, or of all. */
export function listAttachments(network?: string): AttachmentRecord[] {
  const networks = network === undefined ? filesIn(ATTACHMENTS) : [network];
  return networks.flatMap((name) =>
    filesIn(join(ATTACHMENTS, name))
      .filter((file) => file.endsWith('.json'))
      .flatMap((file) => parse(readText(join(ATTACHMENTS, name, file))) ?? []),
  );
}

/** The attachment that has this interface in the namespace at a path. */
export const attachedAt = (network: string, netns: string, ifname: string): AttachmentRecord | undefined =>
  listAttachments(network).find((record) => record.netns === netns && record.ifname === ifname);

/**
 * Whose packets from `address` (with prefix length) are masqueraded is said in a file, so that a late DEL leaves the address's next
 * holder alone.
 */
export function claimMasquerade(address: string, key: Key): void {
  ensureText(claimFile(address), `${address} ${holder(key)}\n`);
}

/** Whether the claim was this attachment's; it is gone then. */
export function releaseMasquerade(address: string, key: Key): boolean {
  const path = claimFile(address);
  return readText(path)?.split(' ').slice(1).join(' ') === `${holder(key)}\n` && removeFile(path);
}

/** Every address that is masqueraded, with prefix length. */
export const masqueraded = (): string[] =>
  filesIn(MASQUERADED).flatMap((file) => readText(join(MASQUERADED, file))?.split(' ')[0] ?? []);

/** Whether any is. */
export const isAnyMasqueraded = (): boolean => filesIn(MASQUERADED).length > 0;

const claimFile = (address: string): string => join(MASQUERADED, address.split('/')[0] as string);
const holder = ({ network, id, ifname }: Key): string => `${network} ${id} ${ifname}`;

/** Who holds an attachment's host ports, in words that fit into a reservation. */
export const portHolder = ({ network, id, ifname }: Key): string => `cni ${network} ${id} ${ifname}`;

/** The policies of the attachments that are alive. */
export const attachedPolicies = (): Policy[] =>
  listAttachments().flatMap((record) => (record.policy && isAlive(record) ? [record.policy] : []));

/** Which namespace a path leads to; null when there is none. */
export function namespaceAt(path: string): string | null {
  try {
    const { dev, ino } = statSync(path);
    return `${dev}:${ino}`;
  } catch {
    return null;
  }
}

/** Whether the namespace that was connected is still there. */
export const isAlive = ({ netns, namespace }: AttachmentRecord): boolean => namespaceAt(netns) === namespace;

/** Garbage (a full disk, a power cut) is no record. */
function parse(text: string | null): AttachmentRecord | null {
  if (text === null) return null;
  try {
    return JSON.parse(text) as AttachmentRecord;
  } catch {
    return null;
  }
}
