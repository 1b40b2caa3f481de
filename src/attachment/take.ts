/** What an attachment takes from the store: addresses, host ports, names. Each is its own from then on, and goes back on failure. */

import { NethooksError } from '../errors.ts';
import { bare, type Cidr, contains, isV6 } from '../model/address.ts';
import {
  type AddressStore,
  type AttachmentRecord,
  attachmentId,
  holderIdOf,
  type Interface,
  ipv4Of,
  showOwner,
} from '../model/attachment.ts';
import type { LinkOption } from '../model/container-options.ts';
import type { Link, Published } from '../model/policy.ts';
import { linkTo, type Place } from '../plan/attachment/link.ts';
import { dhcpOptionsFile, domainsOf, reservationFile } from '../plan/attachment/names.ts';
import type { AddressSet, AttachmentSpec, InterfaceSpec, Placed } from '../plan/attachment/spec.ts';
import { withDefaultRoutes } from '../plan/attachment/wiring.ts';
import { Exhausted, releaseAddress, reserveAddress } from '../store/addresses.ts';
import { forgetParent, watchChild } from '../store/links.ts';
import { readContainer, readKept } from '../store/records.ts';
import { entriesOf, give, take } from '../store/register.ts';
import type { Transaction } from '../system/apply.ts';
import { removeFile } from '../system/files.ts';

type Log = (line: string) => void;

/** Tries once more when a pool is exhausted: what is left of containers that are gone may be in the way. */
export type Retry = (error: Exhausted) => Promise<boolean>;

async function retrying<T>(retry: Retry, action: () => T): Promise<T> {
  try {
    return action();
  } catch (error) {
    if (!(error instanceof Exhausted) || !(await retry(error))) throw error;
    return action();
  }
}

/**
 * Reserves an interface's addresses.
 * @throws NethooksError when one cannot be had
 */
export async function takeAddresses(
  transaction: Transaction,
  { owner }: AttachmentSpec,
  spec: InterfaceSpec,
  retry: Retry,
): Promise<Placed> {
  const { addressing, ifname } = spec;
  if (addressing.how === 'none' || addressing.how === 'elsewhere') return { spec, ips: [], routes: [] };
  if (addressing.how === 'static') return { spec, ips: addressing.ips, routes: addressing.routes };
  const { store, sets, routes, hints, search } = addressing;
  const holder = { id: holderIdOf(owner), ifname };
  const ips = [];
  for (const [index, set] of sets.entries()) {
    const hint = hints.find((address) => inSet(set, address));
    const reserve = () =>
      reserveAddress(store, set.ranges, holder, {
        skip: set.skip,
        set: index,
        search,
        ...(set.wanted === null ? {} : { wanted: set.wanted }),
        ...(hint === undefined ? {} : { hint }),
        ...(set.dynamic === undefined ? {} : { dynamic: set.dynamic }),
      });
    const { address, fresh } = await retrying(retry, reserve);
    if (fresh) transaction.did(`address ${address}`, () => releaseAddress(store, holder, address));
    const range = set.ranges.find(({ gateway, prefix }) => contains(`${gateway}/${prefix}`, address));
    if (!range) throw new NethooksError(`address ${address}: not in a subnet of ${store.network}`);
    ips.push({ address: `${address}/${range.prefix}`, gateway: range.gateway });
  }
  return { spec, ips, routes: addressing.defaultRoute ? withDefaultRoutes(routes, ips) : routes };
}

const inSet = ({ ranges }: AddressSet, address: string): boolean =>
  ranges.some(({ gateway, prefix }) => contains(`${gateway}/${prefix}`, address));

/** Gives back all addresses that its interfaces hold. Those whose addresses are known are not searched for. */
export function giveAddresses({ owner }: Pick<AttachmentRecord, 'owner'>, interfaces: readonly Interface[]): void {
  for (const { store, addresses, ifname } of interfaces)
    if (store) giveFrom(store, holderIdOf(owner), ifname, addresses);
}

function giveFrom(store: AddressStore, id: string, ifname: string, addresses: readonly Cidr[]): void {
  if (addresses.length === 0) releaseAddress(store, { id, ifname });
  for (const address of addresses) releaseAddress(store, { id, ifname }, bare(address), { search: false });
}

/** Gives back what a container held at its last start and holds no more: it is on another network now, or that has another subnet. */
export function giveFormer(container: string, before: readonly Interface[], now: readonly Interface[]): void {
  const owner = { kind: 'lxc' as const, name: container };
  for (const old of before) {
    const same = now.find(({ network, ifname }) => network === old.network && ifname === old.ifname);
    if (!same && old.network !== null)
      for (const path of [reservationFile, dhcpOptionsFile]) removeFile(path(old.network, owner, old.ifname));
    const kept = same?.addresses.map(bare) ?? [];
    for (const address of old.addresses.map(bare))
      if (old.store && !kept.includes(address))
        releaseAddress(old.store, { id: holderIdOf(owner), ifname: old.ifname }, address, { search: false });
  }
}

/**
 * Reserves the host ports that it publishes.
 * @param isOwn whether a process holds a busy port for this very container
 * @throws NethooksError naming who has a port; none is reserved then
 */
