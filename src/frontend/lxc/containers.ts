/** Which LXC containers this host has. */

import { existsSync, readdirSync, realpathSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { isDestroyed } from '../../attachment/destroyed.ts';
import { NethooksError } from '../../errors.ts';
import { isSafeName } from '../../model/names.ts';
import { listKept, readKept, recordsWhere } from '../../store/records.ts';
import { isMissing } from '../../system/files.ts';
import { lxcPath } from '../../system/lxc-path.ts';
import { snapshotsOf } from '../../system/lxc-snapshots.ts';

/** The containers of a directory, by name. Those that we could not connect, because of their name, are left out. */
export const listContainers = (directory: string): string[] => namesIn(directory).filter(isSafeName);

/** All that LXC takes for a container. */
function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory)
      .filter((name) => existsSync(join(directory, name, 'config')))
      .sort();
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

/**
 * A container's configuration file, links followed.
 * @throws NethooksError naming the containers that are there
 */
export function configFileOf(directory: string, name: string): string {
  const path = join(directory, name, 'config');
  if (isSafeName(name) && existsSync(path)) return realpathSync(path);
  const there = listContainers(directory).join(', ') || 'none';
  throw new NethooksError(`there is no container ${JSON.stringify(name)} in ${directory}; there: ${there}`, 2);
}

/** An LXC configuration of this host. */
export interface LxcContainer {
  /** `NAME/SNAPSHOT` for a snapshot, which lxc-snapshot puts back as it is. */
  name: string;
  /** Links followed. */
  configFile: string;
}

interface KnownContainers {
  containers: LxcContainer[];
  /** Those whose configuration is on a file system that is not mounted. */
  missing: LxcContainer[];
}

/** Every container that is known, with its snapshots: in LXC's own directory, and wherever one was started from (`lxc-start -P`, `-f`). */
export function knownContainers(): KnownContainers {
  const placed = [
    ...listKept().flatMap((name) => ({ name, configFile: readKept(name).place?.configFile })),
    ...recordsWhere(({ kind }) => kind === 'lxc').map(({ owner, configFile }) => ({
      name: owner.kind === 'lxc' ? owner.name : '',
      configFile,
    })),
  ].flatMap(({ name, configFile }) => (configFile ? [{ name, configFile }] : []));
  const isUsual = ({ name, configFile }: LxcContainer): boolean =>
    basename(configFile) === 'config' && basename(dirname(configFile)) === name;
  const directories = new Set([
    lxcPath(),
    ...placed.filter(isUsual).map(({ configFile }) => dirname(dirname(configFile))),
  ]);
  const found = [...directories].flatMap((directory) =>
    containersOf(directory, namesIn(directory)).flatMap(withSnapshots),
  );
  const there = placed.filter(({ configFile }) => existsSync(configFile));
  const missing = placed.filter((one) => !there.includes(one) && !isDestroyed(one.name, readKept(one.name)));
  const all = [...found, ...there.map(({ name, configFile }) => ({ name, configFile: realpathSync(configFile) }))];
  return { containers: uniqueByFile(all), missing: uniqueByFile(missing) };
}

/** The containers of a directory; by default without those that we could not connect. */
export const containersOf = (directory: string, names = listContainers(directory)): LxcContainer[] =>
  names.map((name) => ({ name, configFile: realpathSync(join(directory, name, 'config')) }));

function withSnapshots(container: LxcContainer): LxcContainer[] {
  const directory = snapshotsOf(dirname(container.configFile));
  const snapshots = containersOf(directory, namesIn(directory));
  return [container, ...snapshots.map((one) => ({ ...one, name: `${container.name}/${one.name}` }))];
}

/** The first of each file: it has the name that LXC's own directory gives it. */
function uniqueByFile(list: LxcContainer[]): LxcContainer[] {
  const files = new Map<string, LxcContainer>();
  for (const one of list) if (!files.has(one.configFile)) files.set(one.configFile, one);
  return [...files.values()];
}
