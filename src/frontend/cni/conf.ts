/** The network configuration: which of the stock plugins it would be for, and its keys, checked. Pure. */
import { isInterfaceName, isSafeName } from '../../model/names.ts';
import type { Wanted } from '../../plan/attachment/publish.ts';
import { present } from './dns.ts';
import { CniError, CODE } from './error.ts';
import { strings, text, wrong } from './fields.ts';
import { type Dns, isRecord, parseResult, type Result } from './result.ts';
import { aliasesOf, mappings, runtimeDns, wantedIps, wantedMac } from './runtime.ts';

/**
 * `network`: a network of nethooks.ini. `bridge`, `ptp`, `macvlan`, `ipvlan`: what the stock plugin of that name does. `dns`: only
 * names, after another plugin.
 */
export type Kind = 'network' | 'bridge' | 'ptp' | 'macvlan' | 'ipvlan' | 'dns';

export interface Conf {
  kind: Kind;
  /** The network of nethooks.ini; for `dns` optional. */
  network: string | null;
  bridge: string;
  isGateway: boolean;
  isDefaultGateway: boolean;
  forceAddress: boolean;
  hairpinMode: boolean;
  promiscMode: boolean;
  ipMasq: boolean;
  /** The interface below; null for that of the default route. */
  master: string | null;
  /** macvlan's or ipvlan's mode. */
  mode: string;
  /** Bytes; null for the default. */
  mtu: number | null;
  /** Null without addresses. `text` of the whole configuration is what a delegated plugin gets. */
  ipam: Record<string, unknown> | null;
  /** What the configuration says about name servers; null for nothing. */
  dns: Dns | null;
  /** What the runtime says. */
  runtimeDns: Dns;
  /** For `dns`: whether to write a resolv.conf that the runtime does not write. */
  resolvConf: boolean;
  /** For `dns`: the domain of the names; null for the network's. */
  domain: string | null;
  prevResult: Result | null;
  /** Addresses asked for, without prefix length. */
  wantedIps: string[];
  wantedMac: string | null;
  /** Names beside the container's own. */
  aliases: string[];
  /** Host ports that are to lead to the container. */
  publish: Wanted[];
}

const MACVLAN_MODES = ['bridge', 'private', 'vepa', 'passthru'];
const IPVLAN_MODES = ['l2', 'l3', 'l3s'];
const BRIDGE_KEYS = ['bridge', 'isGateway', 'isDefaultGateway', 'forceAddress', 'hairpinMode', 'promiscMode'];

/** Keys of the stock plugins that change what is isolated from what: ignoring them would be a lie. */
const UNSUPPORTED = [
  'vlan',
  'vlanTrunk',
  'macspoofchk',
  'portIsolation',
  'linkInContainer',
  'disableContainerInterface',
];

/**
 * @param args CNI_ARGS
 * @throws CniError (config) naming key, value and what is allowed; (unsupported) for what the stock plugin does and we do not
 */
export function parseConf(conf: Record<string, unknown>, args: Record<string, string>): Conf {
  const kind = kindOf(conf);
  for (const key of UNSUPPORTED)
    if (conf[key] !== undefined && conf[key] !== null && conf[key] !== false && conf[key] !== 0)
      throw new CniError(
        CODE.unsupported,
        `${key} is not supported by this version`,
        `${key} = ${JSON.stringify(conf[key])}`,
      );
  const runtime = isRecord(conf.runtimeConfig) ? conf.runtimeConfig : {};
  const ipam = conf.ipam === undefined || isEmpty(conf.ipam) ? null : record(conf, 'ipam');
  if (ipam && kind === 'network')
    throw new CniError(
      CODE.config,
      'network and ipam exclude each other',
      'addresses of a network come from its own reserve',
    );
  if (!ipam && (kind === 'ptp' || kind === 'ipvlan'))
    throw new CniError(CODE.config, `ipam: missing, and ${kind} needs addresses`);
  const isDefaultGateway = flag(conf, 'isDefaultGateway');
  const parsed: Conf = {
    kind,
    network: name(conf, 'network'),
    bridge: name(conf, 'bridge') ?? 'cni0',
    isGateway: isDefaultGateway || flag(conf, 'isGateway'),
    isDefaultGateway,
    forceAddress: flag(conf, 'forceAddress'),
    hairpinMode: flag(conf, 'hairpinMode'),
    promiscMode: flag(conf, 'promiscMode'),
    ipMasq: flag(conf, 'ipMasq'),
    master: name(conf, 'master'),
    mode: modeOf(kind, conf),
    mtu: mtuOf(conf),
    ipam,
    dns: dnsOf(conf),
    runtimeDns: runtimeDns(runtime),
    resolvConf: kind === 'dns' && flag(conf, 'resolvConf'),
    domain: text(conf, 'domain'),
    prevResult: conf.prevResult === undefined || conf.prevResult === null ? null : parseResult(conf.prevResult),
    wantedIps: wantedIps(conf, runtime, args),
    wantedMac: wantedMac(conf, runtime, args),
    aliases: aliasesOf(runtime.aliases, String(conf.name)),
    publish: publishOf(kind, runtime),
  };
  if (parsed.hairpinMode && parsed.promiscMode)
    throw new CniError(CODE.config, 'cannot set hairpin mode and promiscuous mode at the same time');
  return parsed;
}

