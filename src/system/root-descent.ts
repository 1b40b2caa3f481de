/**
 * Opening what lies below a container's root. Everything there is the container's to forge: links, fifos, mounts, and all of it may
 * change between two of our calls. Therefore:
 * - each component is opened on its own, O_PATH|O_NOFOLLOW, relative to the descriptor of the one before (node has no openat(2),
 *   but `/proc/self/fd/N/name` is the same). A descriptor stays the object that was checked, whatever happens to its name;
 * - nothing is asked of a file system that a container can serve itself (FUSE, or an overlay of it): it could keep us waiting for
 *   ever. The descriptor's mount id and the container's mount table tell without asking.
 */
import { closeSync, constants, fstatSync, openSync, readFileSync, statSync } from 'node:fs';
import { NethooksError } from '../errors.ts';

/** open(2), asm-generic/fcntl.h: the same on every architecture of Debian's, but not among node's constants. */
export const O_PATH = 0o10000000;
const { O_DIRECTORY, O_NOFOLLOW } = constants;

/** File systems that the kernel serves itself, from memory or a local disk. */
const LOCAL = /^(ext[234]|xfs|btrfs|f2fs|zfs|bcachefs|jfs|reiserfs|squashfs|erofs|tmpfs|ramfs|rootfs)$/;

/** Why something below the root is not touched. */
export class Refusal extends Error {}

/** Opens a file whose descriptor lives as long as the scope. */
export type Open = (path: string, flags: number, mode?: number) => number;

/** An object below the root: an O_PATH descriptor, and the id of the mount it lies on. */
export interface Located {
  fd: number;
  mount: string;
}

/** Runs `use`, then closes whatever it opened. */
export function scoped<T>(use: (open: Open) => T): T {
  const descriptors: number[] = [];
  try {
    return use((path, flags, mode) => {
      const fd = openSync(path, flags, mode);
      descriptors.push(fd);
      return fd;
    });
  } finally {
    for (const fd of descriptors) closeSync(fd);
  }
}

/** @throws NethooksError when there is no such root: the container is gone */
export function openRoot(open: Open, rootPath: string): Located {
  try {
    return locate(open(rootPath, O_PATH | O_DIRECTORY));
  } catch (error) {
    throw new NethooksError(
      `cannot open the container's root ${rootPath} (${codeOf(error)}): is the container gone?`,
      1,
      {
        cause: error,
      },
    );
  }
}

/** So also when LXC_PID died and a process of the host got its number. */
export function isHostRoot(root: Located): boolean {
  const [theirs, ours] = [fstatSync(root.fd), statSync('/')];
  return theirs.dev === ours.dev && theirs.ino === ours.ino;
}

/**
 * Down one directory after the other; a Refusal where that is not possible.
 * @param above for messages: where `root` is, if it is not the root itself
 */
export function descend(
  open: Open,
  root: Located,
  dirs: readonly string[],
  rootPath: string,
  above: readonly string[] = [],
): Located {
  return dirs.reduce((parent, name, depth) => {
    const shown = [...above, ...dirs.slice(0, depth + 1)].join('/');
    const fd = openEntry(open, parent, name, O_DIRECTORY);
    if (fd === 'ENOENT') throw new Refusal(`there is no ${shown}`);
    if (fd === 'ENOTDIR') throw new Refusal(`${shown} is no directory`); // a link to one is none, either
    return requireLocal(locate(fd), parent, shown, rootPath);
  }, root);
}

/** The directory's entry of that name, whatever it is; null when there is none. */
export function openTarget(open: Open, directory: Located, name: string, rootPath: string): Located | null {
  const fd = openEntry(open, directory, name, 0);
  return typeof fd === 'number' ? requireLocal(locate(fd), directory, name, rootPath) : null;
}

function openEntry(open: Open, parent: Located, name: string, flags: number): number | 'ENOENT' | 'ENOTDIR' {
  try {
    return open(entry(parent, name), O_PATH | O_NOFOLLOW | flags);
  } catch (error) {
    const code = codeOf(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return code;
    throw error;
  }
}

/** The path of one entry of an opened directory. */
export function entry(directory: Located, name: string): string {
  if (name === '' || name === '.' || name === '..' || name.includes('/'))
    throw new TypeError(`not one component: ${name}`);
  return `/proc/self/fd/${directory.fd}/${name}`;
}

/** Opening with O_PATH asks the file system nothing, so this is safe before requireLocal; fstat would not be. */
export function locate(fd: number): Located {
  return { fd, mount: /^mnt_id:\s*(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1] ?? '' };
}

/** Refuses what is mounted below the root unless the kernel alone answers for it. The root's own mount was made by the host. */
function requireLocal(located: Located, parent: Located, shown: string, rootPath: string): Located {
  if (located.mount === parent.mount) return located;
  const table = /^\/proc\/[^/]+\/root$/.test(rootPath)
    ? rootPath.replace(/root$/, 'mountinfo')
    : '/proc/self/mountinfo';
  const line = readFileSync(table, 'utf8')
    .split('\n')
    .find((text) => text.startsWith(`${located.mount} `));
  const type = / - (\S+)/.exec(line ?? '')?.[1] ?? 'unknown'; // proc(5): the type follows the separator
  if (!LOCAL.test(type)) throw new Refusal(`${shown} is a mount of type ${type}`);
  return located;
}

export function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}
