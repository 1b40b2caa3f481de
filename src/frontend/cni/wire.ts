/** The interface of an attachment, by kind: made, addressed, described for the result, removed. */

import { readRoutes } from '../../host/facts.ts';
import { bare, isV6 } from '../../model/address.ts';
import { insideCommands, macOf, ptpHostCommands } from '../../plan/attachment/wiring.ts';
import { macFor } from '../../plan/host/bridge.ts';
import type { AttachmentRecord } from '../../store/attachments.ts';
import { unfixedMac } from '../../system/bridge.ts';
import type { Exec } from '../../system/exec.ts';
import { ipOnHost } from '../../system/ip.ts';
import type { Conf } from './conf.ts';
import { CniError, CODE } from './error.ts';
import {
  enableForwarding,
  ensureBridge,
  inside,
  makeStacked,
  makeVeth,
  mustOnHost,
  NoBridge,
  type ShownLink,
} from './links.ts';
import type { Entered } from './namespace.ts';
import type { Request } from './request.ts';
import type { Interface, Result } from './result.ts';

/** What the steps of one attachment share. */
export interface Wire extends Entered {
  exec: Exec;
  request: Request;
  conf: Conf;
  /** The host's end of the pair; null for macvlan and ipvlan. */
  hostLink: string | null;
  /** The bridge that it joins; null for ptp, macvlan and ipvlan. */
  bridge: string | null;
  mac: string;
  /** Bytes; null for what the bridge or the interface below has. */
  mtu: number | null;
}

export const isStacked = (kind: Conf['kind']): boolean => kind === 'macvlan' || kind === 'ipvlan';

/** A MAC made from the address, where that is known, so that no neighbour remembers the MAC of the address's last holder. */
export function macOfAttachment(record: AttachmentRecord, conf: Conf, addressed: Result | null): string {
  const first = addressed?.ips.find(({ address }) => !isV6(address));
  if (conf.wantedMac !== null) return conf.wantedMac;
  return first && !isStacked(conf.kind) ? macFor(bare(first.address)) : macOf(record.network, record.id, record.ifname);
}

/**
 * Makes the interface, and the bridge if that is missing.
 * @param addressed what is known of the addresses by now
 * @returns the bridge as it was found or made
 */
export async function makeInterface(wire: Wire, addressed: Result | null): Promise<ShownLink | null> {
  const { exec, ip, conf, request, bridge, hostLink, mac, mtu } = wire;
  const { ifname } = request;
  if (conf.kind === 'macvlan' || conf.kind === 'ipvlan') {
    const master = conf.master ?? readRoutes().defaultDevice;
    if (master === null) throw new CniError(CODE.config, 'master: missing, and the host has no default route');
    const own = conf.kind === 'ipvlan' ? null : mac;
    await makeStacked(ip.host, { type: conf.kind, mode: conf.mode, master, ifname, mac: own, mtu });
    return null;
  }
  const wiring = {
    hostName: hostLink ?? '',
    hostMac: hostMac(mac),
    ifname,
    mac,
    mtu,
    bridge,
    // What it publishes, it may ask for itself.
    hairpin: conf.hairpinMode || conf.publish.length > 0,
    bridgeMac: bridge === null ? null : unfixedMac(bridge),
  };
  let link: ShownLink | null;
  try {
    link = await makeVeth(exec, ip.host, wiring);
  } catch (error) {
    if (!(error instanceof NoBridge) || bridge === null) throw error;
    if (conf.kind === 'network')
      throw new CniError(CODE.failed, `network ${bridge} has no bridge`, '`nethooks up` brings it back');
    link = ensureBridge(exec, bridgeWish(wire, addressed), null);
    // Somebody else may have made it meanwhile.
    const again = { ...wiring, bridgeMac: unfixedMac(bridge) };
    await makeVeth(exec, ipOnHost(exec, wire.namespace, '-json'), again);
  }
  try {
    if (addressed && link && conf.kind === 'bridge') ensureBridge(exec, bridgeWish(wire, addressed), link);
  } catch (error) {
    removeInterface(exec, { hostLink, ifname }, null);
    throw error;
  }
  return link;
}

/** What the bridge of a configuration for `bridge` is to have; as gateway, the addresses that the containers go through. */
export function bridgeWish({ conf, bridge, mtu, request }: Wire, addressed: Result | null) {
  const gateways = conf.isGateway ? (addressed?.ips ?? []) : [];
  const addresses = gateways.flatMap(({ address, gateway }) =>
    gateway ? [`${gateway}/${address.split('/')[1]}`] : [],
  );
  const first = addresses.find((address) => !isV6(address));
  const mac = first ? macFor(bare(first)) : macOf(request.name, bridge ?? '', '');
  return { name: bridge ?? '', mac, addresses, mtu, promisc: conf.promiscMode, force: conf.forceAddress };
}

/** Addresses and routes inside, and what belongs to them on the host. */
export async function addressInterface(wire: Wire, addressed: Result, link: ShownLink | null): Promise<void> {
  const { exec, ip, conf, request, hostLink, bridge, mtu } = wire;
  // A bridge's MTU is that of its smallest port: a new one must not make it smaller, nor be larger than it can use.
  const real = bridge !== null && mtu === null && link && link.mtu !== 1500 ? link.mtu : null;
  const lines = [
    ...(real === null ? [] : [`link set dev ${hostLink} mtu ${real}`]),
    ...(conf.kind === 'ptp' ? ptpHostCommands(hostLink ?? '', addressed.ips) : []),
  ];
  if (lines.length > 0) mustOnHost(exec, lines);
  const options = { ptp: conf.kind === 'ptp', mtu: real };
  await inside(ip.inside, insideCommands(request.ifname, addressed.ips, addressed.routes, options));
  if (conf.kind === 'ptp' || (conf.kind === 'bridge' && conf.isGateway))
    enableForwarding(addressed.ips.map(({ address }) => address));
}

/** As the stock plugins list them: bridge, host's end, container's end. */
export function describeInterfaces(wire: Wire, link: ShownLink | null): Interface[] {
  const { request, bridge, hostLink, mac, conf } = wire;
  const own = conf.kind === 'ipvlan' ? {} : { mac };
  return [
    ...(bridge === null ? [] : [{ name: bridge, ...(link?.address ? { mac: link.address } : {}) }]),
    ...(hostLink === null ? [] : [{ name: hostLink, mac: hostMac(mac) }]),
    { name: request.ifname, ...own, sandbox: request.netns },
  ];
}

/** The host's end has the container's MAC with another first byte, locally administered as well. */
const hostMac = (mac: string): string => `fe${mac.slice(2)}`;

/** Removes the interface; that it is not there any more is no error. */
export function removeInterface(
  exec: Exec,
  record: Pick<AttachmentRecord, 'hostLink' | 'ifname'>,
  namespace: number | null,
): void {
  if (record.hostLink !== null && exec('ip', ['link', 'delete', 'dev', record.hostLink]).code === 0) return;
  if (namespace === null) return;
  const args = ['--net=/proc/self/fd/3', 'ip', 'link', 'delete', 'dev', record.ifname];
  const { code, stderr } = exec('nsenter', args, { fd: namespace });
  if (code !== 0 && !/Cannot find device/.test(stderr))
    throw new CniError(CODE.failed, `removing interface ${record.ifname} failed`, stderr.trim());
}
