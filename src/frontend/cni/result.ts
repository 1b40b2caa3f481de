/**
 * A plugin's result, inside always in the shape of spec 1.1.0, and its forms on the wire (SPEC.md, "Success"; for 0.1.0 and 0.2.0
 * containernetworking/cni, pkg/types/020). Pure.
 */
import { isV6 } from '../../model/address.ts';
import { CniError, CODE } from './error.ts';
import { isRecord } from './fields.ts';
import { canonicalKeys, RESULT } from './keys.ts';
import { atLeast, type Version } from './versions.ts';

export { isRecord };

export interface Dns {
  nameservers?: string[];
  domain?: string;
  search?: string[];
  options?: string[];
}

export interface Interface {
  name: string;
  mac?: string;
  /** Bytes. */
  mtu?: number;
  /** The network namespace's path; without it, the interface is the host's. */
  sandbox?: string;
  socketPath?: string;
  pciID?: string;
}

export interface Ip {
  /** With prefix length: `10.1.0.5/16`. */
  address: string;
  gateway?: string;
  /** Index in `interfaces`. */
  interface?: number;
}

export interface Route {
  dst: string;
  gw?: string;
  mtu?: number;
  advmss?: number;
  priority?: number;
  table?: number;
  scope?: number;
}

export interface Result {
  interfaces: Interface[];
  ips: Ip[];
  routes: Route[];
  dns: Dns;
}

export const EMPTY_RESULT: Result = { interfaces: [], ips: [], routes: [], dns: {} };

/** Whether it says where everything else is. */
export const isDefault = ({ dst }: Route): boolean => /^(0\.0\.0\.0|::)\/0$/.test(dst);

/** The result as version `version` wants it, as one line of JSON. */
export function renderResult(result: Result, version: Version): string {
  const { ips, dns } = result;
  if (!atLeast(version, '0.3.0')) return JSON.stringify({ cniVersion: version, ...families(result), dns });
  const interfaces = result.interfaces.map(({ name, mac, sandbox, mtu, socketPath, pciID }) => ({
    name,
    mac,
    ...(atLeast(version, '1.1.0') ? { mtu, socketPath, pciID } : {}),
    sandbox,
  }));
  const routes = result.routes.map((route) => (atLeast(version, '1.1.0') ? route : plain(route)));
  return JSON.stringify({
    cniVersion: version,
    ...(interfaces.length > 0 ? { interfaces } : {}),
    ...(ips.length > 0
      ? { ips: atLeast(version, '1.0.0') ? ips : ips.map((ip) => ({ version: isV6(ip.address) ? '6' : '4', ...ip })) }
      : {}),
    ...(routes.length > 0 ? { routes } : {}),
    dns,
  });
}

/** 0.1.0 and 0.2.0 know one address per family, each with its routes, and no interfaces. */
function families({ ips, routes }: Result): Record<string, unknown> {
  const family = (v6: boolean) => {
    const ip = ips.find(({ address }) => isV6(address) === v6);
    const own = routes.filter(({ dst }) => isV6(dst) === v6).map(plain);
    return ip && { ip: ip.address, gateway: ip.gateway, ...(own.length > 0 ? { routes: own } : {}) };
  };
  return { ip4: family(false), ip6: family(true) };
}

const plain = ({ dst, gw }: Route): Route => (gw === undefined ? { dst } : { dst, gw });

/**
 * A result in any version's form.
 * @throws CniError (decode) when it is none
 */
export function parseResult(given: unknown): Result {
  const value = canonicalKeys(given, RESULT);
  if (!isRecord(value)) throw new CniError(CODE.decode, 'the result is no JSON object');
  const families = [value.ip4, value.ip6].filter(isRecord);
  return {
    interfaces: list(value, 'interfaces').map((entry) => {
      if (typeof entry.name !== 'string') throw malformed('interfaces', entry);
      return entry as unknown as Interface;
    }),
    ips: [
      ...list(value, 'ips').map(({ version: _version, ...entry }) => {
        if (typeof entry.address !== 'string') throw malformed('ips', entry);
        return entry as unknown as Ip;
      }),
      ...families.map(({ ip, gateway }) => {
        if (typeof ip !== 'string') throw malformed('ip', ip);
        return { address: ip, ...(typeof gateway === 'string' ? { gateway } : {}) };
      }),
    ],
    routes: [value, ...families].flatMap((holder) =>
      list(holder, 'routes').map((entry) => {
        if (typeof entry.dst !== 'string') throw malformed('routes', entry);
        return entry as unknown as Route;
      }),
    ),
    dns: isRecord(value.dns) ? (value.dns as Dns) : {},
  };
}

function list(holder: Record<string, unknown>, key: string): Record<string, unknown>[] {
  const value = holder[key] ?? [];
  if (!Array.isArray(value) || !value.every(isRecord)) throw malformed(key, value);
  return value;
}

const malformed = (key: string, value: unknown): CniError =>
  new CniError(CODE.decode, `${key} in the result: ${JSON.stringify(value)}`);