/**
 * The plugin's file name says it (`nethooks-bridge`, …). For plain `nethooks` the keys do: those that only one stock plugin has.
 * What has none of them is ptp's, whose configuration is only `ipMasq` and `ipam`.
 */
function kindOf(conf: Record<string, unknown>): Kind {
  const named = /^nethooks-(bridge|ptp|macvlan|ipvlan|dns)$/.exec(String(conf.type))?.[1];
  if (named) return named as Kind;
  const has = (key: string) => conf[key] !== undefined && conf[key] !== null;
  if (has('network')) return 'network';
  if (conf.mode === 'ptp') return 'ptp';
  if (IPVLAN_MODES.includes(String(conf.mode))) return 'ipvlan';
  if (BRIDGE_KEYS.some(has)) return 'bridge';
  if (has('master') || MACVLAN_MODES.includes(String(conf.mode))) return 'macvlan';
  if (has('ipam')) return 'ptp';
  if (has('prevResult')) return 'dns';
  throw new CniError(
    CODE.config,
    'neither network nor ipam: it is not clear what to connect to',
    'allowed: "network": a network of nethooks.ini; or the keys of the stock plugin bridge, ptp, macvlan or ipvlan',
  );
}

/** The kind of a configuration that may be broken otherwise; null where its keys do not say. */
export function kindIfClear(conf: Record<string, unknown>): Kind | null {
  try {
    return kindOf(conf);
  } catch {
    return null;
  }
}

/** Elsewhere than on our networks the stock portmap does it, chained after us: it must not look as if we did. */
function publishOf(kind: Kind, runtime: Record<string, unknown>): Wanted[] {
  const wanted = kind === 'dns' ? [] : mappings(runtime);
  if (kind === 'network' || wanted.length === 0) return wanted;
  throw new CniError(CODE.unsupported, `portMappings: not for ${kind}`, 'allowed: the plugin portmap after this one');
}

function modeOf(kind: Kind, conf: Record<string, unknown>): string {
  if (kind !== 'macvlan' && kind !== 'ipvlan') return '';
  const allowed = kind === 'macvlan' ? MACVLAN_MODES : IPVLAN_MODES;
  const mode = text(conf, 'mode') || (allowed[0] as string);
  if (allowed.includes(mode)) return mode;
  throw wrong('mode', mode, allowed.join(', '));
}

function mtuOf({ mtu }: Record<string, unknown>): number | null {
  if (mtu === 0 || mtu === undefined || mtu === null) return null;
  if (typeof mtu === 'number' && Number.isInteger(mtu) && mtu >= 68 && mtu <= 65535) return mtu;
  throw wrong('mtu', mtu, 'bytes from 68 to 65535');
}

/** An empty list says something, as in the stock plugins (dnsConfSet); null and an empty domain do not. */
function dnsOf(conf: Record<string, unknown>): Dns | null {
  const dns = conf.dns === undefined || conf.dns === null ? {} : record(conf, 'dns');
  const domain = text(dns, 'domain');
  const lists = ['nameservers', 'search', 'options'] as const;
  const given = lists.filter((key) => dns[key] !== undefined && dns[key] !== null);
  if (given.length === 0 && domain === null) return null;
  return present({
    ...Object.fromEntries(given.map((key) => [key, strings(dns, key)])),
    ...(domain === null ? {} : { domain }),
  });
}

/** A name of an interface, or of a network, which is its bridge's. */
function name(conf: Record<string, unknown>, key: string): string | null {
  const value = text(conf, key);
  if (value === null || (isInterfaceName(value) && (key !== 'network' || isSafeName(value)))) return value;
  throw wrong(key, value, 'the name of an interface, up to 15 characters');
}

function flag(conf: Record<string, unknown>, key: string): boolean {
  const value = conf[key] ?? false;
  if (typeof value === 'boolean') return value;
  throw wrong(key, value, 'true, false');
}

function record(conf: Record<string, unknown>, key: string): Record<string, unknown> {
  const value = conf[key];
  if (isRecord(value)) return value;
  throw wrong(key, value, 'a JSON object');
}

const isEmpty = (value: unknown): boolean => value === null || (isRecord(value) && Object.keys(value).length === 0);
