import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { bundle, RUNTIMES } from '../lab/driver.ts';
import { isOnOverlay } from '../lab/machine.ts';

const TEXT = 'search lxc\nnameserver 10.0.0.1\n';
const SECRET = "the host's own\n";

interface Answer {
  results: ({ outcome: string; reason?: string } | string | null)[];
  /** Descriptors that were open before and after, and how many bytes were read in between: rchar of proc_pid_io(5). */
  before: number;
  after: number;
  bytes: number;
}

/** argv: ROOT and the calls as JSON. What it prints is an Answer, or the error's name and message. */
const DRIVER = `
import { readdirSync, readFileSync } from 'node:fs';
import { readBelowRoot, writeBelowRoot } from '#src/system/rootfs.ts';
const [root, calls] = process.argv.slice(2);
const open = () => readdirSync('/proc/self/fd').length;
const bytesRead = () => Number(/rchar: (\\d+)/.exec(readFileSync('/proc/self/io', 'utf8'))[1]);
const [before, results, begun] = [open(), [], bytesRead()];
try {
  for (const { times = 1, read, content, force } of JSON.parse(calls)) {
    for (let i = 0; i < times; i++) {
      if (read !== undefined) results.push(readBelowRoot(root, ['etc'], 'resolv.conf', read));
      else results.push(writeBelowRoot(root, ['etc'], 'resolv.conf', content + (times > 1 ? i : ''), { force }));
    }
  }
} catch (error) {
  results.push(error.name + ': ' + error.message);
}
const bytes = bytesRead() - begun;
const after = open(); // before process.stdout opens something
process.stdout.write(JSON.stringify({ results, before, after, bytes }));
`;

/**
 * argv: ROOT. Swaps etc for a link that leads outside and back, and etc/resolv.conf for a trap, until it is killed. The links
 * are relative: absolute ones would lead into our mount namespace, where the mount id alone gives them away.
 */
const SWAPPER = `
import { mkdirSync, renameSync, rmSync, symlinkSync } from 'node:fs';
const [root] = process.argv.slice(2);
const attempt = (action) => { try { action(); } catch {} };
process.stdout.write('ready');
for (;;) {
  attempt(() => renameSync(root + '/etc', root + '/real'));
  attempt(() => symlinkSync('../outside', root + '/etc'));
  attempt(() => rmSync(root + '/etc'));
  attempt(() => renameSync(root + '/real', root + '/etc'));
  attempt(() => symlinkSync('../../outside/secret', root + '/etc/trap'));
  attempt(() => renameSync(root + '/etc/trap', root + '/etc/resolv.conf'));
  attempt(() => rmSync(root + '/etc/resolv.conf'));
}
`;

/** Not on an overlay: what is mounted from one is refused. */
const DISK = isOnOverlay(tmpdir()) ? '/run' : tmpdir();

let driver: ReturnType<typeof bundle>;
let swapper: ReturnType<typeof bundle>;
let base: string;
let root: string;
let outside: string;
let container: ChildProcess | null = null;

beforeAll(() => {
  expect(process.getuid?.(), 'needs root: traps are made of devices and mounts').toBe(0);
  expect(existsSync('/bin/busybox'), 'apt install busybox-static').toBe(true);
  driver = bundle(DRIVER);
  swapper = bundle(SWAPPER);
});
afterAll(() => {
  driver?.remove();
  swapper?.remove();
});

beforeEach(() => {
  base = mkdtempSync(join(DISK, 'nethooks-rootfs-'));
  root = join(base, 'root');
  outside = join(base, 'outside');
  for (const directory of [join(root, 'etc'), join(root, 'bin'), outside]) mkdirSync(directory, { recursive: true });
  writeFileSync(join(root, 'bin/busybox'), '');
  writeFileSync(join(outside, 'secret'), SECRET);
});

