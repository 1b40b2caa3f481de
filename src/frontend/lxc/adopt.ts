/**
 * A container's LXC configuration, brought onto a network of ours, or off it: pure. What is ours stands in one marked block; the rest
 * is never touched, so that taking the block out gives the file back byte for byte.
 */

import { dirname } from 'node:path';
import { NethooksError } from '../../errors.ts';
import { contains } from '../../model/address.ts';
import {
  type LxcSetting,
  lastValue,
  listedValues,
  parseLxcConfig,
  type ReadInclude,
  readLxcConfig,
} from '../../model/lxc-config.ts';
import { isSafeName } from '../../model/names.ts';
import { linkEnvironmentPath } from '../../model/paths.ts';
import { withBlock, withoutBlock } from '../../plan/marked-block.ts';
import { nicsOf } from './lxc-config.ts';

/** Docker's --net. */
export type Mode =
  | { kind: 'bridge'; network: string | null }
  | { kind: 'none' }
  | { kind: 'host' }
  | { kind: 'container'; name: string };

const HOOKS = ['start-host', 'post-stop', 'clone', 'destroy'] as const;

export interface AdoptSpec {
  /** null: as it is; a container whose first interface is no veth, or that shares another one's network, is not moved then. */
  mode: Mode | null;
  /** The network for interface 0 unless the mode or the file says another. */
  fallback: string;
  networks: readonly { name: string; subnet: string }[];
  /** The networks that further interfaces are to be on, by the N of lxc.net.N. */
  nics: Readonly<Record<string, string>>;
  /** The directory of our LXC hooks. */
  hooks: string;
  /** A file that it is to include; null for none. */
  include: string | null;
  /** Whether it keeps CAP_NET_ADMIN on a network that is not its own. */
  netAdmin: boolean;
  /** MACs of interfaces that would get another one at each start, by the N of lxc.net.N. */
  macs?: Readonly<Record<string, string>>;
}

/** Reads `bridge[:NETWORK]`, `none`, `host`, `container:NAME`, or a network's name alone. */
export function parseMode(text: string, networks: readonly string[]): Mode {
  const [kind = '', name, ...rest] = text.split(':');
  const known = (network: string): boolean => networks.includes(network);
  if (rest.length === 0) {
    if (kind === 'bridge' && (name === undefined || known(name))) return { kind, network: name ?? null };
    if ((kind === 'none' || kind === 'host') && name === undefined) return { kind };
    if (kind === 'container' && name !== undefined && isSafeName(name)) return { kind, name };
    if (name === undefined && known(kind)) return { kind: 'bridge', network: kind };
  }
  throw new NethooksError(
    `--net ${text}: allowed: bridge, bridge:NETWORK (${networks.join(', ')}), none, host, container:NAME`,
    2,
  );
}

/** The text as it was before us: without our block, or with the one that lxc-create copied from default.conf. */
export function originalOf(text: string, backup: string | null): string {
  const block = backup === null ? null : blockOf(backup);
  if (backup === null) return text;
  if (withoutBlock(text) === withoutBlock(backup)) return backup;
  return block ? withBlock(text, block) : withoutBlock(text);
}

/** The text as it is to be; equal to `original` when nothing is missing. */
export function adopted(original: string, spec: AdoptSpec, read: ReadInclude): string {
  if (parseLxcConfig(original).some(({ key }) => key.startsWith('lxc.network.')))
    throw new NethooksError('it is written for LXC before 2.1; `lxc-update-config -c FILE` brings it up to date first');
  const lines = [
    ...netLines(original, spec, read),
    ...capabilityLines(original, spec, read),
    ...Object.entries(spec.macs ?? {}).map(([index, mac]) => `lxc.net.${index}.hwaddr = ${mac}`),
    ...hookLines(original, spec, read),
  ];
  if (spec.include !== null) lines.push(`lxc.include = ${spec.include}`);
  return lines.length === 0 ? original : withBlock(original, [...(blockOf(original) ?? []), ...lines]);
}

/**
 * The first line behind our block that puts an interface elsewhere than what we added to the block says; null when there is none. A
 * line behind what lxc-create copied from default.conf is somebody's wish, as long as `configure` was asked for nothing else.
 */
export function overridingLine(text: string, original: string, read: ReadInclude): PlacedLine | null {
  const added = (blockOf(text) ?? []).slice(blockOf(original)?.length ?? 0);
  if (!added.some((line) => /^lxc\.(net\b|namespace\.share)/.test(line))) return null;
  const lines = text.split('\n');
  const end = lines.findIndex((line) => line.trimEnd() === '# nethooks end');
  const wanted = new Set(
    parseLxcConfig(added.join('\n')).flatMap(({ key }) => key.match(/^lxc\.net\.(\d+)/)?.[1] ?? []),
  );
  /** Where the interfaces that we have put somewhere are, after so many lines. */
  const after = (count: number): string => {
    const settings = readLxcConfig(lines.slice(0, count).join('\n'), read);
    const places = nicsOf(settings).map(({ index, type, link, up }) => ({ index, type, link, up }));
    const shared = lastValue(settings, 'lxc.namespace.share.net');
    return JSON.stringify([places.filter(({ index }) => wanted.has(String(index))), shared]);
  };
  const ours = after(end + 1);
  if (after(lines.length) === ours) return null;
  return lineBehind(lines, end, (count) => after(count) !== ours);
}

