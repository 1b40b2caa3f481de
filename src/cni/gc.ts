/** GC, and the same for attachments whose namespace has gone without a DEL (a crash, a reboot). */
import { statSync } from 'node:fs';
import { DEFAULT_DATA_DIR, listAddresses, releaseAddress } from '../state/address-store.ts';
import { type AttachmentRecord, isAlive, listAttachments } from '../state/attachments.ts';
import type { CniContext } from './add.ts';
import { removeChained } from './chained.ts';
import type { Conf } from './conf.ts';
import { del } from './del.ts';
import { delegate } from './delegate.ts';
import { CniError, CODE } from './error.ts';
import { ipamOf } from './ipam.ts';
import type { Request } from './request.ts';
import { isRecord } from './result.ts';
import { VERSIONS } from './versions.ts';

interface Valid {
  containerID: string;
  ifname: string;
}

/**
 * Removes every attachment of the network that is not in `cni.dev/valid-attachments`, and goes on when one fails.
 * @throws the first error, when all has been tried
 */
export function gc(context: CniContext, request: Request, conf: Conf): void {
  const valid = validIn(request.conf['cni.dev/valid-attachments']);
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

function validIn(value: unknown): Valid[] {
  if (Array.isArray(value) && value.every((one) => isRecord(one) && typeof one.containerID === 'string'))
    return value as Valid[];
  throw new CniError(CODE.config, 'cni.dev/valid-attachments: missing or no list of {containerID, ifname}');
}

function remove(context: CniContext, record: AttachmentRecord): void {
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

/** An attachment made this recently (ms) may still be on its way: its runtime has not finished with it. */
const YOUNG_MS = 60_000;

/**
 * Takes back every attachment whose network namespace has gone.
 * @returns what was taken back, one line each
 */
export function collectCni(context: CniContext): string[] {
  return listAttachments()
    .filter((record) => !isAlive(record))
    .flatMap((record) => {
      try {
        remove(context, record);
        return [`${record.network} ${record.id} ${record.ifname}: its network namespace ${record.netns} has gone`];
      } catch (error) {
        context.log(`${record.id}: ${error instanceof Error ? error.message : error}`);
        return [];
      }
    });
}

/** Addresses in a network's store that CNI containers of an earlier boot hold: whoever made them has not said DEL, and cannot any more. */
export function leftFromEarlierBoot(network: string): { address: string; id: string; ifname: string }[] {
  const booted = statSync('/proc/1').ctimeMs;
  const store = { dataDir: DEFAULT_DATA_DIR, network };
  const known = new Set(listAttachments().map(({ id, ifname }) => `${id}\n${ifname}`));
  return listAddresses(store)
    .filter(
      ({ holder, reservedAt }) =>
        !holder.id.startsWith('lxc-') && reservedAt < booted - YOUNG_MS && !known.has(`${holder.id}\n${holder.ifname}`),
    )
    .map(({ address, holder }) => ({ address, ...holder }));
}
