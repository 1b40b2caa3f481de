/** What gives LXC containers back as they are without nethooks: nothing is written here. */

import type { LinkFact } from '../../model/facts.ts';
import { parseLxcConfig, readLxcConfig } from '../../model/lxc-config.ts';
import { LXC_DEFAULT_CONF, lxcConfigBackup, RUN, STATE } from '../../model/paths.ts';
import type { FileStep } from '../../model/step.ts';
import { ALIAS } from '../../plan/host/bridge.ts';
import { isAlive, readContainer } from '../../store/records.ts';
import { readText } from '../../system/files.ts';
import { includedFiles, readInclude } from '../../system/lxc-include.ts';
import { lxcNetBridge } from '../../system/lxc-net.ts';
import { abandonedBeside } from '../../system/place.ts';
import { hookWords } from './adopt.ts';
import { knownContainers, type LxcContainer } from './containers.ts';
import { withIncludes } from './lxc-config.ts';
import { type Remaining, released, withoutOurLines } from './release.ts';

/**
 * What is left for containers without our bridges: lxc-net's, where that runs; else the one that default.conf named before us.
 * @param networks the names of our networks
 */
export function remainingOf(links: readonly LinkFact[], networks: readonly string[]): Remaining {
  const interfaces = new Set(links.flatMap(({ name, alias }) => (alias === ALIAS ? [] : [name])));
  const none = { ours: new Set<string>(), interfaces, bridge: null };
  const [first] = withIncludes(released(readText(LXC_DEFAULT_CONF) ?? '', null, none, readInclude), readInclude);
  const bridges = [lxcNetBridge(), ...(first?.type === 'veth' && first.link !== undefined ? [first.link] : [])];
  return {
    ours: new Set([...networks, ...links.flatMap(({ name, alias }) => (alias === ALIAS ? [name] : []))]),
    interfaces,
    bridge: bridges.find((name) => interfaces.has(name)) ?? null,
  };
}

interface GivenBack {
  steps: FileStep[];
  /** What people should know of it. */
  notes: string[];
}

/** One container: its configuration, what that includes, and what stands beside it. */
export function giveBack({ name, configFile }: LxcContainer, remaining: Remaining): GivenBack {
  const text = readText(configFile) ?? '';
  const backup = readText(lxcConfigBackup(configFile));
  const after = released(text, backup, remaining, readInclude);
  const steps = [
    ...includesOf(text).flatMap((path) => changed(path, withoutOurLines(readText(path) ?? ''))),
    ...changed(configFile, after),
    ...[...(backup === null ? [] : [lxcConfigBackup(configFile)]), ...abandonedBeside(configFile)].map(removed),
  ];
  if (steps.length === 0) return { steps, notes: [] };
  const links = withIncludes(after, readInclude).flatMap(({ type, link }) => (type === 'veth' ? [link] : []));
  const nowhere = links.filter((link) => link !== undefined && !remaining.interfaces.has(link));
  const notes = [
    ...(links.includes(undefined) && remaining.bridge === null
      ? [
          `container ${name}: no bridge is left for it, so it starts without a network; lxc.net.0.link in ${configFile} says which`,
        ]
      : []),
    ...nowhere.map((link) => `warning: container ${name} is on ${link} again, which is not there: ${configFile}`),
    ...wordsOf(text).map((line) => `container ${name}: its hook line goes, with what it says: ${line}`),
  ];
  return { steps, notes };
}

/** Several containers, each file once. */
export function giveAllBack(containers: readonly LxcContainer[], remaining: Remaining): GivenBack {
  const all = containers.map((container) => giveBack(container, remaining));
  const steps = new Map(all.flatMap((one) => one.steps.map((step) => [step.path, step])));
  return { steps: [...steps.values()], notes: all.flatMap(({ notes }) => notes) };
}

/** What becomes of containers that run, one line each. */
export function runningNotes(containers: readonly LxcContainer[]): { name: string; note: string }[] {
  return containers.flatMap(({ name }) => {
    const record = readContainer(name);
    if (record === null || !isAlive(record)) return [];
    const { network, addresses } = record.interfaces[0] ?? {};
    const where = network ? `keeps ${addresses?.join(', ')} on ${network} until it stops, without` : 'has no';
    const lost =
      'names, published ports and a way out; a reinstall before then gives them back, a reboot from inside stops it';
    return [{ name, note: `container ${name} runs: it ${where} ${lost}` }];
  });
}

/** Bridges that containers which call our hooks are on, but lxc-net's: they were ours, whatever has become of the rest. */
export function bridgesNamed(): string[] {
  const names = knownContainers().containers.flatMap(({ configFile }) => {
    const text = readText(configFile) ?? '';
    if (hookWords(text, readInclude) === null) return [];
    return withIncludes(text, readInclude).flatMap(({ type, link }) => (type === 'veth' && link ? [link] : []));
  });
  return [...new Set(names)].filter((name) => name !== lxcNetBridge());
}

/** The files that a configuration includes, and these in turn, that may have lines of ours; a limit ends loops. */
function includesOf(text: string): string[] {
  const files = new Set<string>();
  const add = (current: string): void => {
    for (const { key, value } of parseLxcConfig(current)) {
      if (key !== 'lxc.include' || !value.startsWith('/') || isKept(value)) continue;
      for (const path of includedFiles(value)) {
        if (files.has(path) || files.size >= MAX_INCLUDES) continue;
        files.add(path);
        add(readText(path) ?? '');
      }
    }
  };
  add(text);
  return [...files];
}
const MAX_INCLUDES = 256;
/** Whether a file is one of ours, which goes as a whole. */
const isKept = (path: string): boolean => [RUN, STATE].some((directory) => path.startsWith(`${directory}/`));

/** Hook lines with options on them, which nobody else has written down. */
const wordsOf = (text: string): string[] =>
  readLxcConfig(text, () => null).flatMap(({ key, value }) =>
    key === 'lxc.hook.start-host' && /\/nethooks\/lxc\/start-host['"]?\s+\S/.test(value) ? [`${key} = ${value}`] : [],
  );

function changed(path: string, content: string): FileStep[] {
  const before = readText(path);
  return before === null || before === content ? [] : [{ kind: 'file', path, before, content }];
}

const removed = (path: string): FileStep => ({ kind: 'file', path, before: readText(path), content: null });
