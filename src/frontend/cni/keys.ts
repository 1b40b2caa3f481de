/**
 * Keys of JSON objects in any case, as the stock plugins read them: Go's encoding/json takes a key for the struct field that it folds
 * to, so `isgateway` and `IPMasq` work there. Pure.
 */
import { isRecord } from './fields.ts';

/** What Go reads into a struct: its keys as the documentation writes them, a list of such, or (null) a value that is kept as it is. */
export type Shape = null | readonly [Shape] | { readonly [key: string]: Shape };

const DNS: Shape = { nameservers: null, domain: null, search: null, options: null };
const ROUTE: Shape = { dst: null, gw: null, mtu: null, advmss: null, priority: null, table: null, scope: null };
const RANGE = { subnet: null, rangeStart: null, rangeEnd: null, gateway: null };
const FAMILY: Shape = { ip: null, gateway: null, routes: [ROUTE] };

/** A result, in the form of any version. */
export const RESULT: Shape = {
  cniVersion: null,
  interfaces: [{ name: null, mac: null, mtu: null, sandbox: null, socketPath: null, pciID: null }],
  ips: [{ version: null, interface: null, address: null, gateway: null }],
  routes: [ROUTE],
  dns: DNS,
  ip4: FAMILY,
  ip6: FAMILY,
};

/** A plugin's configuration: CNI's keys, those of the stock plugins that ours stand in for, and our own. */
const CONFIGURATION: Shape = {
  cniVersion: null,
  name: null,
  type: null,
  bridge: null,
  isGateway: null,
  isDefaultGateway: null,
  forceAddress: null,
  ipMasq: null,
  mtu: null,
  hairpinMode: null,
  promiscMode: null,
  vlan: null,
  vlanTrunk: null,
  macspoofchk: null,
  portIsolation: null,
  disableContainerInterface: null,
  master: null,
  mode: null,
  mac: null,
  linkInContainer: null,
  network: null,
  resolvConf: null,
  domain: null,
  ipam: { type: null, ...RANGE, ranges: [[RANGE]], routes: [ROUTE], dataDir: null, resolvConf: null },
  dns: DNS,
  args: { cni: { ips: null, mac: null } },
  runtimeConfig: {
    mac: null,
    ips: null,
    ipRanges: [[RANGE]],
    dns: { servers: null, searches: null, options: null },
    portMappings: [{ hostPort: null, containerPort: null, protocol: null, hostIP: null }],
    aliases: null,
  },
  prevResult: RESULT,
  'cni.dev/valid-attachments': [{ containerID: null, ifname: null }],
};

/**
 * The value with the keys that its shape knows as the shape writes them. Of several that fold to one the last counts, exact or not,
 * objects are merged, and null does not undo what came before, as in Go (encoding/json, Unmarshal). Keys that the shape does not know
 * stay as they are.
 */
export function canonicalKeys(value: unknown, shape: Shape): unknown {
  if (shape === null) return value;
  if (isList(shape)) return Array.isArray(value) ? value.map((one) => canonicalKeys(one, shape[0])) : value;
  if (!isRecord(value)) return value;
  let names: Map<string, string> | undefined;
  const folded = (key: string): string | undefined => {
    names ??= new Map(Object.keys(shape).map((name) => [fold(name), name]));
    return names.get(fold(key));
  };
  const found = new Map<string, unknown>();
  for (const [key, raw] of Object.entries(value)) {
    // Nearly every key is written so already.
    const name = Object.hasOwn(shape, key) ? key : folded(key);
    const one = name === undefined ? raw : canonicalKeys(raw, shape[name] ?? null);
    const earlier = found.get(name ?? key);
    if (one === null && earlier !== undefined) continue;
    found.set(name ?? key, isRecord(earlier) && isRecord(one) ? { ...earlier, ...one } : one);
  }
  return Object.fromEntries(found);
}

/** A plugin's configuration with its keys as the documentation writes them. */
export const canonicalConf = (conf: Record<string, unknown>): Record<string, unknown> =>
  canonicalKeys(conf, CONFIGURATION) as Record<string, unknown>;

const isList = (shape: object): shape is readonly [Shape] => Array.isArray(shape);

/** Simple case folding of Unicode, as far as it concerns ASCII: U+017F is an s, U+212A a k, which toLowerCase knows by itself. */
const fold = (key: string): string => key.replaceAll('\u017f', 's').toLowerCase();
