/**
 * Files below a container's root. Everything there is the container's to forge: links, fifos, mounts, and all of it may change
 * between two of our calls. Therefore:
 * - each component is opened on its own, O_PATH|O_NOFOLLOW, relative to the descriptor of the one before (node has no openat(2),
 *   but `/proc/self/fd/N/name` is the same). A descriptor stays the object that was checked, whatever happens to its name;
 * - contents are read through the descriptor that was checked, never through a name, and without waiting (O_NONBLOCK);
 * - new contents go to a temporary file that rename(2) puts in place: it replaces a link and never writes through one;
 * - nothing is asked of a file system that a container can serve itself (FUSE, or an overlay of it): it could keep us waiting
 *   for ever. The descriptor's mount id and the container's mount table tell without asking.
 */
import {
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
  writeFileSync,
} from 'node:fs';
import { NethooksError } from '../errors.ts';

export interface WriteResult {
  outcome: 'written' | 'unchanged' | 'left';
  /** Why it was left alone, for the log. */
  reason?: string;
}

/** open(2), asm-generic/fcntl.h: the same on every architecture of Debian's, but not among node's constants. */
const O_PATH = 0o10000000;
const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants;

/** File systems that the kernel serves itself, from memory or a local disk. */
const LOCAL = /^(ext[234]|xfs|btrfs|f2fs|zfs|bcachefs|jfs|reiserfs|squashfs|erofs|tmpfs|ramfs|rootfs)$/;

/** Something below the root that is not touched; never leaves this module. */
class Refusal extends Error {}

/** Opens a file whose descriptor lives as long as the scope. */
type Open = (path: string, flags: number, mode?: number) => number;

/** An object below the root: an O_PATH descriptor, and the id of the mount it lies on. */
interface Node {
  fd: number;
  mount: string;
}

/**
 * Makes `<root>/<dirs...>/<name>` contain `content`. A new file gets mode 0644 and the directory's owner (with an idmapped root
 * that is the container's root, not ours); an existing one keeps its mode and owner. What is no regular file, is a mount of its
 * own, or cannot be written is left alone, with the reason.
 * @param rootPath the root as the kernel gives it, `/proc/PID/root`
 * @param options force: replace a symbolic link by a file (the link itself; what it points to is never touched)
 * @throws NethooksError when the root cannot be opened: the container is gone
 */
export function writeBelowRoot(
  rootPath: string,
  dirs: readonly string[],
  name: string,
  content: string,
  options: { force?: boolean } = {},
): WriteResult {
  const shown = [...dirs, name].join('/');
  return scoped((open) => {
    const root = openRoot(open, rootPath);
    try {
      if (isHostRoot(root)) throw new Refusal("the container's root is the host's own");
      const directory = descend(open, root, dirs, rootPath);
      const target = openTarget(open, directory, name, rootPath);
      const stats = target && fstatSync(target.fd);
      const data = Buffer.from(content);
      if (target && stats && !(options.force && stats.isSymbolicLink())) {
        requireFile(stats, shown);
        if (stats.size === data.length && data.equals(readUpTo(open, target, data.length + 1)))
          return { outcome: 'unchanged' };
        if (target.mount !== directory.mount) throw new Refusal(`${shown} is a mount of its own`);
      }
      replace(directory, name, data, stats?.isFile() ? stats : null);
      return { outcome: 'written' };
    } catch (error) {
      return { outcome: 'left', reason: reasonOf(error, shown) };
    }
  });
}

/**
 * The text of `<root>/<dirs...>/<name>`; null when there is no such regular file, when it is longer than `maxBytes`, or when it
 * cannot be read without risk.
 * @throws NethooksError when the root cannot be opened: the container is gone
 */
export function readBelowRoot(
  rootPath: string,
  dirs: readonly string[],
  name: string,
  maxBytes: number,
): string | null {
  const shown = [...dirs, name].join('/');
  return scoped((open) => {
    const root = openRoot(open, rootPath);
    try {
      const target = openTarget(open, descend(open, root, dirs, rootPath), name, rootPath);
      if (!target) return null;
      requireFile(fstatSync(target.fd), shown);
      const data = readUpTo(open, target, maxBytes + 1);
      return data.length > maxBytes ? null : data.toString();
    } catch (error) {
      reasonOf(error, shown); // throws what is not about the container
      return null;
    }
  });
}

