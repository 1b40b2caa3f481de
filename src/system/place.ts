/** Putting files and directories of an installation in place. One process at a time does that (see lock.ts). */
import {
  chmodSync,
  constants,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { edited, type FileCopy, isVerbatim } from '../model/file-copy.ts';
import { unfinished } from '../model/paths.ts';
import type { DirectoryStep } from '../model/step.ts';
import { type Exec, must } from './exec.ts';
import { isMissing } from './files.ts';
import { isAlive } from './process.ts';

/**
 * Replaces a file whole: others see the old one or the new one, never a part. Missing directories are made.
 * @param content its text, or the file that it is a copy of
 * @param mode its permissions; default: 0644, or those of the file that `exact` copies
 */
export function placeFile(exec: Exec, path: string, content: string | FileCopy, mode = 0o644): void {
  const temporary = unfinished(path);
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  rmSync(temporary, { force: true }); // a killed run's; also, what it has started may still write to that inode
  try {
    if (typeof content === 'string') writeFileSync(temporary, content, { flag: 'wx' });
    else if (content.exact) must(exec, 'cp', ['-aT', '--', content.from, temporary]);
    else if (isVerbatim(content)) copyFileSync(content.from, temporary, constants.COPYFILE_EXCL);
    else writeFileSync(temporary, edited(readFileSync(content.from), content), { flag: 'wx' });
    if (typeof content === 'string' || !content.exact) chmodSync(temporary, mode);
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

/** Keeps an exact copy of what is at `path`, unless there is a copy, or nothing to be copied. */
export function keepCopy(exec: Exec, path: string, backup: string): void {
  if (isThere(backup) || !isThere(path)) return;
  placeFile(exec, backup, { from: path, exact: true });
}

export function changeDirectory({ path, action, except = [] }: DirectoryStep): void {
  if (action === 'make') mkdirSync(path, { recursive: true, mode: 0o755 });
  else if (action === 'remove') removeIfEmpty(path);
  else if (except.length === 0) rmSync(path, { recursive: true, force: true });
  else if (existsSync(path))
    for (const name of readdirSync(path).filter((name) => !except.includes(name)))
      rmSync(join(path, name), { recursive: true, force: true });
}

function removeIfEmpty(path: string): void {
  try {
    rmdirSync(path);
  } catch (error) {
    if (!isMissing(error) && (error as NodeJS.ErrnoException).code !== 'ENOTEMPTY') throw error;
  }
}

/** Whether `path` is a regular file with these permissions and this content. */
export function isPlaced(path: string, content: string | FileCopy, mode: number): boolean {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (!stat?.isFile() || (stat.mode & 0o7777) !== mode) return false;
  const [from, wanted] =
    typeof content === 'string'
      ? [null, Buffer.from(content)]
      : isVerbatim(content)
        ? [content.from, null]
        : [null, edited(readFileSync(content.from), content)];
  if (from !== null && statSync(from).size !== stat.size) return false;
  return readFileSync(path).equals(wanted ?? readFileSync(from as string));
}

/** What processes that were killed in writeAtomically() left beside a file. */
export function abandonedBeside(path: string): string[] {
  const directory = dirname(path);
  if (!existsSync(directory)) return [];
  return readdirSync(directory).flatMap((name) => {
    const [, of, pid] = /^\.(.+)\.(\d+)\.nethooks$/.exec(name) ?? [];
    return of === basename(path) && !isAlive({ pid: Number(pid) }) ? [join(directory, name)] : [];
  });
}

/** Whether there is anything of that name, be it a symbolic link that leads nowhere. */
export function isThere(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}
