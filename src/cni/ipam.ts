/** Where a container's addresses come from: our store, which is host-local's, or another plugin. */
import type { NetworkConfig } from '../config/types.ts';
import { contains } from '../plan/ipv4.ts';
import { parseResolvConf } from '../plan/resolv-conf.ts';
import { type AddressStore, DEFAULT_DATA_DIR, releaseAddress, reserveAddress } from '../state/address-store.ts';
import type { Exec } from '../system/exec.ts';
import { readText } from '../system/files.ts';
import type { Conf } from './conf.ts';
import { type Delegation, delegate } from './delegate.ts';
import { CniError, CODE } from './error.ts';
import { type HostLocal, parseHostLocal, type Range, routesOf } from './ranges.ts';
import type { Request } from './request.ts';
import { EMPTY_RESULT, isRecord, type Result } from './result.ts';

/** Who manages the addresses of one attachment. */
export type Ipam =
  | { how: 'none' }
  | { how: 'store'; store: AddressStore; options: HostLocal }
  | { how: 'plugin'; delegation: Delegation };

export interface Allocation {
  /** Without interfaces. */
  result: Result;
  /** Takes it back. */
  undo: () => void;
}

/** @throws CniError (config) */
export function ipamOf(request: Request, { ipam }: Conf): Ipam {
  if (!ipam) return { how: 'none' };
  const type = ipam.type;
  if (typeof type !== 'string' || type === '') throw new CniError(CODE.config, 'ipam.type: missing');
  if (type === 'host-local' || type === 'nethooks') {
    const runtime = isRecord(request.conf.runtimeConfig) ? request.conf.runtimeConfig : {};
    const options = parseHostLocal(ipam, runtime.ipRanges);
    const store = { dataDir: options?.dataDir ?? DEFAULT_DATA_DIR, network: request.name };
    if (options) return { how: 'store', store, options };
    // What only the original does, it does in the same files.
    return { how: 'plugin', delegation: delegationOf(request, 'host-local') };
  }
  return { how: 'plugin', delegation: delegationOf(request, type) };
}

/** On a network of nethooks.ini: its reserve, and everything else through its bridge. */
export function ipamOfNetwork({
  name,
  address,
  prefix,
  reserve,
}: Pick<NetworkConfig, 'name' | 'address' | 'prefix' | 'reserve'>): Ipam {
  const options: HostLocal = {
    ranges: [{ prefix, ...reserve, gateway: address }],
    routes: [{ dst: '0.0.0.0/0', gw: address }],
    resolvConf: null,
    dataDir: null,
  };
  return { how: 'store', store: { dataDir: DEFAULT_DATA_DIR, network: name }, options };
}

const delegationOf = (request: Request, type: string): Delegation => {
  const { path, containerId, netns, ifname, argsText, text } = request;
  return { type, path, containerId, netns, ifname, args: argsText, text };
};

/** @throws CniError, NethooksError when there is no address to be had */
export function allocate(exec: Exec, request: Request, conf: Conf, ipam: Ipam): Allocation {
  if (ipam.how === 'none') return { result: EMPTY_RESULT, undo: () => {} };
  if (ipam.how === 'plugin') return allocateElsewhere(exec, conf, ipam.delegation);
  const { store, options } = ipam;
  const holder = { id: request.containerId, ifname: request.ifname };
  const wanted = wantedIn(options.ranges, conf.wantedIps);
  const reservation = reserveAddress(store, options.ranges, holder, {
    skip: options.ranges.map(({ gateway }) => gateway),
    ...(wanted === undefined ? {} : { wanted }),
  });
  const { address, fresh } = reservation;
  const range = options.ranges.find((one) => contains(`${one.gateway}/${one.prefix}`, address)) as Range;
  return {
    result: {
      interfaces: [],
      ips: [{ address: `${address}/${range.prefix}`, gateway: range.gateway }],
      routes: options.routes,
      dns: options.resolvConf === null ? {} : dnsFrom(options.resolvConf),
    },
    undo: () => {
      if (fresh) releaseAddress(store, holder, address);
    },
  };
}

function allocateElsewhere(exec: Exec, conf: Conf, delegation: Delegation): Allocation {
  const undo = (): void => {
    delegate(exec, 'DEL', delegation);
  };
  let result: Result;
  try {
    result = delegate(exec, 'ADD', delegation) ?? EMPTY_RESULT;
  } catch (error) {
    try {
      undo(); // it may have failed half-way
    } catch {
      // What matters is why it failed.
    }
    throw error;
  }
  if (result.ips.length > 0) {
    // The dhcp plugin before 1.0 drops routes of the configuration.
    const missing = routesOf(conf.ipam ?? {}).filter(({ dst }) => !result.routes.some((route) => route.dst === dst));
    return { result: { ...result, routes: [...result.routes, ...missing] }, undo };
  }
  undo();
  throw new CniError(CODE.failed, 'IPAM plugin returned missing IP config');
}

/** host-local gives each range set one of the requested addresses, and wants all of them used. */
function wantedIn(ranges: readonly Range[], wanted: readonly string[]): string | undefined {
  const inside = (address: string) =>
    !address.includes(':') && ranges.some(({ gateway, prefix }) => contains(`${gateway}/${prefix}`, address));
  const [first, ...rest] = wanted;
  const outside = [...wanted.filter((address) => !inside(address)), ...rest.filter(inside)];
  if (outside.length > 0)
    throw new CniError(
      CODE.config,
      `failed to allocate all requested IPs: ${outside.join(' ')}`,
      'one address per range set',
    );
  return first;
}

function dnsFrom(path: string): Result['dns'] {
  const text = readText(path);
  if (text === null) throw new CniError(CODE.config, `ipam.resolvConf: ${path} is not there`);
  const { nameservers, search, options } = parseResolvConf(text);
  return { nameservers, search, options };
}

/** Gives the addresses back; none is no error. */
export function release(exec: Exec, request: Request, ipam: Ipam): void {
  if (ipam.how === 'plugin') delegate(exec, 'DEL', ipam.delegation);
  if (ipam.how === 'store') releaseAddress(ipam.store, { id: request.containerId, ifname: request.ifname });
}
