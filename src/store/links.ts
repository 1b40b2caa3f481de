/**
 * Who links to whom: `/run/nethooks/links/CHILD/PARENT`, an alias per line, while the parent runs. So a child that starts finds its
 * parents without reading every container's record. An empty file is of a container on the child's network, whose files say the same.
 */

import { rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { RUN } from '../model/paths.ts';
import { ensureText, filesIn, readText, removeFile } from '../system/files.ts';

const LINKS = join(RUN, 'links');

/** Notes that `parent` links to `child`. */
export function watchChild(child: string, parent: string, alias: string, directory = LINKS): void {
  const path = join(directory, child, parent);
  const aliases = new Set([...(readText(path) ?? '').split('\n'), alias].filter(Boolean));
  ensureText(path, `${[...aliases].join('\n')}\n`);
}

/** Notes that `sharer` is on the network of `container`. */
export function watchShared(container: string, sharer: string): void {
  ensureText(join(LINKS, container, sharer), '');
}

/** The running containers on the network of `container`. */
export const sharersOf = (container: string): string[] =>
  parentsOf(container).flatMap(({ parent, aliases }) => (aliases.length === 0 ? [parent] : []));

/** The running containers that link to `child`, or are on its network, with the aliases they have for it. */
export function parentsOf(child: string, directory = LINKS): { parent: string; aliases: string[] }[] {
  return filesIn(join(directory, child)).map((parent) => ({
    parent,
    aliases: (readText(join(directory, child, parent)) ?? '').split('\n').filter(Boolean),
  }));
}

/** Every note of a link. */
export const listNotes = (directory = LINKS): { parent: string; child: string }[] =>
  filesIn(directory).flatMap((child) => filesIn(join(directory, child)).map((parent) => ({ parent, child })));

/**
 * Forgets what `parent` links to.
 * @param children whom it may link to; default: everybody, which costs a look at each
 */
export function forgetParent(
  parent: string,
  { children, directory = LINKS }: { children?: readonly string[]; directory?: string } = {},
): void {
  for (const child of children ?? filesIn(directory)) {
    if (!removeFile(join(directory, child, parent))) continue;
    try {
      rmdirSync(join(directory, child));
    } catch {
      // Others link to it too.
    }
  }
}
