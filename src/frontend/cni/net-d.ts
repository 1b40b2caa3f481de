/** Directories of network configurations (net.d): what we write there, and what is wrong with what is there. Pure. */

import standard from '../../../templates/net.d/99-default.conf.mustache' with { type: 'text' };
import restricted from '../../../templates/net.d/99-default-restricted.conf.mustache' with { type: 'text' };
import bridge from '../../../templates/net.d/custom_rkt_bridge.conf.mustache' with { type: 'text' };
import dhcp from '../../../templates/net.d/custom_rkt_bridge_dhcp.conf.mustache' with { type: 'text' };
import own from '../../../templates/net.d/network.conf.mustache' with { type: 'text' };
import ownList from '../../../templates/net.d/network.conflist.mustache' with { type: 'text' };
import { overlaps } from '../../model/address.ts';
import { isSafeName } from '../../model/names.ts';
import { fill } from '../../plan/template.ts';
import { type Conf, parseConf } from './conf.ts';
import { canonicalConf } from './keys.ts';
import { parseHostLocal } from './ranges.ts';
import { isRecord } from './result.ts';
import { atLeast, isVersion, OLDEST } from './versions.ts';

/** Whose directory it is: they differ in what they read. */
export type Runtime = 'rkt' | 'cni';

export const DIRECTORIES: Record<Runtime, string> = { rkt: '/etc/rkt/net.d', cni: '/etc/cni/net.d' };

/** Where the runtimes look for plugins. */
export const PLUGIN_DIRECTORIES: Record<Runtime, string[]> = {
  rkt: ['/etc/rkt/net.d', '/usr/lib/rkt/plugins/net'],
  cni: ['/opt/cni/bin', '/usr/libexec/cni', '/usr/lib/cni', '/usr/local/lib/cni'],
};

/** Plugins inside rkt's stage1 image. */
export const RKT_BRINGS = ['bridge', 'dhcp', 'flannel', 'host-local', 'ipvlan', 'macvlan', 'ptp', 'tuning'];

/** What templates/net.d/network.conf.mustache and network.conflist.mustache are filled in with. */
export interface NetworkView {
  name: string;
}

/** What templates/net.d/custom_rkt_bridge_dhcp.conf.mustache is filled in with. */
export interface MacvlanView {
  master: string;
}

export interface NetFile {
  /** Its name in the directory. */
  file: string;
  text: string;
}

/**
 * The files for a directory: our networks, and for rkt the networks that it knows, with our plugin.
 * @param master the interface that macvlan is on; null leaves that network out
 */
export function filesFor(runtime: Runtime, networks: readonly string[], master: string | null): NetFile[] {
  if (runtime === 'cni')
    // Behind others': some runtimes take the first one for their default.
    return networks.map((name) => ({
      file: `90-nethooks-${name}.conflist`,
      text: fill<NetworkView>(ownList, { name }),
    }));
  return [
    ...networks.map((name) => ({ file: `50-nethooks-${name}.conf`, text: fill<NetworkView>(own, { name }) })),
    { file: '99-default.conf', text: standard },
    { file: '99-default-restricted.conf', text: restricted },
    { file: 'custom_rkt_bridge.conf', text: bridge },
    ...(master === null ? [] : [{ file: 'custom_rkt_bridge_dhcp.conf', text: fill<MacvlanView>(dhcp, { master }) }]),
  ];
}

/** One network as a runtime would read it. */
export interface NetEntry {
  file: string;
  name: string;
  /** The plugins, in the order in which they are called. */
  types: string[];
  /** What ours would do; null when the first plugin is not ours. */
  kind: Conf['kind'] | null;
  /** Where the addresses come from: a subnet, or a plugin's name; empty for nowhere. */
  addresses: string;
  /** What is wrong, one line each. */
  problems: string[];
}

/** What the checks ask of the host. */
export interface NetFacts {
  /** Whether a plugin of that name can be run. */
  hasPlugin: (type: string) => boolean;
  /** Whether the dhcp plugin's daemon listens. */
  dhcpListens: boolean;
  /** Subnets of nethooks.ini, by network. */
  subnets: Record<string, string>;
}