export async function takePorts(
  transaction: Transaction,
  spec: AttachmentSpec,
  remembered: readonly Published[],
  retry: Retry,
  isOwn?: (pid: number) => boolean,
): Promise<Published[]> {
  if (spec.publish.length === 0) return [];
  const { releasePorts, reservePorts } = await import('../store/ports.ts');
  const id = attachmentId(spec.owner);
  const { published, fresh } = await retrying(retry, () =>
    reservePorts(id, spec.publish, spec.publishPorts, { remembered, ...(isOwn && { isOwn }) }),
  );
  if (fresh.length > 0) transaction.did('host ports', () => releasePorts(id, fresh));
  return published;
}

/** What its links lead to now. A child without an address is left out: its own start completes the link. */
export function takeLinks(transaction: Transaction, spec: AttachmentSpec, places: Place[], log: Log): Link[] {
  const { owner, links } = spec;
  if (owner.kind !== 'lxc' || links.length === 0) return [];
  transaction.did('links', () => forgetParent(owner.name, { children: links.map(({ container }) => container) }));
  return links.flatMap(({ container, alias }) => {
    // First the note, then the look: whoever of the two starts last sees the other.
    watchChild(container, owner.name, alias);
    const link = resolveLink(places, container, alias);
    if (link === null)
      log(`link ${container}:${alias}: container ${container} has no address yet; its start completes the link`);
    return link ?? [];
  });
}

/** A link as the child is now, or was when it last ran: its address is kept for it. Null when it has none. */
export function resolveLink(parent: Place[], child: string, alias: LinkOption['alias']): Link | null {
  const running = readContainer(child);
  const kept = readKept(child);
  const places = placesOf(running && running.interfaces.length > 0 ? running.interfaces : kept.interfaces);
  const exposed = running?.policy?.exposed ?? kept.exposed;
  return linkTo(parent, { name: child, places, exposed }, alias);
}

/** Where it can be reached over IPv4. */
export const placesOf = (interfaces: readonly Interface[]): Place[] =>
  interfaces.flatMap((one) => {
    const address = ipv4Of(one);
    return address === null || one.network === null ? [] : [{ network: one.network, address }];
  });

/**
 * Takes the names that nobody else has.
 * @param log is told who has the others
 * @returns the names that it has now, by domain
 */
export function takeNames(
  transaction: Transaction | null,
  { owner, interfaces, names }: Pick<AttachmentRecord, 'owner' | 'interfaces' | 'names'>,
  log: Log,
): Record<string, string[]> {
  const id = attachmentId(owner);
  const wanted = [...names.own, ...names.linked.map(({ name }) => name)];
  const taken: string[] = [];
  transaction?.did('names', () => {
    for (const key of taken) give('claims', key, id);
  });
  return Object.fromEntries(
    domainsOf(interfaces).map((domain) => [
      domain,
      wanted.filter((name) => {
        const key = `${domain}/${name}`;
        const { holder, fresh } = take('claims', key, id);
        if (holder !== null)
          log(
            `the name ${name}.${domain} is held by ${showOwner(holder)}: ${showOwner(id)} does not get it while that runs`,
          );
        else if (fresh) taken.push(key);
        return holder === null;
      }),
    ]),
  );
}

/** Gives back its names, but for those to keep. A record that was rebuilt does not know them: then the register is searched. */
export function giveNames(
  { owner, interfaces, names, rebuilt }: AttachmentRecord,
  keep: AttachmentRecord['names'] = { own: [], linked: [] },
): void {
  const id = attachmentId(owner);
  const list = ({ own, linked }: AttachmentRecord['names']): string[] => [...own, ...linked.map(({ name }) => name)];
  const staying = new Set(list(keep));
  const keys = rebuilt
    ? entriesOf('claims').flatMap(({ key, holder }) => (holder === id ? [key] : []))
    : domainsOf(interfaces).flatMap((domain) => list(names).map((name) => `${domain}/${name}`));
  for (const key of keys) if (!staying.has(key.slice(key.indexOf('/') + 1))) give('claims', key, id);
}

/**
 * Says whose packets from which addresses are masqueraded, and who has which MAC on a network: the last one has it, and who gives it
 * back later leaves it alone.
 */
export function takeMarks(transaction: Transaction, { owner, interfaces, policy }: AttachmentRecord, log: Log): void {
  const id = attachmentId(owner);
  for (const address of policy?.masquerade ?? []) take('masquerade', bare(address), id, { always: true });
  for (const { network, mac } of interfaces) {
    if (network === null || mac === '') continue;
    const { holder } = take('macs', `${network}/${mac}`, id);
    if (holder !== null)
      log(`${showOwner(holder)} has MAC ${mac} on ${network} too: one of the two will not be reached`);
  }
  transaction.did('marks', () => giveMarks({ owner, interfaces, policy }));
}

/** @returns the masqueraded addresses that were its own until now */
export function giveMarks({
  owner,
  interfaces,
  policy,
}: Pick<AttachmentRecord, 'owner' | 'interfaces' | 'policy'>): Cidr[] {
  const id = attachmentId(owner);
  for (const { network, mac } of interfaces) if (network !== null && mac !== '') give('macs', `${network}/${mac}`, id);
  return (policy?.masquerade ?? []).filter((address) => give('masquerade', bare(address), id));
}

/** The addresses of a family, without prefix length. */
export const addressesOf = (interfaces: readonly Interface[], v6: boolean): string[] =>
  interfaces.flatMap(({ addresses }) => addresses.filter((address) => isV6(address) === v6).map(bare));
