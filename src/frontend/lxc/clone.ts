/**
 * lxc.hook.clone: of a copy, a snapshot, or a container that a snapshot is restored to. LXC_SRC_NAME is the name of what was copied,
 * which may be a snapshot's.
 */

import { existsSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { placeOf } from '../../attachment/connect.ts';
import { forget, forgetOptions } from '../../attachment/forget.ts';
import { isSafeName } from '../../model/names.ts';
import { containerFile, linkEnvironmentPath, lxcConfigBackup } from '../../model/paths.ts';
import { linkEnvironmentFor } from '../../plan/attachment/link-env.ts';
import { optionsOfCopy } from '../../plan/copied-options.ts';
import { noteCopy } from '../../store/copies.ts';
import { readKeptIfThere, writeKept, writeKeptFiles } from '../../store/records.ts';
import { ensureText, readText, writeAtomically } from '../../system/files.ts';
import { snapshotConfig, snapshotOf } from '../../system/lxc-snapshots.ts';
import { commandLine, parentOf } from '../../system/process.ts';
import type { HookContext } from '../hooks/context.ts';
import { originalOf, withLinkInclude } from './adopt.ts';
import { listContainers } from './containers.ts';
import { parseLxcEvent } from './lxc-event.ts';

/** A new container inherits nothing of an earlier one of its name; of its original it has what two containers can have. */
export async function run({ words, env, ...how }: HookContext): Promise<void> {
  const { name, configFile } = parseLxcEvent(words, env);
  const source = env.LXC_SRC_NAME;
  if (configFile === null || source === undefined || !isSafeName(source)) {
    await forget(how, name);
    forgetOptions(name);
    return;
  }
  const directory = dirname(configFile);
  const container = snapshotOf(configFile);
  const snapshot = snapshotConfig(directory, source);
  if (container !== null) {
    adaptConfig(configFile, join(container, 'config'), null);
  } else if (existsSync(snapshot)) {
    adaptConfig(configFile, snapshot, name);
    // Its files are those of back then: the next start looks what of ours stands in them.
    const kept = readKeptIfThere(name);
    if (kept) writeKeptFiles(name, { ...kept.written, hosts: true });
  } else {
    await forget(how, name);
    forgetOptions(name);
    const original = originalNameOf(source, dirname(directory));
    if (original === null) {
      how.log(`copied from ${source}, which several containers have: whose options it should have is not known`);
      adaptConfig(configFile, null, null);
      return;
    }
    // LXC copies in a child of the process that was asked to.
    const caller = parentOf(Number(env.NETHOOKS_LXC));
    const log = caller !== null && renames(commandLine(caller)) ? () => undefined : how.log;
    copyOptions(log, original, name);
    copyKept(original, name, configFile);
    const from = join(dirname(directory), original);
    adaptConfig(configFile, original === source ? join(from, 'config') : snapshotConfig(from, source), name);
    if (caller !== null) noteCopy(caller, source, name);
  }
}

/** Whether a command will destroy the original at once, so that the copy gets all that is its own (lxc-copy(1)). */
const renames = ([program = '', ...words]: string[]): boolean =>
  basename(program) === 'lxc-copy' && words.some((word) => /^(-[A-Za-z]*R|--rename$)/.test(word));

/** The container whose options a copy begins with. Snapshots are called snap0, snap1 and so on in every container. */
function originalNameOf(source: string, directory: string): string | null {
  if (!/^snap\d+$/.test(source)) return source;
  const owners = listContainers(directory).filter((name) => existsSync(snapshotConfig(join(directory, name), source)));
  if (existsSync(join(directory, source, 'config'))) owners.push(source);
  return owners.length === 1 ? basename(owners[0] as string) : null;
}

function copyOptions(log: HookContext['log'], from: string, to: string): void {
  const text = readText(containerFile(from));
  if (text === null) return;
  if (readText(containerFile(to)) !== null) {
    log(`${containerFile(to)} was there: it keeps that, and not what ${containerFile(from)} says`);
    return;
  }
  const { text: copy, leftOut } = optionsOfCopy(text);
  if (copy !== null) writeAtomically(containerFile(to), copy);
  if (leftOut.length > 0) log(`copied from ${from}, without what only one container can have: ${leftOut.join(', ')}`);
  const environment = readText(linkEnvironmentPath(from));
  if (environment !== null) ensureText(linkEnvironmentPath(to), linkEnvironmentFor(environment, from, to));
}

/** What of ours stands in the original's files stands in those of its copy. */
function copyKept(from: string, to: string, configFile: string): void {
  const written = readKeptIfThere(from)?.written;
  if (written)
    writeKept(to, {
      interfaces: [],
      publish: [],
      exposed: [],
      written: { ...written, hosts: true },
      ...placeOf({ configFile }),
    });
}

/**
 * Makes the LXC configuration of a copy its own: the environment of its links, and what it was like before `nethooks configure`.
 * @param source the LXC configuration that it is a copy of; null when nobody knows
 * @param container whose links it is to have; null for none: LXC refuses to read a configuration whose include is missing
 */
function adaptConfig(configFile: string, source: string | null, container: string | null): void {
  const before = readText(configFile) ?? '';
  const backup = source === null ? null : readText(lxcConfigBackup(source));
  if (backup !== null) writeAtomically(lxcConfigBackup(configFile), originalOf(before, backup));
  const path = container === null ? null : linkEnvironmentPath(container);
  const text = withLinkInclude(before, path !== null && existsSync(path) ? path : null);
  if (text !== before) writeAtomically(configFile, text);
}
