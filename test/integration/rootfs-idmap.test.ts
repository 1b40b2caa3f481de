import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { bundle, RUNTIMES } from '../lab/driver.ts';

const DRIVER = `
import { lstatSync, writeFileSync } from 'node:fs';
import { writeBelowRoot } from '#src/system/rootfs.ts';
const [root, output, ids] = process.argv.slice(2);
if (ids === 'fixed')
  process.seteuid = process.setegid = () => { throw Object.assign(new Error('disabled'), { code: 'ERR_INVALID_STATE' }); };
const write = (content) => writeBelowRoot(root, ['etc'], 'resolv.conf', content).outcome;
const outcomes = [write('first'), write('first'), write('second')];
const { uid, gid } = lstatSync(root + '/etc/resolv.conf');
writeFileSync(output, JSON.stringify({ outcomes, uid, gid, ids: [process.geteuid(), process.getegid()] }));
`;

let base: string;
let driver: ReturnType<typeof bundle>;

beforeAll(() => {
  driver = bundle(DRIVER);
  base = mkdtempSync(join(tmpdir(), 'nethooks-idmap-'));
  chmodSync(base, 0o755);
});
afterAll(() => {
  driver?.remove();
  rmSync(base, { recursive: true, force: true });
});

/**
 * A real container whose root is idmapped: on the disk its files belong to 0, through the mount to 100000, and the host's root has
 * no id there at all. Its start-host hook runs the driver; its init copies the file and ends.
 */
it.each([
  ['node', ''],
  // As on Debian 13, whose libuv node does not trust.
  ['node', 'fixed'],
  ['bun', ''],
] as const)("in an idmapped root the file is the container's root's, under %s %s", (runtime, ids) => {
  const output = join(base, `${runtime}${ids}.json`);
  const lxc = join(base, 'lxc');
  const hook = join(base, 'hook');
  mkdirSync(lxc, { recursive: true });
  writeFileSync(hook, `#!/bin/sh\nexec ${RUNTIMES[runtime]} ${driver.path} /proc/$LXC_PID/root ${output} ${ids}\n`, {
    mode: 0o755,
  });
  const config = [
    `lxc.rootfs.path = dir:${lxc}/c/rootfs`,
    'lxc.rootfs.options = idmap=container',
    'lxc.idmap = u 0 100000 65536',
    'lxc.idmap = g 0 100000 65536',
    'lxc.net.0.type = empty',
    'lxc.apparmor.profile = unconfined',
    'lxc.mount.auto = proc:mixed',
    'lxc.init.cmd = /bin/busybox cp /etc/resolv.conf /etc/seen',
    `lxc.hook.start-host = ${hook}`,
  ];
  const script = `set -e
    mount -t tmpfs -o mode=755 tmpfs ${lxc} # not every file system can be idmapped; this one can
    mkdir ${lxc}/proc
    # A user namespace may mount /proc only where one can be seen whole; the one of a machine in a container is partly covered.
    mount -t proc proc ${lxc}/proc
    mkdir -p ${lxc}/c/rootfs/bin ${lxc}/c/rootfs/etc ${lxc}/c/rootfs/proc ${lxc}/c/rootfs/dev ${lxc}/c/rootfs/sys
    cp /bin/busybox ${lxc}/c/rootfs/bin/
    cat > ${lxc}/c/config
    # newuidmap(1), where it is installed, asks for leave.
    echo root:100000:65536 >${base}/ids; for file in subuid subgid; do : >>/etc/$file; mount --bind ${base}/ids /etc/$file; done
    lxc-start -P ${lxc} -n c -F -l DEBUG -o ${base}/log || { cat ${base}/log; exit 1; }
    ls -ln ${lxc}/c/rootfs/etc; cat ${lxc}/c/rootfs/etc/seen`;
  const printed = execFileSync('unshare', ['-m', '-n', '--propagation', 'private', 'sh', '-c', script], {
    input: `${config.join('\n')}\n`,
    encoding: 'utf8',
    timeout: 25_000,
  });
  expect(JSON.parse(readFileSync(output, 'utf8'))).toEqual({
    outcomes: ['written', 'unchanged', 'written'],
    uid: 100000,
    gid: 100000,
    ids: [0, 0],
  });
  expect(printed).toMatch(/-rw-r--r-- 1 0 0 .* resolv\.conf\n/);
  expect(printed).toMatch(/\nsecond$/);
});
