/** Which LXC containers this host has. */

import { existsSync, readdirSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { NethooksError } from '../../errors.ts';
import { isSafeName } from '../../model/names.ts';
import { isMissing } from '../../system/files.ts';

/** The containers of a directory, by name. */
export function listContainers(directory: string): string[] {
  try {
    const names = readdirSync(directory).filter((name) => existsSync(join(directory, name, 'config')));
    return names.filter(isSafeName).sort();
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
