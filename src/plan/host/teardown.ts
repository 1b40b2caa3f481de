/**
 * The steps of `nethooks teardown`: what the manifest notes, the newest first, then what nethooks itself keeps on the host. The
 * executable goes last, and the manifest after it: a run that is killed can be repeated by the same command.
 */
import { basename, dirname } from 'node:path/posix';
import { type Entry, type Manifest, noted, notedConfig } from '../../model/manifest.ts';
import {
  BACKUPS,
  CONFIG_DIR,
  containerFile,
  INSTALL_STATE,
  keptRecord,
  LOG_DIR,
  MANIFEST,
  RUN,
  STATE,
  unfinished,
} from '../../model/paths.ts';
import type { Step } from '../../model/step.ts';
import { commandOf, executableOf } from './install-files.ts';

const CONTAINER_FILES = dirname(containerFile('-'));
const KEPT_RECORDS = dirname(keptRecord('-'));

export interface TeardownSpec {
  /** Also the configuration, edited or not. */
  purge: boolean;
}

export interface TeardownFacts {
  manifest: Manifest;
  /** Of the noted files, their unfinished ones, the directories of nethooks and the address stores: those that are there. */
  there: string[];
  /** Unfinished files of runs that were killed. */
  abandoned: string[];
  /** Of the noted paths, those of which there is a copy. */
  backups: string[];
  /** The names in each noted directory that is there, and in the parents of the address stores. */
  names: Record<string, string[]>;
  /** The SHA-256 sum of the configuration that the manifest names; null when it is not there. */
  configSum: string | null;
  /** The address stores of our networks, and who has addresses in it: LXC containers that do not run, or also others. */
  stores: { path: string; holders: 'none' | 'stopped' | 'others' }[];
  /** Whether LXC containers keep something from one start to the next. */
  hasKept: boolean;
  /** LXC containers that run: what is known of them stays, for a nethooks that is installed while they do. */
  running: string[];
  /** Whether systemd runs here. */
  systemd: boolean;
}

export interface Teardown {
  steps: Step[];
  /** What stays, and why, for people. */
  kept: string[];
  /** Debian packages that install.sh brought, and that stay. */
  packages: string[];
}

/** The steps once the networks are down. */
export function planTeardown({ purge }: TeardownSpec, facts: TeardownFacts): Teardown {
  const { manifest } = facts;
  const steps: Step[] = [];
  const kept: string[] = [];
  const there = new Set([...facts.there, ...facts.abandoned]);
  /** What is in each directory by the time of the next step. */
  const names = new Map(Object.entries(facts.names).map(([path, list]) => [path, new Set(list)]));
  const gone = (path: string): void => {
    there.delete(path);
    names.delete(path);
    names.get(dirname(path))?.delete(basename(path));
  };
  const removeFile = (path: string): void => {
    if (!there.has(path)) return;
    gone(path);
    steps.push({ kind: 'file', path, before: null, content: null });
  };
  const purgeDirectory = (path: string): void => {
    if (!there.has(path)) return;
    gone(path);
    steps.push({ kind: 'directory', path, action: 'purge' });
  };
  const removeIfEmpty = (path: string): void => {
    if (names.get(path)?.size !== 0) return;
    gone(path);
    steps.push({ kind: 'directory', path, action: 'remove' });
  };
  const takeBack = ({ kind, what }: Entry): void => {
    if (kind === 'dir') removeIfEmpty(what);
    if (kind !== 'made' && kind !== 'replaced') return;
    removeFile(unfinished(what));
    if (kind === 'made') removeFile(what);
    else if (facts.backups.includes(what))
      steps.push({ kind: 'file', path: what, before: null, content: { from: `${BACKUPS}${what}`, exact: true } });
  };

  for (const path of facts.abandoned) removeFile(path);
  const config = notedConfig(manifest);
  if (config) {
    removeFile(unfinished(config.path));
    if (purge || config.sum === null || facts.configSum === config.sum) removeFile(config.path);
    else if (there.has(config.path)) kept.push(`keep ${config.path}: it was edited (--purge removes it)`);
  }
  removeIfEmpty(CONTAINER_FILES);
  const newestFirst = [...manifest.entries].reverse();
  const programs = [commandOf(manifest.prefix ?? ''), executableOf(manifest.prefix ?? '')];
  const first = newestFirst.findIndex(({ what }) => programs.includes(what));
  const last = first < 0 ? [] : newestFirst.splice(first);
  for (const entry of newestFirst) takeBack(entry);
  if (purge) purgeDirectory(CONFIG_DIR);
  else if ((names.get(CONTAINER_FILES)?.size ?? 0) > 0)
    kept.push(`keep ${CONTAINER_FILES}: options of containers (--purge removes them)`);
  if (facts.systemd && noted(manifest, 'unit').length > 0)
    steps.push({ kind: 'unit', action: 'forget', units: ['nethooks*'] });
  if (facts.running.length === 0) purgeDirectory(RUN);
  else kept.push(`keep ${RUN} until the next boot: it says what belongs to ${facts.running.join(', ')}`);
  purgeDirectory(LOG_DIR);
  for (const { path, holders } of facts.stores) {
    if (holders === 'others' || (holders === 'stopped' && !purge))
      kept.push(`keep ${path}: containers have addresses in it`);
    else purgeDirectory(path);
    removeIfEmpty(dirname(path));
    removeIfEmpty(dirname(dirname(path)));
  }
  // With these a container finds its address again, and a reinstall its networks.
  const records = facts.hasKept && !purge ? [KEPT_RECORDS] : [];
  for (const path of records) kept.push(`keep ${path}: for a reinstall, what containers had (--purge removes it)`);
  const except = [INSTALL_STATE, ...records].map((path) => basename(path));
  steps.push({ kind: 'directory', path: STATE, action: 'purge', except });
  for (const entry of last) takeBack(entry);
  // An earlier uninstall may have left it, so that the manifest does not have it.
  removeIfEmpty(CONFIG_DIR);
  steps.push(
    { kind: 'directory', path: INSTALL_STATE, action: 'purge', except: [basename(MANIFEST)] },
    { kind: 'file', path: MANIFEST, before: null, content: null },
    { kind: 'directory', path: INSTALL_STATE, action: 'remove' },
    { kind: 'directory', path: STATE, action: 'remove' },
  );
  return { steps, kept, packages: [...new Set(noted(manifest, 'package'))] };
}

/** The files that a manifest names, the configuration among them. */
export function filesOf(manifest: Manifest): string[] {
  const config = notedConfig(manifest);
  return [...noted(manifest, 'made'), ...noted(manifest, 'replaced'), ...(config ? [config.path] : [])];
}
