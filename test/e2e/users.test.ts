/** Containers of an ordinary user (lxc-usernet(5)): LXC runs their hooks as that user. */
import { existsSync } from 'node:fs';
import { beforeAll, expect, it } from 'vitest';
import type { ThrowawayHost } from '../../src/demo/throwaway.ts';
import { BR0, describeLabUnless, eventually, hookLog, installedHost, must, STILL, sh } from '../lab/lab.ts';

let host: ThrowawayHost;
/** As the user, with a login shell; what it prints, and what it says. */
const asJoe = (script: string) => must(host, ['su', '-', 'joe', '-c', `set -e; { ${script}\n} 2>&1`]);
const CONTAINERS = '/home/joe/.local/share/lxc';
const below = (path: string) => must(host, ['cat', `${CONTAINERS}/web/rootfs${path}`]);
const inside = (command: string) => asJoe(`lxc-attach -n web -- sh -c '${command}'`);
const configure = (edit: string) =>
  asJoe(`lxc-stop -k -n web 2>/dev/null || :; cd ${CONTAINERS}/web; cp made config; ${edit}`);
const hookLine = (words: string) => `sed -i 's|lxc/start-host|& ${words}|' config`;
/** What LXC's log has of our hooks' words. */
const said = () => asJoe("sed -n 's/.*produced output: //p' log 2>/dev/null; rm -f log");

/** What newgidmap(1) and newuidmap(1) of the package uidmap let a user map. */
const missing = existsSync('/usr/bin/newuidmap') ? undefined : 'needs newuidmap: apt install uidmap';

