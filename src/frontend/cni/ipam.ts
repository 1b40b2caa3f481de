/** Where a container's addresses come from: our store, which is host-local's, or another plugin. */
import type { NetworkConfig } from '../../model/config.ts';
import { type AddressStore, DEFAULT_DATA_DIR, releaseAddress, reserveAddress } from '../../store/address-store.ts';
import type { Exec } from '../../system/exec.ts';
import { readText } from '../../system/files.ts';
import type { Conf } from './conf.ts';
import { type Delegation, delegate } from './delegate.ts';
import { parseHostLocalDns } from './dns.ts';
import { CniError, CODE } from './error.ts';
import { type HostLocal, inSubnet, parseHostLocal, type Range, routesOf, wantedIn } from './ranges.ts';
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
}: Pick<NetworkConfig, 'name' | 'address' | 'prefix' | 'reserve'>): Ipam {
  const options: HostLocal = {
    sets: [[{ prefix, ...reserve, gateway: address }]],
    routes: [{ dst: '0.0.0.0/0', gw: address }],
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

/** @throws CniError, NethooksError when there is no address to be had */
export function allocate(exec: Exec, request: Request, conf: Conf, ipam: Ipam): Allocation {
  if (ipam.how === 'none') return { result: EMPTY_RESULT, undo: () => {} };
  if (ipam.how === 'plugin') return allocateElsewhere(exec, conf, ipam.delegation);
  const { store, options } = ipam;
  const { sets } = options;
  const holder = { id: request.containerId, ifname: request.ifname };
  const wanted = wantedIn(sets, conf.wantedIps);
  const skip = sets.flat().map(({ gateway }) => gateway);
  const fresh: string[] = [];
  const undo = (): void => {
    for (const address of fresh) releaseAddress(store, holder, address);
  };
  try {
    const ips = sets.map((ranges, set) => {
      const own = wanted[set];
      const reservation = reserveAddress(store, ranges, holder, {
        skip,
        set,
        ...(own === undefined ? {} : { wanted: own }),
      });
      const { address } = reservation;
      if (reservation.fresh) fresh.push(address);
      const { prefix, gateway } = ranges.find((one) => inSubnet(one, address)) as Range;
      return { address: `${address}/${prefix}`, gateway };
    });
    const dns = options.resolvConf === null ? {} : dnsFrom(options.resolvConf);
    return { result: { interfaces: [], ips, routes: options.routes, dns }, undo };
  } catch (error) {
    undo();
    throw error;
  }
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

function dnsFrom(path: string): Result['dns'] {
  const text = readText(path);
  if (text === null) throw new CniError(CODE.config, `ipam.resolvConf: ${path} is not there`);
  return parseHostLocalDns(text);
}

/** Gives the addresses back; none is no error. */
export function release(exec: Exec, request: Request, ipam: Ipam): void {
  if (ipam.how === 'plugin') delegate(exec, 'DEL', ipam.delegation);
  if (ipam.how === 'store') releaseAddress(ipam.store, { id: request.containerId, ifname: request.ifname });
}