/** Runs `use`, then closes whatever it opened. */
function scoped<T>(use: (open: Open) => T): T {
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

function openRoot(open: Open, rootPath: string): Node {
  try {
    return nodeOf(open(rootPath, O_PATH | O_DIRECTORY));
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
function isHostRoot(root: Node): boolean {
  const [theirs, ours] = [fstatSync(root.fd), statSync('/')];
  return theirs.dev === ours.dev && theirs.ino === ours.ino;
}

function descend(open: Open, root: Node, dirs: readonly string[], rootPath: string): Node {
  return dirs.reduce((parent, name, depth) => {
    const shown = dirs.slice(0, depth + 1).join('/');
    try {
      const node = nodeOf(open(entry(parent, name), O_PATH | O_DIRECTORY | O_NOFOLLOW));
      requireLocal(node, parent, shown, rootPath);
      return node;
    } catch (error) {
      if (codeOf(error) === 'ENOENT') throw new Refusal(`there is no ${shown}`);
      if (codeOf(error) === 'ENOTDIR') throw new Refusal(`${shown} is no directory of its own`); // a link among others
      throw error;
    }
  }, root);
}

/** The directory's entry of that name, whatever it is; null when there is none. */
function openTarget(open: Open, directory: Node, name: string, rootPath: string): Node | null {
  try {
    const node = nodeOf(open(entry(directory, name), O_PATH | O_NOFOLLOW));
    requireLocal(node, directory, name, rootPath);
    return node;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null;
    throw error;
  }
}

/** O_PATH asks the file system nothing, so this is safe before requireLocal; fstat would not be. */
function nodeOf(fd: number): Node {
  return { fd, mount: /^mnt_id:\s*(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1] ?? '' };
}

/** Refuses what is mounted below the root unless the kernel alone answers for it. The root's own mount was made by the host. */
function requireLocal(node: Node, parent: Node, shown: string, rootPath: string): void {
  if (node.mount === parent.mount) return;
  const table = /^\/proc\/[^/]+\/root$/.test(rootPath)
    ? rootPath.replace(/root$/, 'mountinfo')
    : '/proc/self/mountinfo';
  const line = readFileSync(table, 'utf8')
    .split('\n')
    .find((text) => text.startsWith(`${node.mount} `));
  const type = / - (\S+)/.exec(line ?? '')?.[1] ?? 'unknown'; // proc(5): the type follows the separator
  if (!LOCAL.test(type)) throw new Refusal(`${shown} is a mount of type ${type}`);
}

function requireFile(stats: Stats, shown: string): void {
  if (stats.isFile()) return;
  const kinds: [boolean, string][] = [
    [stats.isSymbolicLink(), 'a symbolic link'],
    [stats.isDirectory(), 'a directory'],
    [stats.isFIFO(), 'a fifo'],
    [stats.isSocket(), 'a socket'],
  ];
  throw new Refusal(`${shown} is ${kinds.find(([is]) => is)?.[1] ?? 'a device'}`);
}

/** Up to `limit` bytes of a regular file that was opened with O_PATH. */
function readUpTo(open: Open, node: Node, limit: number): Buffer {
  // Not O_NOFOLLOW: this link of /proc is the descriptor itself. O_NONBLOCK: a lease would hold us for 45 s.
  const fd = open(`/proc/self/fd/${node.fd}`, O_RDONLY | O_NONBLOCK);
  const data = Buffer.alloc(limit);
  let length = 0;
  for (let read = -1; read !== 0 && length < limit; length += read)
    read = readSync(fd, data, length, limit - length, length);
  return data.subarray(0, length);
}

function replace(directory: Node, name: string, data: Buffer, existing: Stats | null): void {
  const temporary = entry(directory, `.nethooks-${process.pid}-${Math.random().toString(36).slice(2)}`);
  const { uid, gid } = existing ?? fstatSync(directory.fd);
  const fd = openSync(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  try {
    try {
      writeFileSync(fd, data);
      fchownSync(fd, uid, gid);
      fchmodSync(fd, existing ? existing.mode & 0o777 : 0o644);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, entry(directory, name));
  } catch (error) {
    rmSync(temporary, { force: true }); // force: the container may have moved it away
    throw error;
  }
}

/** The path of one entry of an opened directory. */
function entry(directory: Node, name: string): string {
  if (name === '' || name === '.' || name === '..' || name.includes('/'))
    throw new TypeError(`not one component: ${name}`);
  return `/proc/self/fd/${directory.fd}/${name}`;
}

/** Why the container's file was left: a refusal, or what the system said (EROFS, EBUSY, EACCES, ENOSPC, ...). */
function reasonOf(error: unknown, shown: string): string {
  if (error instanceof Refusal) return error.message;
  const code = codeOf(error);
  if (code === undefined || error instanceof TypeError) throw error;
  return `${shown}: ${code}`;
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}