afterEach(async () => {
  await stop(container);
  container = null;
  try {
    // Whatever a test did: nothing outside of the root was read from, written to, made or given away.
    expect(readdirSync(outside).sort()).toEqual(['secret']);
    expect(readFileSync(join(outside, 'secret'), 'utf8')).toBe(SECRET);
    expect(statSync(join(outside, 'secret'))).toMatchObject({ uid: 0, gid: 0, mode: 0o100644 });
  } finally {
    rmSync(base, { recursive: true, force: true });
  }
});

async function stop(child: ChildProcess | null): Promise<void> {
  if (!child || child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('close', resolve));
  child.kill('SIGKILL');
  await ended;
}

/** A process in a mount namespace of its own whose root is `root`; `mounts` runs there first. Returns the path of that root. */
async function contain(mounts = ''): Promise<string> {
  const inside = 'echo ready; exec /bin/busybox sleep 60';
  // Bound, and not copied: /run may be mounted with noexec.
  const script = `set -e; R=${root}; OUT=${outside}; mount --bind /bin/busybox $R/bin/busybox; ${mounts}\nexec chroot $R /bin/busybox sh -c '${inside}'`;
  container = spawn('unshare', ['-m', '--propagation', 'private', 'sh', '-c', script], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  await ready(container);
  return `/proc/${container.pid}/root`;
}

function ready(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let stderr = '';
    child.stderr?.on('data', (data) => {
      stderr += data;
    });
    child.stdout?.once('data', () => resolve());
    child.once('close', (code) => reject(new Error(`ended with ${code}: ${stderr}`)));
  });
}

const mkfifo = (path: string) => execFileSync('mkfifo', [path]);
const target = () => join(root, 'etc/resolv.conf');
const content = () => readFileSync(target(), 'utf8');

