/** DEL: takes back what ADD did. What is not there any more is no error, and everything is tried before an error is reported. */
import { closeSync } from 'node:fs';
import { hostLinkOf } from '../../plan/attachment/wiring.ts';
import { type AttachmentRecord, attachedAt, readAttachment, removeAttachment } from '../../store/attachments.ts';
import { removeShim } from '../target/shim.ts';
import type { CniContext } from './add.ts';
import { parseConf } from './conf.ts';
import { isInstalled } from './delegate.ts';
import { delegationOf, type Ipam, release } from './ipam.ts';
import { type Leftover, leftoverOf } from './leftover.ts';
import { unmasquerade } from './masquerade.ts';
import { removeNames } from './names.ts';
import { openNamespaceIfThere } from './namespace.ts';
import { closePorts } from './ports.ts';
import type { Request } from './request.ts';
import { isStacked, removeInterface } from './wire.ts';

/** @throws the first error, when all has been tried */
export function del(context: CniContext, request: Request): void {
  if (request.containerId !== '') {
    delAttachment(context, request);
    return;
  }
  const found = attachedAt(request.name, request.netns, request.ifname);
  if (found) delAttachment(context, { ...request, containerId: found.id });
  else delInterface(context, request, null);
}

function delAttachment(context: CniContext, request: Request): void {
  const { exec } = context;
  const key = { network: request.name, id: request.containerId, ifname: request.ifname };
  const record = readAttachment(key);
  const leftover = record ? null : leftoverOf(request.conf, request.name);
  const ipam = record ? ipamOfRecord(record, request) : ipamOfLeftover(leftover as Leftover, request);
  const kind = record ? record.kind : leftover?.kind;
  const hostLink = kind && isStacked(kind) ? null : hostLinkOf(key.network, key.id, key.ifname);
  const errors: unknown[] = [];
  const attempt = (action: () => void): void => {
    try {
      action();
    } catch (error) {
      errors.push(error);
    }
  };
  if (record) attempt(() => removeNames(record.names));
  if (record) attempt(() => closePorts(context, record));
  const releaseAddresses = (): void => {
    try {
      release(exec, request, ipam);
    } catch (error) {
      if (record || mayHold(ipam, request)) throw error;
      context.log(`nothing to give back: ${error instanceof Error ? error.message : error}`);
    }
  };
  // dhcp gives its lease back over the interface; any other address is given back last, when nobody can be using it.
  const dhcp = ipam.how === 'plugin' && ipam.delegation.type === 'dhcp';
  if (dhcp) attempt(releaseAddresses);
  if (record) attempt(() => unmasquerade(exec, record.masquerade, record));
  if (record?.shim) {
    const { shim } = record;
    attempt(() => removeShim(exec, shim, record));
  }
  attempt(() => delInterface(context, request, hostLink));
  if (!dhcp) attempt(releaseAddresses);
  // As long as something is left, the record says what.
  if (errors.length > 0) throw errors[0];
  removeAttachment(key);
  if (record?.peer) removeAttachment(record.peer);
}

function delInterface({ exec }: CniContext, { netns, ifname }: Request, hostLink: string | null): void {
  const namespace = openNamespaceIfThere(netns);
  try {
    removeInterface(exec, { hostLink, ifname }, namespace);
  } finally {
    if (namespace !== null) closeSync(namespace);
  }
}

/**
 * Whether addresses may be held although there is no record of them: not with a configuration that ADD refuses, nor by a plugin
 * that is not there, nor by the dhcp plugin, whose daemon forgets its leases when our records go, at the latest: at a reboot.
 */
function mayHold(ipam: Ipam, { conf, args }: Request): boolean {
  if (ipam.how !== 'plugin') return ipam.how === 'store';
  if (ipam.delegation.type === 'dhcp' || !isInstalled(ipam.delegation)) return false;
  try {
    parseConf(conf, args);
    return true;
  } catch {
    return false;
  }
}

/** As it was at ADD, whatever the configuration says now. */
function ipamOfRecord({ store, ipam }: AttachmentRecord, request: Request): Ipam {
  if (store) return { how: 'store', store, options: { sets: [], routes: [], resolvConf: null, dataDir: null } };
  if (!ipam) return { how: 'none' };
  const { containerId, netns, ifname } = request;
  const path = request.path.length > 0 ? request.path : ipam.path;
  return { how: 'plugin', delegation: { ...ipam, path, containerId, netns, ifname } };
}

function ipamOfLeftover({ store, plugin }: Leftover, request: Request): Ipam {
  if (store) return { how: 'store', store, options: { sets: [], routes: [], resolvConf: null, dataDir: null } };
  return plugin === null ? { how: 'none' } : { how: 'plugin', delegation: delegationOf(request, plugin) };
}
