/** `nethooks attach`: what a CNI runtime would ask for, asked from the command line. */

import { withNamespace } from '../../attachment/detach.ts';
import { addShim } from '../../attachment/shim.ts';
import { NethooksError } from '../../errors.ts';
import { bare, isIPv4, subnetCidr, subnetOf, toAddress, toNumber } from '../../model/address.ts';
import { type AttachmentRecord, attachmentId, type Owner } from '../../model/attachment.ts';
import { parsePortSpec } from '../../model/ports.ts';
import { wantedPorts } from '../../plan/attachment/publish.ts';
import { ATTACHED } from '../../plan/attachment/wiring.ts';
import { readHostRecord } from '../../store/host-record.ts';
import { readRecord, recordsWhere, writeRecord } from '../../store/records.ts';
import { readRoutes } from '../../system/routes.ts';
import { add, type CniContext } from '../cni/add.ts';
import { parseConf } from '../cni/conf.ts';
import { detachRecord } from '../cni/del.ts';
import { enter } from '../cni/namespace.ts';
import type { Request } from '../cni/request.ts';
import type { Result } from '../cni/result.ts';
import { parseTarget, type Target, targetName } from './target.ts';

export interface AttachRequest {
  /** A network of nethooks.ini; null for the first, unless there is a mode. */
  network: string | null;
  mode: 'ptp' | 'macvlan' | 'ipvlan' | null;
  master: string | null;
  /** `auto`, `dhcp`, an address, or an address with prefix length. */
  address: string;
  gateway: string | null;
  ifname: string;
  /** In Docker's words. */
  publish: string[];
  name: string | null;
  /** Further names. */
  aliases: string[];
  mac: string | null;
  mtu: number | null;
  hostShim: boolean;
}

/** Whose attachment it is that is made for a target. */
export const ownerOfTarget = (
  { kind, name }: Pick<Target, 'kind' | 'name'>,
  ifname: string,
): Owner & { kind: 'attach' } => ({
  kind: 'attach',
  id: `attached.${kind}.${name}`,
  ifname,
});

/** Where the stock IPAM plugins are, for dhcp. */
const PLUGINS = ['/opt/cni/bin', '/usr/lib/cni', '/usr/libexec/cni'];

/** @throws NethooksError, CniError; nothing is left then */
export async function attach(context: CniContext, target: Target, wanted: AttachRequest): Promise<Result> {
  const conf = configuration(wanted);
  const name = wanted.name ?? target.name;
  const owner = ownerOfTarget(target, wanted.ifname);
  const request: Request = {
    command: 'ADD',
    containerId: owner.id,
    netns: target.netns,
    ifname: wanted.ifname,
    path: PLUGINS,
    argsText: 'IgnoreUnknown=1',
    args: { K8S_POD_NAME: name },
    version: '1.1.0',
    name: ATTACHED,
    conf,
    text: JSON.stringify(conf),
  };
  const parsed = parseConf(conf, {});
  const publish = wantedPorts({
    publish: wanted.publish.map(parsePortSpec),
    expose: [],
    publishAll: false,
    publishAddress: '0.0.0.0',
  });
  const result = await add(
    context,
    request,
    { ...parsed, publish, aliases: wanted.aliases },
    enter(context.exec, target.netns),
    owner,
  );
  if (!wanted.hostShim) return result;
  const record = readRecord(attachmentId(owner)) as AttachmentRecord;
  try {
    const master = wanted.master ?? readRoutes().defaultDevice ?? '';
    const shim = addShim(
      context.exec,
      master,
      result.ips.map(({ address }) => bare(address)),
    );
    writeRecord({ ...record, shim });
  } catch (error) {
    await detach(context, [record]);
    throw error;
  }
  return result;
}

/** The CNI configuration that says the same. */
function configuration(wanted: AttachRequest): Record<string, unknown> {
  const { mode, address, master, gateway, publish, hostShim } = wanted;
  const common = {
    cniVersion: '1.1.0',
    name: ATTACHED,
    ...(wanted.mtu === null ? {} : { mtu: wanted.mtu }),
    ...(wanted.mac === null ? {} : { mac: wanted.mac }),
  };
  if (hostShim && mode !== 'macvlan') throw usage('--host-shim goes with --mode macvlan');
  if (mode === null) {
    if (master !== null || gateway !== null) throw usage('--master and --gateway go with --mode');
    const network = wanted.network ?? readHostRecord().networks[0]?.name;
    if (network === undefined)
      throw new NethooksError('no network is up: `nethooks up`, or --mode ptp, macvlan or ipvlan');
    if (address !== 'auto' && !isIPv4(address))
      throw usage(`--address ${address}: allowed: auto, or an address of the network`);
    const ips = address === 'auto' ? {} : { runtimeConfig: { ips: [address] } };
    return { ...common, type: 'nethooks', network, ...ips };
  }
  if (wanted.network !== null) throw usage('--network and --mode exclude each other');
  if (publish.length > 0) throw usage('--publish goes with --network');
  if (mode === 'ptp' && master !== null) throw usage('--master goes with --mode macvlan or ipvlan');
  return {
    ...common,
    type: `nethooks-${mode}`,
    ...(mode === 'ptp' ? { ipMasq: true } : {}),
    ...(master === null ? {} : { master }),
    ...addressing(wanted),
  };
}

/** A point-to-point pair has its gateway and its way out; what is on the LAN says who leads out. */
function addressing({ mode, address, gateway }: AttachRequest): Record<string, unknown> {
  if (address === 'dhcp' && mode === 'macvlan') return { ipam: { type: 'dhcp' } };
  const [text = '', bits = ''] = address.split('/');
  const prefix = /^\d{1,2}$/.test(bits) ? Number(bits) : 33;
  if (!isIPv4(text) || prefix > 30)
    throw usage(
      `--address ${address}: with --mode ${mode} allowed: an address with prefix length, such as 10.9.0.2/24${mode === 'macvlan' ? ', or dhcp' : ''}`,
    );
  const { first } = subnetOf(text, prefix);
  // host-local keeps a gateway's address free in any case.
  const free = toAddress(first + (toNumber(text) === first + 1 ? 2 : 1));
  const routes = mode === 'ptp' || gateway !== null ? [{ dst: '0.0.0.0/0' }] : [];
  const range = { subnet: subnetCidr(address), gateway: gateway ?? free };
  return { ipam: { type: 'host-local', ranges: [[range]], routes }, runtimeConfig: { ips: [text] } };
}

/** What was attached to a target, whether or not that is still there. */
export function attachmentsOf(word: string, ifname: string | null): AttachmentRecord[] {
  const { kind, name } = parseTarget(word);
  return recordsWhere((owner) => {
    if (owner.kind !== 'attach') return false;
    const [, ofKind = '', ...rest] = owner.id.split('.');
    const same = kind === null ? ofKind : kind;
    return (
      ofKind === same &&
      rest.join('.') === targetName(ofKind as Target['kind'], name) &&
      (ifname === null || owner.ifname === ifname)
    );
  });
}

/** Takes attachments back. */
export async function detach({ exec, log }: CniContext, records: readonly AttachmentRecord[]): Promise<void> {
  for (const record of records)
    await withNamespace({ exec, log, wait: false }, record.life, (how) => detachRecord(how, record));
}

const usage = (message: string): NethooksError => new NethooksError(message, 2);
