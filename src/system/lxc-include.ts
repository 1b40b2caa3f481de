/** Reads what `lxc.include` names, for src/model/lxc-config.ts. */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { readText } from './files.ts';

/**
 * The text of an included file; for a directory (`common.conf.d` in every container made from a template) that of its `*.conf`
 * files, one after the other. LXC takes these in the directory's own order; sorted, at least two runs agree.
 * Null when there is nothing at `path`: then LXC does not start either.
 */
export function readInclude(path: string): string | null {
  if (!isDirectory(path)) return readText(path);
  return includedFiles(path)
    .map((file) => readText(file) ?? '')
    .join('\n');
}

/** The files that an include of `path` reads: that one, or those of the directory. */
export function includedFiles(path: string): string[] {
  if (!isDirectory(path)) return [path];
  return readdirSync(path)
    .filter((name) => name.endsWith('.conf') && name !== '.conf' && !isDirectory(join(path, name)))
    .sort()
    .map((name) => join(path, name));
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}