/** Reads files in the order in which the runtime does: by name, and the first of a name counts. */
export function readEntries(runtime: Runtime, files: readonly NetFile[], facts: NetFacts): NetEntry[] {
  const entries: NetEntry[] = [];
  for (const one of [...files].sort((a, b) => (a.file < b.file ? -1 : 1))) {
    const entry = readEntry(runtime, one, facts);
    const earlier = entries.find(({ name }) => name !== '' && name === entry.name);
    if (earlier)
      entry.problems.push(`network ${entry.name} is defined in ${earlier.file} already: this one is ignored`);
    for (const other of entries)
      if (
        isSubnet(other.addresses) &&
        isSubnet(entry.addresses) &&
        overlaps(other.addresses, entry.addresses) &&
        !earlier
      )
        entry.problems.push(`subnet ${entry.addresses} overlaps ${other.addresses} of network ${other.name}`);
    entries.push(entry);
  }
  return entries;
}

function readEntry(runtime: Runtime, { file, text }: NetFile, facts: NetFacts): NetEntry {
  const entry: NetEntry = { file, name: '', types: [], kind: null, addresses: '', problems: [] };
  const given = json(text);
  if (!given) return { ...entry, problems: ['not a JSON object'] };
  const list = file.endsWith('.conflist');
  // Plugins take keys in any case; libcni does not where it reads a list itself.
  const conf = list ? given : canonicalConf(given);
  entry.name = typeof conf.name === 'string' ? conf.name : '';
  if (!isSafeName(entry.name))
    entry.problems.push(`name: ${JSON.stringify(conf.name)}: allowed: letters, digits, _ . -`);
  if (list && runtime === 'rkt') entry.problems.push('rkt reads no .conflist');
  const plugins = list ? (Array.isArray(conf.plugins) ? conf.plugins : []).filter(isRecord).map(canonicalConf) : [conf];
  if (plugins.length === 0) entry.problems.push('plugins: none');
  const version = conf.cniVersion ?? OLDEST;
  if (!isVersion(version)) entry.problems.push(`cniVersion: ${JSON.stringify(version)}: unknown`);
  else if (runtime === 'rkt' && atLeast(version, '0.3.0'))
    entry.problems.push(`cniVersion: ${version}: rkt understands results up to 0.2.0`);
  for (const plugin of plugins) {
    const type = String(plugin.type ?? '');
    entry.types.push(type);
    if (!facts.hasPlugin(type)) entry.problems.push(`plugin ${type || '(no type)'} is not installed`);
  }
  const first = plugins[0];
  if (first) readFirst(entry, { ...first, name: conf.name }, facts);
  return entry;
}

/** The plugin that makes the interface. */
function readFirst(entry: NetEntry, plugin: Record<string, unknown>, facts: NetFacts): void {
  const ipam = isRecord(plugin.ipam) ? plugin.ipam : {};
  const type = typeof ipam.type === 'string' ? ipam.type : '';
  try {
    if (/^nethooks(-|$)/.test(String(plugin.type))) {
      const conf = parseConf(plugin, {});
      entry.kind = conf.kind;
      if (conf.network !== null) {
        entry.addresses = facts.subnets[conf.network] ?? '';
        if (!facts.subnets[conf.network]) entry.problems.push(`network: ${conf.network} is not in nethooks.ini`);
        return;
      }
    }
    const local = type === 'host-local' || type === 'nethooks' ? parseHostLocal(ipam, undefined) : null;
    const ranges = local?.sets.flat().map(({ from, to }) => `${from}-${to}`);
    entry.addresses = ranges ? String(ipam.subnet ?? ranges.join(' ')) : type;
  } catch (error) {
    entry.problems.push((error as Error).message);
  }
  const ours = entry.kind !== null && (type === 'host-local' || type === 'nethooks');
  if (type !== '' && !ours && !facts.hasPlugin(type)) entry.problems.push(`ipam plugin ${type} is not installed`);
  if (type === 'dhcp' && facts.hasPlugin(type) && !facts.dhcpListens)
    entry.problems.push('the dhcp plugin needs its daemon: systemctl enable --now cni-dhcp.socket');
  for (const [network, subnet] of Object.entries(facts.subnets))
    if (isSubnet(entry.addresses) && overlaps(subnet, entry.addresses))
      entry.problems.push(`subnet ${entry.addresses} overlaps ${subnet} of network ${network} in nethooks.ini`);
}

const isSubnet = (text: string): boolean => /^[\d.]+\/\d+$/.test(text);

function json(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return isRecord(value) ? value : null;
  } catch {
    return null;
  }
}