describeLabUnless(missing, 'containers of an ordinary user', () => {
  beforeAll(async () => {
    host = await installedHost({ config: BR0 });
    // A user may mount proc and sysfs only where all of them can be seen already (user_namespaces(7)); a throwaway host covers parts.
    // The commands of nethooks(8); a lab has no adduser(8).
    await sh(
      host,
      `mkdir /run/whole-proc /run/whole-sys
      mount -t proc proc /run/whole-proc; mount -t sysfs sysfs /run/whole-sys
      useradd -m -s /bin/sh joe
      echo joe:100000:65536 >/etc/subuid; echo joe:100000:65536 >/etc/subgid
      echo 'joe veth br0 10' >>/etc/lxc/lxc-usernet`,
    );
    await asJoe(`mkdir -p ~/.config/lxc ~/.local/share/lxc && chmod o+x ~ ~/.local ~/.local/share
cp /etc/lxc/default.conf ~/.config/lxc/default.conf
awk -F: -v u="$USER" '$1 == u { print "lxc.idmap = u 0", $2, $3 }' /etc/subuid >>~/.config/lxc/default.conf
awk -F: -v u="$USER" '$1 == u { print "lxc.idmap = g 0", $2, $3 }' /etc/subgid >>~/.config/lxc/default.conf
lxc-create -n web -t busybox
cp ${CONTAINERS}/web/config ${CONTAINERS}/web/made`);
  }, 60_000);

  it('start with the default.conf that everybody copies: resolv.conf before init, address by DHCP, a way out', async () => {
    expect(await asJoe('lxc-start -n web -l DEBUG -o log')).toBe('');
    expect(await below('/etc/resolv.conf')).toBe('search lxc\nnameserver 10.0.0.1\n');
    await eventually(async () => expect(await inside('ip -4 -o address show dev eth0')).toMatch(/ 10\.0\.0\.\d+\/24 /));
    await eventually(async () => expect(await inside('ping -c 1 -W 1 198.51.100.1')).toContain('1 packets received'));
    expect(await inside('ping -c 1 -W 1 192.0.2.1')).toContain('1 packets received');
    expect(await said()).toBe('');
    expect(await asJoe('lxc-stop -k -n web -l DEBUG -o log; sleep 0.3')).toBe('');
    expect(await said()).toBe('');
  });

  it('has resolv.conf before its init runs, whose options stand on the hook line', async () => {
    await configure(
      `${hookLine('--hostname shop --add-host x.example:192.0.2.9 --dns-search a.example --mtu 1400')}; echo '${STILL}' >>config`,
    );
    await asJoe('lxc-start -n web -l DEBUG -o log');
    expect(await said()).toBe('');
    expect(await inside('cat /etc/resolv.conf; hostname')).toBe('search a.example\nnameserver 10.0.0.1\nshop\n');
    expect(await below('/etc/hosts')).toContain('127.0.1.1 shop\n192.0.2.9 x.example\n');
    expect(await inside('ip link show dev eth0')).toContain('mtu 1400');
    // The files are the container's, not the user's.
    expect(await sh(host, `stat -c %u ${CONTAINERS}/web/rootfs/etc/resolv.conf`)).toBe('100000\n');
    await configure(`echo '${STILL}' >>config`);
    await asJoe('lxc-start -n web');
    expect(await below('/etc/hosts')).not.toContain('x.example');
    expect(await below('/etc/resolv.conf')).toBe('search lxc\nnameserver 10.0.0.1\n');
  });

  it("knows nothing of root's container of that name, and leaves its options and records alone", async () => {
    await sh(
      host,
      'mkdir -p /etc/nethooks/containers; printf "hostname = root\npublish = 8080:80\n" >/etc/nethooks/containers/web.ini',
    );
    await configure(`echo '${STILL}' >>config`);
    await asJoe('lxc-start -n web -l DEBUG -o log');
    expect(await said()).toBe('');
    expect(await inside('hostname')).not.toContain('root');
    expect(await sh(host, 'find /run/nethooks /var/lib/nethooks -user joe -o -user 100000 -o -name "*web*"')).toBe('');
  });

  it('is refused what only root can give, with the reason on the terminal', async () => {
    for (const [words, why] of [
      [
        '--publish 80:80',
        "hook line: publish: only root's containers can have it; allowed for a user's: hostname, dns",
      ],
      ['--address 10.0.0.50', "hook line: address: only root's containers can have it"],
      ['--colour red', 'hook line: --colour: unknown; allowed: --network'],
      ['--network br9', 'network = br9: lxc.net.0 is on br0'],
    ] as const) {
      await configure(hookLine(words));
      const line = `nethooks: container web was not started: ${why}`;
      expect(await asJoe('lxc-start -n web 2>&1 | cat'), words).toContain(line);
      expect(await asJoe("script -qec 'lxc-start -n web' /dev/null || :"), words).toContain(line);
    }
  });

  it('a root that is hostile stays as it is, and the start goes on', async () => {
    await configure(`echo '${STILL}' >>config`);
    await sh(host, `echo secret >/run/secret; ln -sf /run/secret ${CONTAINERS}/web/rootfs/etc/resolv.conf`);
    await asJoe('lxc-start -n web -l DEBUG -o log');
    expect(await said()).toBe(
      'nethooks: start-host web: /etc/resolv.conf in the container is left as it is: etc/resolv.conf is a symbolic link\n',
    );
    expect(await must(host, ['cat', '/run/secret'])).toBe('secret\n');
    await sh(host, `rm ${CONTAINERS}/web/rootfs/etc/resolv.conf`);
  });

  it('copies and ends quietly', async () => {
    await configure('');
    expect(await asJoe('lxc-copy -n web -N copy -l DEBUG -o log')).toBe('');
    expect(await said()).toBe('');
    expect(await asJoe('lxc-start -n copy')).toBe('');
    expect(await asJoe('lxc-stop -k -n copy; lxc-destroy -n copy -l DEBUG -o log')).toBe('');
    expect(await said()).toBe('');
    expect((await host.run(['nethooks', 'status'])).stderr).toBe('');
    expect(await hookLog(host)).toBe('');
  });
});
