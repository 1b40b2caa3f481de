/** GC, and the same for attachments whose namespace has gone without a DEL (a crash, a reboot). */
import { uptime } from 'node:os';
import {
  type AddressStore,
  DEFAULT_DATA_DIR,
  type Holder,
  listAddresses,
  releaseAddress,
} from '../../store/address-store.ts';
import { type AttachmentRecord, isAlive, listAttachments, readAttachment } from '../../store/attachments.ts';
import type { CniContext } from './add.ts';
import { removeChained } from './chained.ts';
import type { Conf } from './conf.ts';
import { del } from './del.ts';
import { delegate } from './delegate.ts';
import { ipamOf } from './ipam.ts';
import { type Request, validAttachments } from './request.ts';
import { VERSIONS } from './versions.ts';

/**
 * Removes every attachment of the network that is not in `cni.dev/valid-attachments`, and goes on when one fails.
 * @throws the first error, when all has been tried
 */
export function gc(context: CniContext, request: Request, conf: Conf): void {
  const valid = validAttachments(request.conf);
  const isValid = (id: string, ifname: string) =>
    valid.some((one) => one.containerID === id && (one.ifname === ifname || ifname === ''));
  const network = conf.kind === 'dns' ? `${request.name}.dns` : request.name;
  const errors: unknown[] = [];
  for (const record of listAttachments(network)) {
    if (isValid(record.id, record.ifname)) continue;
    try {
      remove(context, record);
    } catch (error) {
      errors.push(error);
    }
  }
  // A network of nethooks.ini shares its store with other networks and with LXC: what is not recorded is not for us to judge.
  const ipam = conf.kind === 'network' || conf.kind === 'dns' ? null : ipamOf(request, conf);
  if (ipam?.how === 'store')
    for (const { address, holder } of listAddresses(ipam.store))
      if (!isValid(holder.id, holder.ifname)) releaseAddress(ipam.store, holder, address);
  if (ipam?.how === 'plugin') {
    try {
      delegate(context.exec, 'GC', ipam.delegation);
    } catch (error) {
      context.log(`${error instanceof Error ? error.message : error}`); // plugins before 1.1.0 have no GC
    }
  }
  if (errors.length > 0) throw errors[0];
}

/** Takes an attachment back by its record alone. */
export function remove(context: CniContext, record: AttachmentRecord): void {
  const request = requestOf(record);
  if (record.kind === 'dns') removeChained(request);
  else del(context, request);
}

function requestOf({ network, id, ifname, netns, kind, namespace, ...record }: AttachmentRecord): Request {
  const alive = isAlive({ network, id, ifname, netns, kind, namespace, ...record });
  return {
    command: 'DEL',
    containerId: id,
    netns: alive ? netns : '',
    ifname,
    path: record.ipam?.path ?? [],
    argsText: record.ipam?.args ?? '',
    args: {},
    version: VERSIONS[0],
    name: kind === 'dns' ? network.replace(/\.dns$/, '') : network,
    conf: {},
    text: record.ipam?.text ?? '{}',
  };
}

/** Attachments whose network namespace has gone without a DEL. */
export const deadAttachments = (): AttachmentRecord[] => listAttachments().filter((record) => !isAlive(record));

/**
 * Takes an attachment back, unless another of the same name has come since.
 * @throws what DEL throws
 */
export function removeDead(context: CniContext, record: AttachmentRecord): void {
  if (!isAlive(readAttachment(record) ?? record)) remove(context, record);
}

/** An address in a store that nobody can give back any more. */
export interface StaleAddress {
  store: AddressStore;
  address: string;
  holder: Holder;
}

/**
 * Addresses that CNI containers of an earlier boot hold: their namespaces ended with it, and their runtime will not say DEL.
 * @param networks names of stores; LXC's containers in them, which keep their addresses, are left out
 */
export function staleAddresses(networks: readonly string[]): StaleAddress[] {
  const booted = Date.now() - uptime() * 1000;
  const known = new Set(listAttachments().map(({ id, ifname }) => `${id} ${ifname}`));
  return networks.flatMap((network) => {
    const store = { dataDir: DEFAULT_DATA_DIR, network };
    return listAddresses(store)
      .filter(
        ({ holder, reservedAt }) =>
          !holder.id.startsWith('lxc-') && reservedAt < booted && !known.has(`${holder.id} ${holder.ifname}`),
      )
      .map(({ address, holder }) => ({ store, address, holder }));
  });
}
