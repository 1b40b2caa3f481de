/** Reading and writing files of the host (never below a container's root: that is rootfs.ts). */
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';

/** Names of temporary files of {@link writeAtomically}. */
const TEMPORARY = /^\..+\.(\d+)\.nethooks$/;

/** A file's text, or null when it is not there. Throws on anything else, such as a directory in its place. */
export function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

/**
 * Replaces a file whole: readers see the old text or the new, never a part. The temporary name begins with a dot, which
 * dnsmasq's hostsdir and run-parts skip. Missing directories are made.
 * @param mode of the new file; default: mode and owner of the file it replaces, else 0644 and ours
 */
export function writeAtomically(path: string, text: string, mode?: number): void {
  const directory = dirname(path);
  const temporary = join(directory, `.${basename(path)}.${process.pid}.nethooks`);
  const replaced = mode === undefined ? statSync(path, { throwIfNoEntry: false }) : undefined;
  const wanted = mode ?? (replaced ? replaced.mode & 0o7777 : 0o644);
  const write = (): void => writeFileSync(temporary, text, { mode: wanted });
  try {
    try {
      write();
    } catch (error) {
      if (!isMissing(error)) throw error;
      mkdirSync(directory, { recursive: true, mode: 0o755 });
      write();
    }
    // An LXC configuration may be its container's owner's.
    if (replaced && (replaced.uid !== 0 || replaced.gid !== 0) && process.getuid?.() === 0)
      chownSync(temporary, replaced.uid, replaced.gid);
    // Our umask (main.ts) masks these: dnsmasq reads what we write, groups do not write it.
    if ((wanted & 0o022) !== 0) chmodSync(temporary, wanted);
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

/** Writes only if the text differs; true when it wrote. */
export function ensureText(path: string, text: string, mode?: number): boolean {
  if (readText(path) === text) return false;
  writeAtomically(path, text, mode);
  return true;
}

/** Removes a file if it is there; true when it was. */
export function removeFile(path: string): boolean {
  try {
    rmSync(path);
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

/** The names in a directory, without temporary ones; none when there is no such directory. */
export function filesIn(directory: string): string[] {
  try {
    return readdirSync(directory).filter((name) => !name.startsWith('.'));
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

/**
 * What processes that are gone were about to put in place, below a directory: the names of temporary files have the process's id.
 */
export function abandonedIn(directory: string): string[] {
  let names: string[];
  try {
    names = readdirSync(directory, { recursive: true }) as string[];
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
  return names.flatMap((name) => {
    const [, pid] = TEMPORARY.exec(basename(name)) ?? [];
    return pid !== undefined && !existsSync(`/proc/${pid}`) ? join(directory, name) : [];
  });
}

/** Whether an error of node:fs says that the path does not exist. */
export function isMissing(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code;
  return code === 'ENOENT' || code === 'ENOTDIR';
}
