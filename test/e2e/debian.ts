/** A Debian of its own with systemd as PID 1, booted inside a throwaway host: install.sh's natural surroundings. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { resolve } from 'node:path';
import { promisify } from 'node:util';
import type { RunOptions, RunResult } from '../../src/demo/enter.ts';
import type { ThrowawayHost } from '../../src/demo/throwaway.ts';
import { labHost, must, sh } from '../lab/lab.ts';

/** Where bootstrapped systems are kept from one run to the next. */
const CACHE = '/var/cache/nethooks-test';
const SUITE = 'bookworm';

/** What Debian's installer puts on every machine, as far as it matters here. */
const STANDARD = 'apt,dbus,ifupdown,iproute2,isc-dhcp-client,kmod,libpam-systemd,procps,systemd-sysv';

/** Transactions whose packages are downloaded only, so that they can be installed later, without a network, by apt itself. */
const DOWNLOADED = [
  'nftables iptables dnsmasq-base lxc busybox-static iputils-ping conntrack',
  'systemd-resolved',
  'resolvconf',
  'ufw',
  'firewalld',
  'dnsmasq',
  'bind9',
  'unbound',
  'dhcpcd',
];

export interface DebianHost {
  /** The throwaway host that it runs in; its uplinks are those of the system. */
  readonly machine: ThrowawayHost;
  /** Runs a command as an admin's login shell would: in a session scope of its own below systemd. */
  run(argv: readonly string[], options?: RunOptions): Promise<RunResult>;
  /** The same for a script; throws if it fails, else its output. */
  sh(script: string, timeoutMs?: number): Promise<string>;
  /** `systemctl reboot`, and waits until it is up again. */
  reboot(): Promise<void>;
}

/** What a release consists of, for install.sh to find in its own directory. */
const RELEASE = ['install.sh', 'build.mjs', 'package.json', 'docs', 'hooks', 'templates', 'dist'];

/**
 * Boots a fresh system with a release of this checkout in /root/nethooks. Its interfaces are the throwaway host's: eth0 with a
 * fixed address, as after an installation by hand.
 */
export async function bootDebian(): Promise<DebianHost> {
  const root = await bootstrapped(SUITE, OPTIONS);
  const machine = await labHost({ uplinks: 2, dns: true });
  await sh(machine, PREPARE, [root, ...RELEASE.map((path) => resolve(path))]);
  const boot = () => sh(machine, BOOT, [root], { timeoutMs: 60_000 });
  await boot();
  const run: DebianHost['run'] = (argv, options = {}) =>
    machine.run(['sh', '-euc', ENTER, 'enter', options.cwd ?? '/root', ...argv], { ...options, cwd: '/' });
  return {
    machine,
    run,
    sh: (script, timeoutMs = 30_000) => must({ ...machine, run }, ['sh', '-euc', script], { timeoutMs }),
    reboot: async () => {
      await run(['systemctl', 'reboot']);
      await sh(machine, GONE, [], { timeoutMs: 60_000 });
      await boot();
    },
  };
}

const OPTIONS = [
  '--variant=minbase',
  `--include=${STANDARD}`,
  '--skip=cleanup/apt',
  ...DOWNLOADED.map(
    (packages) =>
      `--customize-hook=chroot "$1" apt-get -qq --no-install-recommends --download-only install ${packages}`,
  ),
];

/** A system's directory, bootstrapped on first use, which takes half a minute and Debian's mirror. */
export async function bootstrapped(suite: string, options: readonly string[]): Promise<string> {
  const key = createHash('sha256')
    .update([suite, ...options].join('\n'))
    .digest('hex')
    .slice(0, 12);
  const root = `${CACHE}/${suite}-${key}`;
  if (existsSync(root)) return root;
  mkdirSync(CACHE, { recursive: true });
  const temporary = mkdtempSync(`${CACHE}/new-`);
  try {
    await promisify(execFile)('mmdebstrap', ['--quiet', ...options, suite, temporary], { timeout: 280_000 });
    renameSync(temporary, root);
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
  return root;
}

/** In the throwaway host, once: what an installer would have asked for. */
const PREPARE = `
cd "$1"
shift
mkdir root/nethooks
cp -a "$@" root/nethooks
rm -f etc/resolv.conf
echo debian >etc/hostname
printf '127.0.0.1\\tlocalhost\\n127.0.1.1\\tdebian\\n' >etc/hosts
echo 'nameserver 198.51.100.1' >etc/resolv.conf
cat >etc/network/interfaces <<'END'
source /etc/network/interfaces.d/*
auto lo
iface lo inet loopback
auto eth0
iface eth0 inet static
    address 192.0.2.2/24
    gateway 192.0.2.1
END
: >etc/machine-id
# There is no terminal.
ln -s /dev/null etc/systemd/system/console-getty.service
mkdir /sys/fs/cgroup/debian
`;

/** Starts systemd and waits until it has started everything. PID file and log are the throwaway host's. */
const BOOT = `
cat >/run/boot-debian <<'END'
set -eu
mount --bind "$1" "$1"
cd "$1"
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount --bind proc/sys/net proc/sys/net
mount -o remount,bind,ro proc/sys # the kernel is the machine's
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount --rbind /dev dev
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5 devpts dev/pts
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
pivot_root . .
umount -l .
exec env -i container=throwaway PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb /sbin/init
END
# The addresses of a machine that was just switched on: none.
for link in eth0 eth1; do ip address flush dev "$link"; ip link set dev "$link" down; done
(
  echo 0 >/sys/fs/cgroup/debian/cgroup.procs
  exec setsid unshare --mount --pid --ipc --uts --cgroup --fork --kill-child sh /run/boot-debian "$1" </dev/null >/run/debian.log 2>&1
) &
echo "$!" >/run/debian.unshare
tries=0
until pid=$(pgrep -P "$!") && nsenter -t "$pid" -m -p test -S /run/systemd/private 2>/dev/null; do
  tries=$((tries + 1))
  [ "$tries" -lt 300 ] || { cat /run/debian.log; exit 1; }
  sleep 0.05
done
echo "$pid" >/run/debian.pid
nsenter -t "$pid" -m -p -i -u systemctl is-system-running --wait >/dev/null || true
`;

const GONE = `
tries=0
while kill -0 "$(cat /run/debian.unshare)" 2>/dev/null; do
  tries=$((tries + 1))
  [ "$tries" -lt 1000 ] || exit 1
  sleep 0.05
done
`;

/** Into its control group first: nobody moves into a cgroup namespace from outside (cgroups(7), nsdelegate). */
const ENTER = `
cwd=$1
shift
echo 0 >/sys/fs/cgroup/debian/init.scope/cgroup.procs
exec nsenter -t "$(cat /run/debian.pid)" -m -p -i -u -C -- systemd-run --scope --quiet --collect -- env -C "$cwd" -- "$@"
`;