/** A line of a file. */
export interface PlacedLine {
  /** How many lines stand behind it. */
  fromEnd: number;
  text: string;
}

/** The first line behind `end` with which something holds of the text. */
function lineBehind(lines: readonly string[], end: number, holds: (count: number) => boolean): PlacedLine {
  const index = lines.findIndex((_, place) => place > end && holds(place + 1));
  return { fromEnd: lines.length - 1 - index, text: (lines[index] ?? '').trim() };
}

/**
 * The line behind our block that gives CAP_NET_ADMIN back, which the block takes; null when there is none, or the block does not take it.
 */
export function regainingLine(text: string, read: ReadInclude): PlacedLine | null {
  if (!(blockOf(text) ?? []).some((line) => line.startsWith('lxc.cap.'))) return null;
  const lines = text.split('\n');
  const end = lines.findIndex((line) => line.trimEnd() === '# nethooks end');
  const holds = (count: number): boolean => hasNetAdmin(readLxcConfig(lines.slice(0, count).join('\n'), read));
  return holds(lines.length) ? lineBehind(lines, end, holds) : null;
}

/** The MACs that our additions give its interfaces. */
export function macsIn(text: string, original: string): Record<string, string> {
  const added = (blockOf(text) ?? []).slice(blockOf(original)?.length ?? 0);
  return Object.fromEntries(
    added.flatMap((line) => {
      const [, index, mac] = /^lxc\.net\.(\d+)\.hwaddr = (\S+)$/.exec(line) ?? [];
      return index !== undefined && mac !== undefined ? [[index, mac] as const] : [];
    }),
  );
}

/** The mode that our additions put a container in; null when they leave it as it was. */
export function modeOf(text: string, original: string): Mode | null {
  const added = (blockOf(text) ?? []).slice(blockOf(original)?.length ?? 0);
  const value = (key: string): string | undefined =>
    added.find((line) => line.startsWith(`${key} = `))?.slice(key.length + 3);
  const shared = value('lxc.namespace.share.net');
  if (shared) return { kind: 'container', name: shared };
  const type = value('lxc.net.0.type');
  if (type === 'none') return { kind: 'host' };
  if (type === 'empty') return { kind: 'none' };
  const network = value('lxc.net.0.link');
  return network === undefined ? null : { kind: 'bridge', network };
}

/** Whether a container is on the host's network, on nobody's, or on another container's: then it has none of ours. */
export function shares(text: string, read: ReadInclude): string | null {
  return lastValue(readLxcConfig(text, read), 'lxc.namespace.share.net');
}

/** The directory that is its root; null for another kind of storage, which has to be mounted first. */
export function rootOf(text: string, read: ReadInclude): string | null {
  const [, path = null] = /^(?:dir:)?(\/.*)$/.exec(lastValue(readLxcConfig(text, read), 'lxc.rootfs.path') ?? '') ?? [];
  return path;
}