describe.each(['node', 'bun'] as const)('under %s', (runtime) => {
  /** Runs the calls in a process that is killed when it hangs. */
  function run(path: string, ...calls: object[]): Answer {
    const { stdout, stderr, signal } = spawnSync(RUNTIMES[runtime], [driver.path, path, JSON.stringify(calls)], {
      encoding: 'utf8',
      timeout: 15_000,
      killSignal: 'SIGKILL',
      maxBuffer: 1 << 26,
    });
    expect(signal, `it hung\n${stderr}`).toBeNull();
    expect(stderr).toBe('');
    const answer = JSON.parse(stdout) as Answer;
    expect(answer.after, 'descriptors left open').toBe(answer.before);
    return answer;
  }
  const write = (path: string, options: object = {}) => run(path, { content: TEXT, ...options }).results[0];
  const read = (path: string, maxBytes = 1000) => run(path, { read: maxBytes }).results[0];
  const left = (reason: string | RegExp) => ({ outcome: 'left', reason: expect.stringMatching(reason) });
  const noTemporaryFile = (directory = join(root, 'etc')) => {
    expect(readdirSync(directory).filter((name) => name.startsWith('.'))).toEqual([]);
  };

  it('a file is made, then left unchanged, then replaced', async () => {
    const path = await contain();
    expect(read(path)).toBeNull();
    expect(write(path)).toEqual({ outcome: 'written' });
    expect(content()).toBe(TEXT);
    const made = statSync(target());
    expect(made).toMatchObject({ uid: 0, gid: 0, mode: 0o100644, nlink: 1 });
    expect(write(path)).toEqual({ outcome: 'unchanged' });
    expect(statSync(target())).toMatchObject({ ino: made.ino, mtimeMs: made.mtimeMs });
    expect(write(path, { content: TEXT.toUpperCase() })).toEqual({ outcome: 'written' });
    expect(read(path)).toBe(TEXT.toUpperCase());
    expect(write(path, { content: '' })).toEqual({ outcome: 'written' });
    expect(read(path, 0)).toBe('');
    noTemporaryFile();
  });

  it("a new file gets the directory's owner; an old one keeps owner and mode", async () => {
    const path = await contain();
    chownSync(join(root, 'etc'), 100000, 100007);
    expect(write(path)).toEqual({ outcome: 'written' });
    expect(statSync(target())).toMatchObject({ uid: 100000, gid: 100007, mode: 0o100644 });
    chownSync(target(), 100005, 100006);
    chmodSync(target(), 0o4640);
    expect(write(path, { content: 'x' })).toEqual({ outcome: 'written' });
    expect(statSync(target())).toMatchObject({ uid: 100005, gid: 100006, mode: 0o100640 });
  });

  it('a umask does not matter', async () => {
    const path = await contain();
    const before = process.umask(0o077);
    try {
      write(path);
    } finally {
      process.umask(before);
    }
    expect(statSync(target()).mode).toBe(0o100644);
  });

  it.each([
    ['absolute', () => symlinkSync(outside, join(root, 'etc'))],
    ['relative', () => symlinkSync('../outside', join(root, 'etc'))],
    ['inside', () => symlinkSync('bin', join(root, 'etc'))],
    ['a file', () => writeFileSync(join(root, 'etc'), '')],
    ['a fifo', () => mkfifo(join(root, 'etc'))],
  ])('an etc that is no directory is left: %s', async (_, make) => {
    rmSync(join(root, 'etc'), { recursive: true });
    make();
    const path = await contain();
    expect(write(path)).toEqual(left('etc is no directory'));
    expect(write(path, { force: true })).toEqual(left('etc is no directory'));
    expect(read(path)).toBeNull();
    expect(readdirSync(join(root, 'bin'))).toEqual(['busybox']);
  });

  it('a missing etc is left', async () => {
    const path = await contain();
    rmSync(join(root, 'etc'), { recursive: true });
    expect(write(path)).toEqual(left('there is no etc'));
    expect(existsSync(join(root, 'etc'))).toBe(false);
  });

  it.each(['/etc/passwd', '../../outside/secret', 'dangling', '/proc/self/root'])(
    'a link to %s is left, or replaced with force',
    async (to) => {
      const path = await contain();
      const destination = to.startsWith('..') ? join(outside, 'secret') : to;
      symlinkSync(destination, target());
      const passwd = readFileSync('/etc/passwd', 'utf8');
      expect(write(path)).toEqual(left('etc/resolv.conf is a symbolic link'));
      expect(read(path)).toBeNull();
      expect(readlinkSync(target())).toBe(destination);
      expect(write(path, { force: true })).toEqual({ outcome: 'written' });
      expect(lstatSync(target()).isFile()).toBe(true);
      expect(content()).toBe(TEXT);
      expect(readFileSync('/etc/passwd', 'utf8')).toBe(passwd);
      noTemporaryFile();
    },
  );

  it.each([
    ['a fifo', () => mkfifo(target())],
    ['a directory', () => mkdirSync(target())],
    ['a device', () => execFileSync('mknod', [target(), 'c', '1', '5'])],
    ['a socket', () => new Promise<void>((resolve) => createServer().listen(target(), resolve).unref())],
  ])('%s is left, also with force', async (kind, make) => {
    const path = await contain();
    await make();
    const before = lstatSync(target());
    for (const force of [false, true]) expect(write(path, { force })).toEqual(left(`etc/resolv.conf is ${kind}`));
    expect(read(path)).toBeNull();
    expect(lstatSync(target())).toMatchObject({ ino: before.ino, mode: before.mode, uid: before.uid });
    rmSync(target(), { recursive: true });
  });

  it('a hard link is replaced, what it shares is not', async () => {
    const path = await contain();
    linkSync(join(outside, 'secret'), target());
    expect(write(path)).toEqual({ outcome: 'written' });
    expect(content()).toBe(TEXT);
    expect(statSync(join(outside, 'secret')).nlink).toBe(1);
  });

  it('a huge file is replaced without being read', async () => {
    const path = await contain();
    writeFileSync(target(), 'x');
    truncateSync(target(), 2 ** 40);
    expect(read(path)).toBeNull();
    const { results, bytes } = run(path, { content: TEXT });
    expect(results).toEqual([{ outcome: 'written' }]);
    expect(bytes).toBeLessThan(2 ** 20);
    expect(content()).toBe(TEXT);
  });

  it('reads up to the limit, and nothing longer', async () => {
    const path = await contain();
    writeFileSync(target(), 'ä\n');
    expect(read(path, 3)).toBe('ä\n');
    expect(read(path, 2)).toBeNull();
  });

  describe('mounts', () => {
    it('a file that is bind-mounted is left unless it says the same', async () => {
      writeFileSync(target(), '');
      const path = await contain('mount --bind $OUT/secret $R/etc/resolv.conf');
      for (const force of [false, true])
        expect(write(path, { force })).toEqual(left('etc/resolv.conf is a mount of its own'));
      expect(write(path, { content: SECRET })).toEqual({ outcome: 'unchanged' });
      noTemporaryFile();
    });

    it('a read-only directory is left', async () => {
      const path = await contain('mount --bind $R/etc $R/etc; mount -o remount,bind,ro $R/etc');
      expect(write(path)).toEqual(left('etc/resolv.conf: EROFS'));
      noTemporaryFile();
    });

    it('a full disk is left, without a temporary file', async () => {
      const path = await contain('mount -t tmpfs -o size=4k tmpfs $R/etc; head -c 4096 /dev/zero > $R/etc/filler');
      expect(write(path)).toEqual(left('etc/resolv.conf: ENOSPC'));
      expect(readdirSync(join(path, 'etc'))).toEqual(['filler']);
    });

    it('a tmpfs on etc is as good as any', async () => {
      const path = await contain('mount -t tmpfs tmpfs $R/etc');
      expect(write(path)).toEqual({ outcome: 'written' });
      expect(read(path)).toBe(TEXT);
    });

    // A file system whose server never answers. Descriptor 3 stays open in the container: the server is alive, it just waits.
    const fuse = (mode: number, path: string) =>
      `exec 3<>/dev/fuse; busybox mount -t fuse -o fd=3,rootmode=${mode.toString(8)},user_id=0,group_id=0 none $R/${path};`;

    it('an etc that its owner serves himself is not asked anything', async () => {
      const path = await contain(fuse(0o40000, 'etc'));
      expect(write(path)).toEqual(left('etc is a mount of type fuse'));
      expect(read(path)).toBeNull();
    });

    it('nor is such a resolv.conf', async () => {
      writeFileSync(target(), '');
      const path = await contain(fuse(0o100000, 'etc/resolv.conf'));
      for (const force of [false, true])
        expect(write(path, { force })).toEqual(left('resolv.conf is a mount of type fuse'));
      expect(read(path)).toBeNull();
    });

    it('nor an overlay, which may be made of one', async () => {
      const path = await contain(
        'mkdir $R/l $R/u $R/w; mount -t tmpfs t $R/u; mkdir $R/u/u $R/u/w; mount -t overlay -o lowerdir=$R/l,upperdir=$R/u/u,workdir=$R/u/w o $R/etc',
      );
      expect(write(path)).toEqual(left('etc is a mount of type overlay'));
    });
  });

  it.each([false, true])(
    'a container that swaps directories and files all the time gains nothing (force: %s)',
    async (force) => {
      const path = await contain();
      const hostile = spawn(RUNTIMES.bun, [swapper.path, root], { stdio: ['ignore', 'pipe', 'pipe'] });
      try {
        await ready(hostile);
        const { results } = run(path, { content: 'nameserver 10.0.0.', times: 1000, force });
        const outcomes = results.map((result) => (result as { outcome: string }).outcome);
        expect(outcomes.filter((outcome) => !['written', 'unchanged', 'left'].includes(outcome))).toEqual([]);
        expect(outcomes).toContain('written');
        expect(outcomes).toContain('left');
      } finally {
        await stop(hostile);
      }
    },
  );

  it('a container that is gone is an error', async () => {
    const path = await contain();
    await stop(container);
    expect(write(path)).toMatch(
      /^NethooksError: cannot open the container's root \/proc\/\d+\/root \(ENOENT\): is the container gone\?/,
    );
    expect(read(path)).toMatch(/^NethooksError/);
  });

  it("the host's own root is left: the pid may have been given to another process", () => {
    expect(write('/proc/self/root')).toEqual(left("the container's root is the host's own"));
  });
});
