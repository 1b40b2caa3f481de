/** What `nethooks configure` would change in files, for one container: nothing is written here. */

import { linkEnvironmentOf } from '../../attachment/link-files.ts';
import { resolveLink } from '../../attachment/take.ts';
import { readFlagFaults, resolveContainer } from '../../config/container.ts';
import { parseFlags } from '../../config/flags.ts';
import { readIni } from '../../config/ini.ts';
import { NethooksError } from '../../errors.ts';
import type { Config } from '../../model/config.ts';
import { isNicKey, keysNeedingNetwork } from '../../model/container-keys.ts';
import type { ContainerOptions } from '../../model/container-options.ts';
import { containerFile, linkEnvironmentPath, lxcConfigBackup } from '../../model/paths.ts';
import { parsePortSpec, samePublication } from '../../model/ports.ts';
import { splitList } from '../../model/spelling.ts';
import type { Step } from '../../model/step.ts';
import { isEmptyIni, type KeyValue, setKey, WRITTEN } from '../../plan/ini-edit.ts';
import { readText } from '../../system/files.ts';
import { readInclude } from '../../system/lxc-include.ts';
import {
  adopted,
  hookWords,
  type Mode,
  macsIn,
  modeOf,
  originalOf,
  overridingLine,
  type PlacedLine,
  regainingLine,
  shares,
} from './adopt.ts';
import { giveBack } from './give-back.ts';
import { withIncludes } from './lxc-config.ts';
import type { Remaining } from './release.ts';
import { type MemberNic, memberNics } from './spec.ts';

export interface ConfigureRequest {
  name: string;
  /** Its LXC configuration. */
  configFile: string;
  /** Docker's --net; null leaves it as it is. */
  mode: Mode | null;
  /** Flags, as on a hook line: each sets its key, for all of its values; but ports are added to those that are published. */
  words: readonly string[];
  /** Published ports to take out. */
  unpublish: readonly string[];
  /** Keys to take out; those of an interface from interface `nic`. */
  without: readonly string[];
  /** The N of lxc.net.N. */
  nic: string;
  /** Take out again what `configure` wrote. */
  remove: boolean;
  /** MACs that interfaces are to have from now on, by the N of lxc.net.N: those that they have. */
  macs?: Readonly<Record<string, string>>;
  /** With `remove`: also what was there before `configure` and is ours, given what is left then. */
  release: Remaining | null;
}

export interface Configured {
  steps: Step[];
  /** What its options are then. */
  options: ContainerOptions;
  members: MemberNic[];
  /** The container whose network it is on; null for one of its own. */
  shares: string | null;
  /** Whether its LXC configuration is as it is without nethooks. */
  released: boolean;
  /** What people should know. */
  notes: string[];
}

/**
 * @param hooks the directory of our LXC hooks
 * @throws NethooksError for anything wrong in what is asked for, or in what is there
 */
export function planConfigure(config: Config, hooks: string, request: ConfigureRequest): Configured {
  const { name, configFile, words, remove } = request;
  readFlagFaults(words);
  const ini = containerFile(name);
  const iniBefore = readText(ini);
  const iniAfter = remove ? null : edited(iniBefore, request);
  const text = readText(configFile) ?? '';
  const backup = readText(lxcConfigBackup(configFile));
  const original = originalOf(text, backup);
  const ours = hookWords(original, readInclude);
  const line = ours ?? [];
  const { options, problems } = resolveContainer(name, { text: iniAfter, words: remove ? [] : line });
  if (problems.length > 0) throw new NethooksError(problems.map(({ message }) => message).join('\n'));
  const include = options.link.length > 0 ? linkEnvironmentPath(name) : null;
  const after = remove ? original : adoptedText(config, hooks, request, { text, original, options, include });
  const members = remove && ours === null ? [] : networksOf(config, after, options);
  const environment = environmentSteps(request, options, members);
  const given = remove && request.release !== null ? giveBack({ name, configFile }, request.release) : null;
  const keep = fileStep(lxcConfigBackup(configFile), backup, after === original ? null : original);
  const change = fileStep(configFile, text, after);
  // The backup is there before the file is changed, and until it is as it was: a run that is killed in between is completed by the next.
  const lxc = given?.steps ?? (after === original ? [...change, ...keep] : [...keep, ...change]);
  return {
    steps: [...environment.write, ...fileStep(ini, iniBefore, iniAfter), ...lxc, ...environment.remove],
    options,
    members,
    shares: shares(after, readInclude),
    released: given !== null && given.steps.length > 0,
    notes: [...overridden(line, words), ...(given?.notes ?? [])],
  };
}

/** The container's file with the flags in it; null when nothing is left in it that says something. */
function edited(before: string | null, { words, without, unpublish, nic }: ConfigureRequest): string | null {
  const { net, ...top } = parseFlags(words, () => undefined);
  let text = before ?? '';
  const set = (section: string, key: string, value: KeyValue): void => {
    text = setKey(text, section, key, value);
  };
  for (const key of without) set(nic !== '0' && isNicKey(key) ? `net.${nic}` : '', key, null);
  if (top.publish || unpublish.length > 0)
    top.publish = publicationsWith(publicationsIn(text), (top.publish as string[] | undefined) ?? [], unpublish);
  for (const [key, value] of Object.entries(top)) set('', key, value as string | string[]);
  for (const [index, keys] of Object.entries(net))
    for (const [key, value] of Object.entries(keys)) set(index === '0' ? '' : `net.${index}`, key, value);
  if (text.startsWith(WRITTEN) && isEmptyIni(text)) return null;
  return before === null && text !== '' ? `${WRITTEN}\n${text}` : text || null;
}

