/** Where a container's addresses come from: our store, which is host-local's, or another plugin. */
import type { AddressStore } from '../../model/attachment.ts';
import type { NetworkConfig } from '../../model/config.ts';
import { DEFAULT_DATA_DIR } from '../../store/addresses.ts';
import { readText } from '../../system/files.ts';
import type { Conf } from './conf.ts';
import type { Delegation } from './delegate.ts';
import { parseHostLocalDns } from './dns.ts';
import { CniError, CODE } from './error.ts';
import { type HostLocal, parseHostLocal } from './ranges.ts';
import type { Request } from './request.ts';
import { isRecord, type Result } from './result.ts';

/** Who manages the addresses of one attachment. */
export type Ipam =
  | { how: 'none' }
  | { how: 'store'; store: AddressStore; options: HostLocal }
  | { how: 'plugin'; delegation: Delegation };

/** @throws CniError (config) */
export function ipamOf(request: Request, { ipam }: Conf): Ipam {
  if (!ipam) return { how: 'none' };
  const type = ipam.type;
  if (typeof type !== 'string' || type === '') throw new CniError(CODE.config, 'ipam.type: missing');
  if (type === 'host-local' || type === 'nethooks') {
    const runtime = isRecord(request.conf.runtimeConfig) ? request.conf.runtimeConfig : {};
    const options = parseHostLocal(ipam, runtime.ipRanges);
    const store = { dataDir: options.dataDir ?? DEFAULT_DATA_DIR, network: request.name };
    return { how: 'store', store, options };
  }
  return { how: 'plugin', delegation: delegationOf(request, type) };
}

/** On a network of nethooks.ini: its reserve, and everything else through its bridge. */
export function ipamOfNetwork({
  name,
  address,
  prefix,
  reserve,
  internal,
}: Pick<NetworkConfig, 'name' | 'address' | 'prefix' | 'reserve' | 'internal'>): Ipam {
  const options: HostLocal = {
    sets: [[{ prefix, ...reserve, gateway: address }]],
    routes: internal ? [] : [{ dst: '0.0.0.0/0', gw: address }],
    resolvConf: null,
    dataDir: null,
  };
  return { how: 'store', store: { dataDir: DEFAULT_DATA_DIR, network: name }, options };
}

/** A call of another plugin with what we were called with. */
export const delegationOf = (request: Request, type: string): Delegation => {
  const { path, containerId, netns, ifname, argsText, text } = request;
  return { type, path, containerId, netns, ifname, args: argsText, text };
};

/**
 * `resolvConf` of host-local.
 * @throws CniError (config) when there is no such file
 */
export function dnsFrom(path: string): Result['dns'] {
  const text = readText(path);
  if (text === null) throw new CniError(CODE.config, `ipam.resolvConf: ${path} is not there`);
  return parseHostLocalDns(text);
}
