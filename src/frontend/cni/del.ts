/** DEL: takes back what ADD did. What is not there any more is no error, and everything is tried before an error is reported. */
import { closeSync } from 'node:fs';
import { type DetachOptions, detach } from '../../attachment/detach.ts';
import { type AttachmentRecord, attachmentId, type Interface, type Owner } from '../../model/attachment.ts';
import { hostLinkOf } from '../../model/derived.ts';
import { readRecord, recordsWhere } from '../../store/records.ts';
import { type Applying, applyAll } from '../../system/apply.ts';
import type { CniContext } from './add.ts';
import { type Kind, parseConf } from './conf.ts';
import { type Delegation, delegate, isInstalled } from './delegate.ts';
import { giveElsewhere } from './elsewhere.ts';
import { delegationOf } from './ipam.ts';
import { type Leftover, leftoverOf } from './leftover.ts';
import { openNamespaceIfThere } from './namespace.ts';
import type { Request } from './request.ts';
import { ownerOfRequest } from './spec.ts';

/** @throws the first error, when all has been tried */
export async function del(context: CniContext, request: Request): Promise<void> {
  const fd = openNamespaceIfThere(request.netns);
  const how: Applying = {
    ...context,
    wait: false,
    ...(fd === null ? {} : { namespace: { fd, host: null, inside: null } }),
  };
  try {
    await takeDown(how, request);
  } finally {
    if (fd !== null) closeSync(fd);
  }
}

async function takeDown(how: Applying, request: Request): Promise<void> {
  if (request.containerId === '') {
    // To the first versions of the spec a container's id was only recommended.
    const found = attachedAt(request);
    if (found) await detachRecord(how, found);
    else await applyAll(how, removal(how, request.ifname));
    return;
  }
  const owner = ownerOfRequest(request);
  const record = readRecord(attachmentId(owner));
  if (record) await detachRecord(how, record, request);
  else await detachLeftover(how, owner, request);
}

/** Takes an attachment back by its record. */
export async function detachRecord(how: Applying, record: AttachmentRecord, request?: Request): Promise<void> {
  const { ipam } = record;
  // Where the runtime says now that plugins are.
  const path = request && request.path.length > 0 ? request.path : ipam?.path;
  const give = giveElsewhere(how, ipam && path ? { ...record, ipam: { ...ipam, path } } : record);
  await detach(how, record, give ? { giveElsewhere: give } : {});
}

/** The attachment that has this interface in the namespace at a path. */
export const attachedAt = ({ name, netns, ifname }: Request, chained = false): AttachmentRecord | undefined =>
  recordsWhere(
    (owner) =>
      owner.kind === 'cni' && owner.network === name && owner.ifname === ifname && (owner.chained === true) === chained,
  ).find(({ life }) => life !== null && 'netns' in life && life.netns === netns);

const removal = (how: Applying, ifname: string) =>
  how.namespace
    ? [
        {
          kind: 'ip' as const,
          commands: [`link delete dev ${ifname}`],
          undo: [],
          where: 'namespace' as const,
          lenient: true as const,
        },
      ]
    : [];

/** After an ADD that was refused, after a reboot: there is no record, but addresses may be held. */
async function detachLeftover(how: Applying, owner: Owner, request: Request): Promise<void> {
  const leftover = leftoverOf(request.conf, request.name);
  const interfaces = [interfaceOf(request, leftover)];
  const record: AttachmentRecord = {
    owner,
    state: 'attached',
    life: null,
    interfaces,
    names: { own: [], linked: [] },
    links: [],
    policy: null,
  };
  const give =
    leftover.plugin === null ? undefined : giveLeftover(how, delegationOf(request, leftover.plugin), request);
  await detach(how, record, give ? { giveElsewhere: give } : {});
}

function giveLeftover(
  { exec, log }: Applying,
  delegation: Delegation,
  request: Request,
): DetachOptions['giveElsewhere'] {
  const give = (): void => {
    try {
      delegate(exec, 'DEL', delegation);
    } catch (error) {
      if (mayHold(delegation, request)) throw error;
      log(`nothing to give back: ${error instanceof Error ? error.message : error}`);
    }
  };
  return { beforeLink: delegation.type === 'dhcp', give };
}

/**
 * Whether addresses may be held although there is no record of them: not with a configuration that ADD refuses, nor by a plugin
 * that is not there, nor by the dhcp plugin, whose daemon forgets its leases when our records go, at the latest: at a reboot.
 */
function mayHold(delegation: Delegation, { conf, args }: Request): boolean {
  if (delegation.type === 'dhcp' || !isInstalled(delegation)) return false;
  try {
    parseConf(conf, args);
    return true;
  } catch {
    return false;
  }
}

function interfaceOf({ name, containerId, ifname }: Request, { kind, store }: Leftover): Interface {
  const stacked = kind === 'macvlan' || kind === 'ipvlan';
  return {
    driver: driverOf(kind),
    network: null,
    domain: null,
    ifname,
    addresses: [],
    gateways: [],
    mac: '',
    hostLink: stacked || kind === 'dns' ? null : hostLinkOf(name, containerId, ifname),
    store,
  };
}

const driverOf = (kind: Kind | null): Interface['driver'] =>
  kind === 'macvlan' || kind === 'ipvlan' || kind === 'ptp' ? kind : kind === 'dns' ? 'none' : 'bridge';