/** The words behind our start-host on its hook line, as the shell splits them; null without our hook. */
export function hookWords(text: string, read: ReadInclude): string[] | null {
  const hooks = listedValues(readLxcConfig(text, read), 'lxc.hook.start-host');
  const ours = hooks.find((hook) => isOurs(hook, 'start-host'));
  if (ours === undefined) return null;
  const words = ours.match(/(?:'[^']*'|"[^"]*"|[^\s'"])+/g) ?? [];
  return words.slice(1).map((word) => word.replace(/'([^']*)'|"([^"]*)"/g, '$1$2'));
}

function netLines(text: string, { mode, fallback, networks, nics: further }: AdoptSpec, read: ReadInclude): string[] {
  const settings = readLxcConfig(text, read);
  const nics = nicsOf(settings);
  const clear = ['lxc.net ='];
  if (mode?.kind === 'none') return [...clear, 'lxc.net.0.type = empty'];
  if (mode?.kind === 'host') return [...clear, 'lxc.net.0.type = none'];
  if (mode?.kind === 'container') return [...clear, `lxc.namespace.share.net = ${mode.name}`];
  const first = nics.find(({ index }) => index === 0);
  const shared = lastValue(settings, 'lxc.namespace.share.net');
  if (mode === null && (shared !== null || (first && first.type !== 'veth'))) return [];
  const known = (name: string | undefined) => networks.find((network) => network.name === name);
  const present = known(first?.link)?.name ?? fallback;
  const wanted: Record<string, string> = { ...further, 0: mode?.network ?? present };
  const unshare = shared === null ? [] : ['lxc.namespace.share.net ='];
  const lines = Object.entries(wanted).flatMap(([index, network]) => {
    const nic = nics.find((candidate) => candidate.index === Number(index));
    const key = `lxc.net.${index}`;
    // A type line makes LXC forget the other lines of the interface: only where it has to change.
    if (nic?.type !== 'veth') return [`${key}.type = veth`, `${key}.link = ${network}`, `${key}.flags = up`];
    // Addresses of the network that it comes from mean nothing here.
    const subnet = known(network)?.subnet;
    const foreign = nic.addresses.some((address) => subnet && !contains(subnet, address.split('/')[0] as string));
    return [
      ...(nic.link === network ? [] : [`${key}.link = ${network}`]),
      ...(nic.up ? [] : [`${key}.flags = up`]),
      ...(foreign ? [`${key}.ipv4.address =`] : []),
      ...(foreign && nic.gateway !== undefined ? [`${key}.ipv4.gateway =`] : []),
    ];
  });
  return [...unshare, ...lines];
}

const NET_ADMIN = ['net_admin', '12'];
const isNetAdmin = (capability: string): boolean => NET_ADMIN.includes(capability);
/** The capabilities that lines of a key name; `none` takes back what stands before it. */
function capabilities(settings: readonly LxcSetting[], key: string): string[] {
  const words = listedValues(settings, key).flatMap((value) => value.split(/\s+/).filter(Boolean));
  return words.slice(words.lastIndexOf('none') + 1);
}

/** Whether it may change the network that it is on, also where that is the host's: not from a user namespace of its own. */
function hasNetAdmin(settings: readonly LxcSetting[]): boolean {
  if (listedValues(settings, 'lxc.idmap').length > 0) return false;
  if (listedValues(settings, 'lxc.cap.keep').length > 0) return capabilities(settings, 'lxc.cap.keep').some(isNetAdmin);
  return !capabilities(settings, 'lxc.cap.drop').some(isNetAdmin);
}

/**
 * On a network that is not its own a container does without CAP_NET_ADMIN, as Docker's do: its DHCP client would take the host's addresses
 * away. LXC takes either a list of what is dropped or one of what is kept.
 */
function capabilityLines(text: string, { mode, netAdmin }: AdoptSpec, read: ReadInclude): string[] {
  const settings = readLxcConfig(text, read);
  if (netAdmin || (mode?.kind !== 'host' && mode?.kind !== 'container') || !hasNetAdmin(settings)) return [];
  if (listedValues(settings, 'lxc.cap.keep').length === 0) return ['lxc.cap.drop = net_admin'];
  const rest = capabilities(settings, 'lxc.cap.keep').filter((capability) => !isNetAdmin(capability));
  return ['lxc.cap.keep =', `lxc.cap.keep = ${rest.join(' ') || 'none'}`];
}

/** Each hook of ours that is missing. Ours run in both versions; a container with other hooks keeps the version they are for. */
function hookLines(text: string, { hooks, mode }: AdoptSpec, read: ReadInclude): string[] {
  const settings = readLxcConfig(text, read);
  const present = new Set(settings.map(({ key }) => key).filter((key) => key.startsWith('lxc.hook.')));
  const wanted = mode?.kind === 'container' ? (['pre-start', ...HOOKS] as const) : HOOKS;
  const missing = wanted.filter((hook) => !listedValues(settings, `lxc.hook.${hook}`).some((one) => isOurs(one, hook)));
  const version = [...present].every((key) => listedValues(settings, key).length === 0) ? ['lxc.hook.version = 1'] : [];
  return [...version, ...missing.map((hook) => `lxc.hook.${hook} = ${hooks}/${hook}`)];
}

/** Which of our hooks a configuration does not call. */
export function missingHooks(text: string, read: ReadInclude): string[] {
  const settings = readLxcConfig(text, read);
  return HOOKS.filter((hook) => !listedValues(settings, `lxc.hook.${hook}`).some((one) => isOurs(one, hook)));
}

const isOurs = (value: string, hook: string): boolean =>
  new RegExp(`^['"]?/\\S*/nethooks/lxc/${hook}['"]?(\\s|$)`).test(value);

/** The text with the environment of a container's links included from this file only; null for none. */
export function withLinkInclude(text: string, path: string | null): string {
  const isInclude = (line: string): boolean =>
    parseLxcConfig(line).some(
      ({ key, value }) => key === 'lxc.include' && dirname(value) === dirname(linkEnvironmentPath('-')),
    );
  const lines = text.split(/(?<=\n)/).filter((line) => !isInclude(line));
  const without = lines.join('');
  const block = path === null ? null : blockOf(without);
  return block === null ? without : withBlock(without, [...block, `lxc.include = ${path}`]);
}

/** The lines between our markers; null without a block. */
export function blockOf(text: string): string[] | null {
  if (withoutBlock(text) === text) return null;
  const lines = text.split('\n').map((line) => line.trimEnd());
  return lines.slice(lines.indexOf('# nethooks begin') + 1, lines.indexOf('# nethooks end'));
}
