/**
 * Reading and writing files below a container's root, which is hostile: see root-descent.ts for how they are found. Contents are read
 * through the descriptor that was checked, never through a name, and without waiting (O_NONBLOCK); new contents go to a temporary
 * file that rename(2) puts in place, which replaces a link and never writes through one.
 */
import {
  chownSync,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  rmdirSync,
  rmSync,
  type Stats,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { run } from '#spawn';
import {
  codeOf,
  descend,
  entry,
  isHostRoot,
  type Located,
  locate,
  O_PATH,
  type Open,
  openRoot,
  openTarget,
  Refusal,
  scoped,
} from './root-descent.ts';

const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants;

export interface WriteResult {
  outcome: 'written' | 'unchanged' | 'left';
  /** Why it was left alone, for the log. */
  reason?: string;
}

export interface WriteOptions {
  /** Replace a symbolic link by a file (the link itself; what it points to is never touched). */
  force?: boolean;
  /** Directories that are missing are made, and their paths below the root are added here; without it they are a reason to do nothing. */
  made?: string[];
}

/** From what a file holds (null: there is none) to what it is to hold; null leaves it as it is. */
export type Edit = (before: string | null) => string | null;

/** Nothing that somebody edits by hand is longer; hosts files that block advertisements reach some MiB. */
const MAX_EDITED = 1 << 24;

/**
 * Makes `<root>/<dirs...>/<name>` contain `content`, or what an edit makes of what is there. A new file gets mode 0644 and the directory's owner (with an idmapped root
 * that is the container's root, not ours); an existing one keeps its mode and owner. What is no regular file, is a mount of its
 * own, or cannot be written is left alone, with the reason.
 * @param rootPath the root as the kernel gives it, `/proc/PID/root`
 * @throws NethooksError when the root cannot be opened: the container is gone
 */
export function writeBelowRoot(
  rootPath: string,
  dirs: readonly string[],
  name: string,
  content: string | Edit,
  options: WriteOptions = {},
): WriteResult {
  const shown = [...dirs, name].join('/');
  return scoped((open) => {
    const root = openRoot(open, rootPath);
    try {
      if (isHostRoot(root)) throw new Refusal("the container's root is the host's own");
      const directory = options.made
        ? descendMaking(open, root, dirs, rootPath, options.made)
        : descend(open, root, dirs, rootPath);
      const target = openTarget(open, directory, name, rootPath);
      const stats = target && fstatSync(target.fd);
      const replaced = target && stats && !(options.force && stats.isSymbolicLink());
      if (replaced) requireFile(stats, shown);
      const text = typeof content === 'string' ? content : content(replaced ? textOf(open, target, shown) : null);
      if (text === null) return { outcome: 'left', reason: `${shown} is somebody else's` };
      const data = Buffer.from(text);
      if (replaced) {
        if (stats.size === data.length && data.equals(readUpTo(open, target, data.length + 1)))
          return { outcome: 'unchanged' };
        if (target.mount !== directory.mount) throw new Refusal(`${shown} is a mount of its own`);
      }
      replace(directory, name, data, stats?.isFile() ? stats : null, open);
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

/**
 * Whether there is anything at `<root>/<dirs...>/<name>`, without following links.
 * @throws NethooksError when the root cannot be opened: the container is gone
 */
export function existsBelowRoot(rootPath: string, dirs: readonly string[], name: string): boolean {
  return below(rootPath, dirs, (open, directory) => openTarget(open, directory, name, rootPath) !== null) ?? false;
}

/**
 * Removes the regular file `<root>/<dirs...>/<name>` if `isOurs` says so of its text.
 * @throws NethooksError when the root cannot be opened: the container is gone
 */
export function removeBelowRoot(
  rootPath: string,
  dirs: readonly string[],
  name: string,
  isOurs: (text: string) => boolean,
): void {
  below(rootPath, dirs, (open, directory, shown) => {
    const target = openTarget(open, directory, name, rootPath);
    if (!target || !fstatSync(target.fd).isFile() || !isOurs(textOf(open, target, `${shown}/${name}`))) return;
    if (target.mount === directory.mount) removeEntry(directory, name, unlinkSync, ['rm', '-f']);
  });
}

/** Removes the directory `<root>/<dirs...>/<name>` if it is empty. */
export function removeDirectoryBelowRoot(rootPath: string, dirs: readonly string[], name: string): void {
  below(rootPath, dirs, (_, directory) => removeEntry(directory, name, rmdirSync, ['rmdir']));
}

/** Does something in a directory below the root; null where that cannot be reached, or the system refuses. */
function below<T>(
  rootPath: string,
  dirs: readonly string[],
  use: (open: Open, directory: Located, shown: string) => T,
): T | null {
  const shown = dirs.join('/');
  return scoped((open) => {
    const root = openRoot(open, rootPath);
    try {
      if (isHostRoot(root)) return null;
      return use(open, descend(open, root, dirs, rootPath), shown);
    } catch (error) {
      reasonOf(error, shown); // throws what is not about the container
      return null;
    }
  });
}

function removeEntry(directory: Located, name: string, remove: (path: string) => void, program: string[]): void {
  const owner = fstatSync(directory.fd);
  enter(
    owner,
    () => remove(entry(directory, name)),
    () => runAs(owner, directory, [...program, '--', `${INHERITED}/${name}`]),
  );
}

/** Down one directory after the other; those that are missing are made, with the owner of the one above. */
function descendMaking(open: Open, root: Located, dirs: readonly string[], rootPath: string, made: string[]): Located {
  return dirs.reduce((parent, name, depth) => {
    const shown = dirs.slice(0, depth + 1).join('/');
    const isMissing = openTarget(open, parent, name, rootPath) === null;
    if (isMissing) {
      makeDirectory(parent, name, open);
      made.push(shown);
    }
    const directory = descend(open, parent, [name], rootPath, dirs.slice(0, depth));
    if (isMissing && directory.mount !== parent.mount) throw new Refusal(`${shown} is a mount of its own`);
    return directory;
  }, root);
}

function makeDirectory(parent: Located, name: string, open: Open): void {
  const owner = fstatSync(parent.fd);
  enter(
    owner,
    () => mkdirSync(entry(parent, name), 0o755),
    () => runAs(owner, parent, ['mkdir', '-m', '755', '--', `${INHERITED}/${name}`]),
  );
  const made = locate(open(entry(parent, name), O_PATH | O_NOFOLLOW | O_DIRECTORY));
  const { uid, gid } = made.mount === parent.mount ? fstatSync(made.fd) : owner;
  if (uid !== owner.uid || gid !== owner.gid) chownSync(`/proc/self/fd/${made.fd}`, owner.uid, owner.gid);
}

function textOf(open: Open, target: Located, shown: string): string {
  const data = readUpTo(open, target, MAX_EDITED + 1);
  if (data.length > MAX_EDITED) throw new Refusal(`${shown} is longer than ${MAX_EDITED} bytes`);
  return data.toString();
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
function readUpTo(open: Open, file: Located, limit: number): Buffer {
  // Not O_NOFOLLOW: this link of /proc is the descriptor itself. O_NONBLOCK: a lease would hold us for 45 s.
  const fd = open(`/proc/self/fd/${file.fd}`, O_RDONLY | O_NONBLOCK);
  const data = Buffer.alloc(limit);
  let length = 0;
  for (let read = -1; read !== 0 && length < limit; length += read)
    read = readSync(fd, data, length, limit - length, length);
  return data.subarray(0, length);
}

function replace(directory: Located, name: string, data: Buffer, existing: Stats | null, open: Open): void {
  const temporary = `.nethooks-${process.pid}-${Math.random().toString(36).slice(2)}`;
  const owner = fstatSync(directory.fd);
  const fd = create(directory, temporary, owner, open);
  try {
    try {
      writeFileSync(fd, data);
      fchownSync(fd, existing?.uid ?? owner.uid, existing?.gid ?? owner.gid);
      fchmodSync(fd, existing ? existing.mode & 0o777 : 0o644);
    } finally {
      closeSync(fd);
    }
    const [from, to] = [entry(directory, temporary), entry(directory, name)];
    enter(
      owner,
      () => renameSync(from, to),
      () => runAs(owner, directory, ['mv', '-fT', '--', `${INHERITED}/${temporary}`, `${INHERITED}/${name}`]),
    );
  } catch (error) {
    rmSync(entry(directory, temporary), { force: true }); // force: the container may have moved it away
    throw error;
  }
}

/** Makes an empty file; its descriptor, for writing. */
function create(directory: Located, name: string, owner: Stats, open: Open): number {
  return enter(
    owner,
    () => openSync(entry(directory, name), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600),
    () => {
      runAs(owner, directory, ['dd', `of=${INHERITED}/${name}`, 'conv=excl', 'status=none']);
      // By its name: the container may have put something else there meanwhile.
      const file = locate(open(entry(directory, name), O_PATH | O_NOFOLLOW));
      if (file.mount !== directory.mount) throw new Refusal(`${name} is a mount of its own`);
      requireFile(fstatSync(file.fd), name);
      return openSync(`/proc/self/fd/${file.fd}`, O_WRONLY | O_NONBLOCK);
    },
  );
}

/**
 * Makes a directory entry. On an idmapped mount (`lxc.rootfs.options = idmap=container`) the host's root is nobody who could own a
 * file, so the kernel says EOVERFLOW (mount_setattr(2)); there it is done as the directory's owner.
 * @param instead does the same by programs, where this process cannot become the owner
 */
function enter<T>(owner: Stats, action: () => T, instead: () => T): T {
  try {
    return action();
  } catch (error) {
    if (codeOf(error) !== 'EOVERFLOW') throw error;
    try {
      return asUser(owner, action);
    } catch (refusal) {
      // Node changes no ids where it cannot tell whether its libuv uses io_uring (CVE-2024-22017): with Debian 13's shared one.
      if (codeOf(refusal) !== 'ERR_INVALID_STATE') throw refusal;
      return instead();
    }
  }
}

/** Runs `action` with the effective ids of a file's owner. They are the whole process's: nothing else may run meanwhile. */
function asUser<T>({ uid, gid }: Stats, action: () => T): T {
  const before = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 };
  process.setegid?.(gid);
  try {
    process.seteuid?.(uid);
    return action();
  } finally {
    process.seteuid?.(before.uid); // first, because it takes root to change the group
    process.setegid?.(before.gid);
  }
}

/** Where a program finds the directory that it is given. */
const INHERITED = '/proc/self/fd/3';
/** ms for a program that makes one directory entry. */
const PROGRAM_LIMIT = 2000;

/**
 * Runs a program as a file's owner, with a directory as its descriptor 3. setpriv(1) and the programs are in packages that every
 * Debian has (Essential).
 * @throws Refusal with what the program said
 */
function runAs({ uid, gid }: Stats, directory: Located, argv: readonly string[]): void {
  const args = [`--reuid=${uid}`, `--regid=${gid}`, '--clear-groups', '--', ...argv];
  const env = { PATH: '/usr/bin:/bin', LC_ALL: 'C' };
  const { code, stderr } = run({ command: 'setpriv', args, env, fd: directory.fd }, undefined, PROGRAM_LIMIT);
  if (code !== 0) throw new Refusal(`as user ${uid}: ${stderr.trim()}`);
}

/** Why the container's file was left: a refusal, or what the system said (EROFS, EBUSY, EACCES, ENOSPC, ...). */
function reasonOf(error: unknown, shown: string): string {
  if (error instanceof Refusal) return error.message;
  const code = codeOf(error);
  if (code === undefined || error instanceof TypeError) throw error;
  return `${shown}: ${code}`;
}
