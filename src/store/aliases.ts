/**
 * Which LXC containers may be called what, running or not: `/var/lib/nethooks/aliases/NAME/CONTAINER`, an empty file each, for every
 * name beside the container's own. `configure` and each start write it, so that nobody has to read every container's options to
 * find out who has a name. A hint: whoever finds a container here asks its options.
 */
import { existsSync, mkdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { STATE } from '../model/paths.ts';
import { ensureText, filesIn, removeFile } from '../system/files.ts';

const ALIASES = `${STATE}/aliases`;

/** Whether anybody has ever written it. */
export const hasAliases = (): boolean => existsSync(ALIASES);

/** Notes the names that a container may have beside its own. */
export function noteAliases(container: string, names: readonly string[]): void {
  mkdirSync(ALIASES, { recursive: true, mode: 0o755 });
  for (const name of names) if (name !== container) ensureText(join(ALIASES, name, container), '');
}

/** The containers that may have a name. */
export const containersCalled = (name: string): string[] => filesIn(join(ALIASES, name));

/** Forgets a container. */
export function forgetAliases(container: string): void {
  for (const name of filesIn(ALIASES)) {
    if (!removeFile(join(ALIASES, name, container))) continue;
    try {
      rmdirSync(join(ALIASES, name));
    } catch {
      // Others may have it, too.
    }
  }
}

/** What a container may be called, another one may now. */
export function renameAliases(from: string, to: string): void {
  for (const name of filesIn(ALIASES)) {
    if (!removeFile(join(ALIASES, name, from))) continue;
    ensureText(join(ALIASES, name, to), '');
  }
}
