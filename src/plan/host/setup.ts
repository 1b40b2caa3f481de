/**
 * From what is to be installed and what is there to the steps of `nethooks setup`.
 *
 * The first step writes the manifest: everything that the others are going to make or replace. So a run that is killed at any
 * point leaves nothing that is not in the manifest, the next run does the rest, and teardown takes back whatever there is.
 */
import { createHash } from 'node:crypto';
import { dirname } from 'node:path/posix';
import type { FileCopy } from '../../model/file-copy.ts';
import {
  type Entry,
  formatManifest,
  isNoted,
  type Manifest,
  NO_MANIFEST,
  notedConfig,
  parseManifest,
} from '../../model/manifest.ts';
import { BACKUPS, MANIFEST } from '../../model/paths.ts';
import type { FileStep, Plan, Step } from '../../model/step.ts';

/** A file that is to be there. */
export interface WantedFile {
  path: string;
  content: string | FileCopy;
  mode: number;
  /** One that is there already stays as it is, whatever it says: it may have been edited. */
  onlyIfMissing?: true;
}

export interface SetupSpec {
  prefix: string;
  /** The root that files are put below, as for a package; empty for the host's own, where what is done is noted. */
  destdir: string;
  /** In the order in which they are put in place. */
  files: WantedFile[];
  directories: string[];
  /** The first configuration; null when the host has one already. */
  config: { path: string; text: string } | null;
  /** Units to be enabled; none where systemd does not run. */
  units: string[];
}

/** What there is in a file's place: `same` is a regular file with the wanted content and permissions. */
export type Place = 'missing' | 'same' | 'other' | 'directory';

export interface SetupFacts {
  manifest: string | null;
  /** What is at the path of each wanted file, by path without destdir. */
  places: Record<string, Place>;
  /** The directories that are there, of all that lead to what is wanted; without destdir. */
  directories: string[];
  /** Of the wanted files, those of which an earlier run kept a copy. */
  backups: string[];
  /** Unfinished files of runs that were killed. */
  abandoned: string[];
  /** The SHA-256 sum of the configuration that the manifest names; null when it is not there. */
  configSum: string | null;
  /** By unit, what `systemctl is-enabled` says. */
  units: Record<string, string>;
  /** Whether systemd has to read unit files again, whatever this run changes. */
  reload: boolean;
}

/** The steps; none when everything is in place. A plan for a destdir makes files and directories only. */
export function planSetup(spec: SetupSpec, facts: SetupFacts): Plan {
  const manifest = facts.manifest === null ? NO_MANIFEST : withoutLost(parseManifest(facts.manifest), facts);
  const refusals = refusalsOf(spec, facts);
  const steps: Step[] = [];
  const notes: Entry[] = [];
  const note = (kind: string, what: string): void => {
    if (!isNoted(manifest, kind, what)) notes.push({ kind, what });
  };

  const there = new Set(facts.directories);
  const make = (path: string): void => {
    if (there.has(path)) return;
    there.add(path);
    if (path !== dirname(path)) make(dirname(path));
    note('dir', path);
    steps.push({ kind: 'directory', path: `${spec.destdir}${path}`, action: 'make' });
  };
  if (spec.config !== null) {
    const { path, text } = spec.config;
    make(dirname(path));
    steps.push({ kind: 'file', path, before: null, content: text, mode: 0o644 });
  }
  for (const path of spec.directories) make(path);
  for (const file of spec.files) {
    const place = facts.places[file.path] ?? 'missing';
    if (place !== 'missing' && file.onlyIfMissing) continue;
    make(dirname(file.path));
    const isReplaced = isNoted(manifest, 'replaced', file.path);
    if (!isReplaced && !isNoted(manifest, 'made', file.path))
      // One that is as it should be is ours as well: from a run that could not note it.
      note(place === 'other' ? 'replaced' : 'made', file.path);
    if (place === 'same') continue;
    const replaces = place === 'other' && (isReplaced || !isNoted(manifest, 'made', file.path));
    const step: FileStep = {
      kind: 'file',
      path: `${spec.destdir}${file.path}`,
      before: null,
      content: file.content,
      mode: file.mode,
    };
    const keeps = replaces && spec.destdir === '' && !facts.backups.includes(file.path);
    steps.push(keeps ? { ...step, backup: `${BACKUPS}${file.path}` } : step);
  }
  for (const path of facts.abandoned) steps.push({ kind: 'file', path, before: null, content: null });
  if (spec.destdir !== '') return { steps, warnings: [], refusals };

  // `enabled` and its kin need nothing; `masked` is how an admin says no.
  const units = spec.units.filter((unit) => ['disabled', 'not-found'].includes(facts.units[unit] ?? ''));
  for (const unit of spec.units) note('unit', unit);
  const changed = steps.some((step) => step.kind === 'file' && /\/systemd\/system\//.test(step.path));
  if (spec.units.length > 0 && (units.length > 0 || changed || facts.reload))
    steps.push({ kind: 'unit', action: 'reload', units: [] });
  if (units.length > 0) steps.push({ kind: 'unit', action: 'enable', units });

  const text = formatManifest({
    prefix: spec.prefix,
    entries: withConfig([...manifest.entries, ...notes], spec, facts, manifest),
  });
  if (text !== facts.manifest)
    steps.unshift({ kind: 'file', path: MANIFEST, before: facts.manifest, content: text, mode: 0o644 });
  return { steps, warnings: [], refusals };
}

/**
 * What was to be replaced, but was gone before there was a copy of it, is made: there is nothing to be put back.
 * What is still there is copied by this run.
 */
function withoutLost({ prefix, entries }: Manifest, { places, backups }: SetupFacts): Manifest {
  const isLost = ({ kind, what }: Entry): boolean =>
    kind === 'replaced' && !backups.includes(what) && (places[what] === 'missing' || places[what] === 'same');
  return { prefix, entries: entries.map((entry) => (isLost(entry) ? { ...entry, kind: 'made' } : entry)) };
}

/** The sum of the configuration that is written now, or that was written by an install.sh that could not note it. */
function withConfig(entries: Entry[], { config }: SetupSpec, { configSum }: SetupFacts, manifest: Manifest): Entry[] {
  const known = notedConfig(manifest);
  const line = (sum: string, path: string): Entry[] => [
    ...entries.filter(({ kind }) => kind !== 'config'),
    { kind: 'config', what: `${sum} ${path}` },
  ];
  if (config !== null) return line(createHash('sha256').update(config.text).digest('hex'), config.path);
  return known && known.sum === null && configSum !== null ? line(configSum, known.path) : entries;
}

const refusalsOf = ({ destdir, files }: SetupSpec, { places }: SetupFacts): string[] =>
  files
    .filter(({ path }) => places[path] === 'directory')
    .map(({ path }) => `${destdir}${path} is a directory, but a file belongs there`);
