/** DEL: takes back what ADD did. What is not there any more is no error, and everything is tried before an error is reported. */
import { closeSync } from 'node:fs';
import { hostLinkOf } from '../../plan/attachment/wiring.ts';
import { type AttachmentRecord, attachedAt, readAttachment, removeAttachment } from '../../store/attachments.ts';
import { readHostRecord } from '../../store/host-record.ts';
import { removeShim } from '../target/shim.ts';
import type { CniContext } from './add.ts';
import { type Conf, parseConf } from './conf.ts';
import { type Ipam, ipamOf, ipamOfNetwork, release } from './ipam.ts';
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
  const conf = record ? null : parseConf(request.conf, request.args);
  const ipam = record ? ipamOfRecord(record, request) : ipamNow(request, conf as Conf);
  const stacked = isStacked(record?.kind ?? (conf as Conf).kind);
  const hostLink = stacked ? null : hostLinkOf(key.network, key.id, key.ifname);
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
  // dhcp gives its lease back over the interface; any other address is given back last, when nobody can be using it.
  const dhcp = ipam.how === 'plugin' && ipam.delegation.type === 'dhcp';
  if (dhcp) attempt(() => release(exec, request, ipam));
  if (record) attempt(() => unmasquerade(exec, record.masquerade, record));
  if (record?.shim) {
    const { shim } = record;
    attempt(() => removeShim(exec, shim, record));
  }
  attempt(() => delInterface(context, request, hostLink));
  if (!dhcp) attempt(() => release(exec, request, ipam));
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

/** As it was at ADD, whatever the configuration says now. */
function ipamOfRecord({ store, ipam }: AttachmentRecord, request: Request): Ipam {
  if (store) return { how: 'store', store, options: { sets: [], routes: [], resolvConf: null, dataDir: null } };
  if (!ipam) return { how: 'none' };
  const { containerId, netns, ifname } = request;
  const path = request.path.length > 0 ? request.path : ipam.path;
  return { how: 'plugin', delegation: { ...ipam, path, containerId, netns, ifname } };
}

/** After a reboot there are no records, but addresses may still be held. */
function ipamNow(request: Request, conf: Conf): Ipam {
  if (conf.kind !== 'network') return ipamOf(request, conf);
  const network = readHostRecord().networks.find(({ name }) => name === conf.network);
  if (network) return ipamOfNetwork(network);
  const gone = { name: conf.network ?? '', address: '', prefix: 32, reserve: { from: '', to: '' } };
  return ipamOfNetwork(gone);
}