/** As they were written. */
function publicationsIn(text: string): string[] {
  const { publish = [] } = readIni(text, { top: true }).data as { publish?: unknown };
  return [publish].flat().flatMap((value) => (Array.isArray(publish) ? [String(value)] : splitList(String(value))));
}

/** Whether two say the same, in whichever form. One that is malformed can be taken out, too. */
function isSame(one: string, other: string): boolean {
  try {
    return one === other || samePublication(parsePortSpec(one), parsePortSpec(other));
  } catch {
    return false;
  }
}

/** @throws NethooksError for a port to take out that is not published */
function publicationsWith(present: readonly string[], add: readonly string[], remove: readonly string[]): string[] {
  for (const spec of remove) if (!present.includes(spec)) parsePortSpec(spec);
  const missing = remove.find((spec) => !present.some((one) => isSame(one, spec)));
  if (missing !== undefined)
    throw new NethooksError(
      `--publish-rm ${missing}: is not published; allowed: ${present.join(', ') || 'nothing, as nothing is'}`,
      2,
    );
  const rest = present.filter((one) => !remove.some((spec) => isSame(one, spec)));
  return [...rest, ...add.filter((spec) => !rest.some((one) => isSame(one, spec)))];
}

interface Texts {
  text: string;
  original: string;
  options: ContainerOptions;
  include: string | null;
}

function adoptedText(config: Config, hooks: string, request: ConfigureRequest, texts: Texts): string {
  const { text, original, options, include } = texts;
  const mode = request.mode ?? modeOf(text, original);
  const networks = config.networks.map(({ name }) => name);
  const chosen = Object.entries(options.nics).flatMap(([index, { network }]) =>
    network === null ? [] : [[index, network] as const],
  );
  for (const [, network] of chosen)
    if (!networks.includes(network))
      throw new NethooksError(`network = ${network}: there is none; allowed: ${networks.join(', ')}`);
  const own = Object.fromEntries(chosen);
  const asked = mode?.kind === 'bridge' ? mode.network : null;
  if (request.mode && asked !== null && own[0] !== undefined && own[0] !== asked)
    throw new NethooksError(`--net bridge:${asked}: ${containerFile(request.name)} says network = ${own[0]}`);
  if (mode && mode.kind !== 'bridge') requireNoNetwork(mode, options);
  const first = config.networks[0]?.name as string;
  const moved = mode?.kind === 'bridge' && mode.network === null && own[0] ? { ...mode, network: own[0] } : mode;
  const nics = Object.fromEntries(chosen.filter(([index]) => index !== '0'));
  const after = adopted(
    original,
    {
      mode: moved,
      fallback: own[0] ?? first,
      networks: config.networks,
      nics,
      hooks,
      include,
      netAdmin: options.netAdmin,
      macs: { ...macsIn(text, original), ...request.macs },
    },
    readInclude,
  );
  // Behind the block the file is as it was.
  const placeOf = ({ fromEnd, text: line }: PlacedLine): string =>
    `${request.configFile}:${text.split('\n').length - fromEnd}: ${line}: stands behind what nethooks writes, and `;
  const allowed = 'allowed: above the line "# nethooks begin", or not at all';
  const other = overridingLine(after, original, readInclude);
  if (other !== null) throw new NethooksError(`${placeOf(other)}goes before it; ${allowed}`);
  const gives = regainingLine(after, readInclude);
  if (gives !== null)
    throw new NethooksError(`${placeOf(gives)}gives CAP_NET_ADMIN back; ${allowed}; or \`--net-admin\``);
  return after;
}

/** As Docker: what means an own network does not go with none, the host's or another container's. */
function requireNoNetwork(mode: Mode, options: ContainerOptions): void {
  const onNic = Object.keys(options.nics).length > 0;
  const [key = onNic ? 'address' : undefined] = keysNeedingNetwork(options);
  if (key === undefined) return;
  const what = key === 'address' ? 'network, address or mtu' : key;
  throw new NethooksError(
    `--net ${mode.kind}: the container has ${what} set, which needs a bridge; \`--no-${key}\` takes it out`,
  );
}

/** The networks that it is on then. */
function networksOf(config: Config, text: string, options: ContainerOptions): MemberNic[] {
  const shared = shares(text, readInclude) !== null;
  return shared ? [] : memberNics(withIncludes(text, readInclude), config.networks, options.nics);
}

/** The environment of its links must be there while its configuration includes it. */
function environmentSteps({ name, configFile }: ConfigureRequest, options: ContainerOptions, members: MemberNic[]) {
  const path = linkEnvironmentPath(name);
  const before = readText(path);
  if (options.link.length === 0) return { write: [], remove: fileStep(path, before, null) };
  // Where it has no address yet it is not in the file: the first start completes it, for the second.
  const places = members.map(({ network }) => ({ network: network.name, address: network.address }));
  const links = options.link.flatMap(({ container, alias }) => resolveLink(places, container, alias) ?? []);
  return { write: fileStep(path, before, linkEnvironmentOf(name, links, configFile)), remove: [] };
}

const fileStep = (path: string, before: string | null, content: string | null): Step[] =>
  before === content ? [] : [{ kind: 'file', path, before, content }];

/** About keys that both the hook line, which goes before, and the new flags say. */
function overridden(line: readonly string[], words: readonly string[]): string[] {
  const keysOf = (list: readonly string[]): string[] => {
    const { net, ...top } = parseFlags(list, () => undefined);
    return [...Object.keys(top), ...Object.keys(net[0] ?? {})];
  };
  const there = keysOf(line);
  return keysOf(words)
    .filter((key) => there.includes(key))
    .map((key) => `${key}: its hook line says it too, which goes before: change it there`);
}
