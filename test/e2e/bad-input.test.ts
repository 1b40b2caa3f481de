/** What cannot work is said, with who is to blame and the way out, and nothing is changed; and no hook hangs whoever calls it. */
import { resolve } from 'node:path';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { ThrowawayHost } from '../../src/demo/throwaway.ts';
import {
  BR0,
  commandsOn,
  createContainer,
  describeLab,
  eventually,
  installedHost,
  must,
  STILL,
  sh,
  snapshot,
  steady,
  writeConfig,
  writeFile,
} from '../lab/lab.ts';

const CONFIG = '/etc/nethooks/nethooks.ini';
const HOOK_LOG = '/var/log/nethooks/hooks.log';

let host: ThrowawayHost;
const nethooks = (...words: string[]) => host.run(['nethooks', ...words]);
const { hookLog } = commandsOn(() => host);
/** Network, files, daemons and what nethooks keeps, apart from what it may remember to save time, and configurations. */
const state = async () =>
  steady(await snapshot(host, ['/etc/resolv.conf', '/etc/lxc/default.conf', '/etc/sysctl.d/60-nethooks.conf'])) +
  (await sh(
    host,
    `pgrep -fa '/run/[n]ethooks/dnsmasq' || true
    find /run/nethooks /var/lib/nethooks /var/lib/cni -type f ! -name config.json ! -name '*.leases' ! -name '*.pid' \\
      ! -path '*/install/*' ! -path '*/cache/*' ! -path '*/told/*' ! -path '*/gc/*' ! -path '*/refused/*' ! -name 'last_reserved_ip.*' | sort | xargs md5sum`,
  ));
/** A nethooks command that must fail with these words and change nothing. */
const refused = async (words: string[], message: RegExp, code = 1) => {
  const before = await state();
  const result = await nethooks(...words);
  expect(result.stderr).toMatch(message);
  expect(result.code).toBe(code);
  expect(await state()).toBe(before);
};

describeLab('bad input', () => {
  beforeAll(async () => {
    host = await installedHost({
      uplinks: 2,
      dns: true,
      config: BR0,
      containers: ['test', 'second'],
      containerConfig: STILL,
    });
  });

  beforeEach(async () => {
    await writeConfig(host, BR0);
    await sh(host, 'rm -f "$1"', [HOOK_LOG]);
  });

  describe('on the command line', () => {
    it.each([
      [['frobnicate'], /unknown command 'frobnicate'/],
      [['up', '--frobnicate'], /unknown option '--frobnicate'/],
      [['down', 'br7'], /no network br7 is up; up: br0/],
      [['hook', 'frobnicate'], /hook frobnicate: unknown; allowed: pre-start, start-host, /],
    ])('%j is a matter of usage', async (words, message) => {
      await refused(words, message, 2);
    });

    it('only root may change anything, and look closely', async () => {
      const before = await state();
      for (const command of ['up', 'down', 'plan', 'status'])
        expect(await host.run(['setpriv', '--reuid=nobody', '--clear-groups', 'nethooks', command])).toMatchObject({
          code: 1,
          stdout: '',
          stderr: `nethooks: ${command} needs root\n`,
        });
      expect(await state()).toBe(before);
      await sh(host, 'mv "$1" /run/kept.ini', [CONFIG]);
      const init = await host.run(['setpriv', '--reuid=nobody', '--clear-groups', 'nethooks', 'config', 'init']);
      expect(init).toMatchObject({ code: 1, stdout: '', stderr: 'nethooks: config init needs root\n' });
      await sh(host, 'mv /run/kept.ini "$1"', [CONFIG]);
    });

    it('what --json prints is JSON', async () => {
      for (const words of [
        ['status'],
        ['plan'],
        ['up'],
        ['up', '--dry-run'],
        ['down', '--dry-run'],
        ['config', 'show'],
      ])
        expect(JSON.parse(await must(host, ['nethooks', ...words, '--json']))).toBeTypeOf('object');
    });
  });

  describe('in the configuration', () => {
    const network = (lines: string) => `[network.br0]\n${lines}\n`;
    it.each([
      [
        'no INI',
        '[network.br0\naddress\n',
        /nethooks\.ini:1: `\[network\.br0`: is neither \[section\] nor key = value/,
      ],
      ['an unknown key', `${BR0}adress = 1\n`, /nethooks\.ini:3: \[network\.br0\] adress = 1: unknown key; allowed: a/],
      [
        'a bad address',
        network('address = 10.0.0.300/24'),
        /nethooks\.ini:2: .* address = 10\.0\.0\.300\/24: allowed: /,
      ],
      [
        'a range outside of the subnet',
        `${BR0}dhcp = 10.1.0.2-10.1.0.9\n`,
        /nethooks\.ini:3: .* lies outside 10\.0\.0\.0\/24; allowed: /,
      ],
      [
        'ranges that overlap',
        `${BR0}dhcp = 10.0.0.2-10.0.0.99\nreserve = 10.0.0.50-10.0.0.60\n`,
        /nethooks\.ini:4: .* overlaps dhcp = .*; allowed: /,
      ],
      [
        'a bridge name that no interface can have',
        BR0.replace('br0', 'br0123456789abcd'),
        /\[network\.br0123456789abcd\]: not a bridge name; allowed: up to 15 characters/,
      ],
    ])('%s: every command says where, and what is allowed', async (_what, ini, message) => {
      await writeConfig(host, ini);
      for (const words of [['up'], ['plan'], ['config', 'check']]) await refused(words, message);
      const { code, stdout, stderr } = await nethooks('status');
      expect({ code, stderr }).toEqual({
        code: 3,
        stderr: 'nethooks: the last good configuration is in use until the file is mended\n',
      });
      expect(stdout).toMatch(/^br0 {2}10\.0\.0\.1\/24 {2}up /);
      expect(stdout).toMatch(message);
      expect(stdout).toMatch(/^ {2}mistake {5}\S/m);
      const { findings } = JSON.parse((await nethooks('status', '--json')).stdout);
      expect(findings[0]).toMatchObject({ severity: 'mistake', about: 'host', text: expect.stringMatching(message) });
    });

    it('if-up.d logs it, and goes on with the last good one', async () => {
      await must(host, ['nethooks', 'up']);
      const before = await state();
      await writeConfig(host, '[network.br0\n');
      await sh(host, 'ip link set br0 down');
      const env = { IFACE: 'eth0', ADDRFAM: 'inet', METHOD: 'static', MODE: 'start', PHASE: 'post-up' };
      const { code, stdout, stderr } = await host.run(['/etc/network/if-up.d/nethooks'], { env });
      expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: '', stderr: '' });
      expect(await hookLog()).toMatch(
        /^\S+Z [a-z-]+( \w+)?: configuration: \/etc\/nethooks\/nethooks\.ini:1: [^\n]*; the last good one stays in use\n$/,
      );
      expect(await state()).toBe(before);
    });

    describe('containers go on to start with the last good one', () => {
      const MISTAKES = `${BR0}adress = 1\nmtu = none\n`;
      const LOGGED =
        /^\S+Z [a-z-]+( \w+)?: configuration: \S*nethooks\.ini:\d: [^\n]* \(and 1 more\); the last good one stays in use\n$/;
      const startsAndStops = async () => {
        await must(host, ['lxc-start', '-n', 'test']);
        await sh(host, 'busybox ping -c 1 -W 1 test.lxc');
        await stopped('test');
      };

      it('and one line in the log says so, however many do', async () => {
        await must(host, ['nethooks', 'up']);
        await writeConfig(host, MISTAKES);
        await startsAndStops();
        await startsAndStops();
        expect(await hookLog()).toMatch(LOGGED);
        await must(host, ['nethooks', 'configure', 'test', '-p', '8080:80']);
        await must(host, ['nethooks', 'configure', 'test', '--no-publish']);
      });

      it.each([
        ['an upgrade', 'sed -i \'s/"version":"[^"]*"/"version":"0.0.1"/\' /run/nethooks/config.json'],
        ['a reboot', 'nethooks down; rm -r /run/nethooks; nethooks up --last-good'],
      ])('also after %s', async (_what, script) => {
        await must(host, ['nethooks', 'up']);
        await writeConfig(host, MISTAKES);
        await sh(host, script);
        await startsAndStops();
        expect(await hookLog()).toMatch(LOGGED);
        await refused(['up'], /nethooks\.ini:3: \[network\.br0\] adress = 1: unknown key/);
      });

      it('and with what the file says again as soon as it is mended', async () => {
        await writeConfig(host, MISTAKES);
        await startsAndStops();
        await writeConfig(host, `${BR0}domain = example\n`);
        await must(host, ['nethooks', 'up']);
        await must(host, ['lxc-start', '-n', 'test']);
        await sh(host, 'busybox ping -c 1 -W 1 test.example');
        await stopped('test');
        await writeConfig(host, BR0);
        await must(host, ['nethooks', 'up']);
      });
    });

    it('start-host refuses where no good one is known, with one line in the log of LXC, and nothing is left', async () => {
      await writeConfig(host, `${BR0}adress = 1\nmtu = none\n`);
      const before = await state();
      await sh(host, 'rm /run/nethooks/config.json; mv /var/lib/nethooks/last-good.ini /run/kept.ini');
      const { code, log } = await failedStart('test');
      expect(code).not.toBe(0);
      const lines = log.match(/nethooks: start-host test: .*/g);
      expect(lines).toHaveLength(1);
      expect(lines?.[0]).toMatch(/nethooks\.ini:\d: \[network\.br0\] .* \(more in `nethooks logs [a-z0-9-]+`\)$/);
      const own = await hookLog();
      expect(own).toMatch(/start-host test: .*nethooks\.ini:3: \[network\.br0\] adress = 1: unknown key/);
      expect(own).toMatch(/start-host test: .*nethooks\.ini:4: \[network\.br0\] mtu = none: allowed: auto/);
      await sh(host, 'rm /run/nethooks/refused/test; mv /run/kept.ini /var/lib/nethooks/last-good.ini');
      expect(await state()).toBe(before);
    });

    it('there is none', async () => {
      await must(host, ['rm', CONFIG]);
      await refused(
        ['up'],
        /^nethooks: no configuration: \/etc\/nethooks\/nethooks\.ini is not there; `nethooks config init`/,
      );
    });
  });

  describe('on the host', () => {
    beforeEach(() => must(host, ['nethooks', 'down']));

    it('a route that the subnet overlaps', async () => {
      await sh(host, 'ip route add 10.0.0.64/26 dev eth1');
      await refused(
        ['up'],
        /^nethooks: network br0: subnet 10\.0\.0\.0\/24 overlaps the route to 10\.0\.0\.64\/26 over eth1; allowed: a free subnet, `nethooks config init --print`/,
      );
      const { stdout, code } = await nethooks('plan', '--json');
      expect(code).toBe(1);
      expect(JSON.parse(stdout).refusals).toEqual([expect.stringContaining('10.0.0.64/26')]);
      // The way out that it names leads there.
      expect(await must(host, ['nethooks', 'config', 'init', '--print'])).toMatch(/^address += 10\.0\.1\.1\/24$/m);
      await sh(host, 'ip route del 10.0.0.64/26 dev eth1');
    });

    it('a subnet that the uplink is in', async () => {
      await writeConfig(host, '[network.br0]\naddress = 192.0.2.77/24\n');
      await refused(['up'], /subnet 192\.0\.2\.0\/24 overlaps the route to 192\.0\.2\.0\/24 over eth0; allowed: /);
    });

    it('an interface of the name that is no bridge', async () => {
      await sh(host, 'ip link add br0 type veth peer name other');
      await refused(
        ['up'],
        /^nethooks: network br0: br0 exists and is a veth, no bridge; allowed: a name that is free, or a/,
      );
      await sh(host, 'ip link del br0');
    });

    describe('a port that is taken, with its owner:', () => {
      const script = (code: string) => ['node', '-e', code];
      it.each([
        ['53, TCP on every address', 'busybox', 53, ['busybox', 'nc', '-l', '-p', '53']],
        ['53, UDP on every address', 'node', 53, script("require('dgram').createSocket('udp4').bind(53)")],
        ['53, UDP on every IPv6 address', 'node', 53, script("require('dgram').createSocket('udp6').bind(53)")],
        [
          '53, a DNS server with its usual settings',
          'dnsmasq',
          53,
          ['dnsmasq', '--conf-file=/dev/null', '--keep-in-foreground', '--no-resolv', '--user=root', '--pid-file='],
        ],
        [
          '67, a DHCP server that does not share it',
          'node',
          67,
          script("require('dgram').createSocket('udp4').bind(67)"),
        ],
      ])('%s', async (_what, owner, port, argv) => {
        const pid = await listening(argv, port);
        const setting = port === 53 ? 'dns' : 'dhcp';
        await refused(
          ['up'],
          new RegExp(
            `Address already in use; port ${port} is held by ${owner} \\(pid ${pid}\\): .*, or set ${setting} = false\n$`,
          ),
        );
        // The way out that it names leads there.
        await writeConfig(host, `${BR0}${setting} = false\n`);
        await must(host, ['nethooks', 'up']);
        await writeConfig(host, BR0);
        await must(host, ['kill', pid]);
        await eventually(() => must(host, ['nethooks', 'up']));
      });

      it('but not by a server on another address', async () => {
        const pid = await listening(script("require('dgram').createSocket('udp4').bind(53, '127.0.0.53')"), 53);
        await must(host, ['nethooks', 'up']);
        await must(host, ['kill', pid]);
      });
    });

    it.each([
      ['nft', 'nftables', ['nft']],
      ['dnsmasq', 'dnsmasq-base', ['dnsmasq']],
      ['ip', 'iproute2', ['ip']],
      ['iptables-restore', 'iptables', ['iptables', 'iptables-save', 'iptables-restore']],
    ])('no %s: which package brings it', async (name, debianPackage, programs) => {
      const before = await state();
      const hide =
        'for p; do for d in /usr/sbin /usr/bin; do if [ -e $d/$p ] || [ -L $d/$p ]; then mv $d/$p $d/$p.gone; fi; done; done';
      await sh(host, hide, programs);
      const results = [await nethooks('up'), await host.run(['node', resolve('dist/nethooks.cjs'), 'up'])];
      await sh(
        host,
        'for p; do for d in /usr/sbin /usr/bin; do [ ! -L $d/$p.gone ] && [ ! -e $d/$p.gone ] || mv $d/$p.gone $d/$p; done; done',
        programs,
      );
      for (const { code, stderr } of results) {
        expect(stderr).toBe(`nethooks: ${name} is not installed; \`apt install ${debianPackage}\` brings it\n`);
        expect(code).toBe(1);
      }
      expect(await state()).toBe(before);
    });
  });

  describe('at the start of a container', () => {
    beforeAll(async () => {
      await must(host, ['nethooks', 'up']);
    });

    it('no address is left: refused, and nothing is taken', async () => {
      await writeConfig(host, `${BR0}reserve = 10.0.0.2-10.0.0.2\n`);
      await must(host, ['nethooks', 'up']);
      await must(host, ['lxc-start', '-n', 'test']);
      const before = await state();
      const { code, log } = await failedStart('second');
      expect(code).not.toBe(0);
      const message =
        /start-host second: no free address in network br0: all of 10\.0\.0\.2-10\.0\.0\.2 is in use, 1 held; make the range larger/;
      expect(log).toMatch(message);
      expect(await hookLog()).toMatch(message);
      expect(await state()).toBe(before);
      await stopped('test');
      await sh(host, 'lxc-destroy -n second');
      await writeConfig(host, BR0);
      await must(host, ['nethooks', 'up']);
    });

    it.each([
      ['gone', '4194000', /: the container's process 4194000 is gone\n$/],
      ['no number', 'x; reboot', /: LXC_PID is not set or no pid\n$/],
      ['empty', '', /: LXC_PID is not set or no pid\n$/],
    ])('LXC_PID is %s', async (_what, pid, message) => {
      const before = await state();
      const result = await hook('start-host', { LXC_PID: pid });
      expect(result.code).toBe(1);
      expect(result.stderr).toMatch(message);
      expect(await state()).toBe(before);
    });

    it('a name that is a path: refused, and nothing is written', async () => {
      const before = await state();
      for (const event of ['start-host', 'post-stop', 'destroy', 'clone'] as const) {
        const { code, stderr } = await hook(event, { LXC_NAME: '../../../etc/x' });
        expect(code).toBe(event === 'start-host' ? 1 : 0);
        expect(stderr).toMatch(/container name "\.\.\/\.\.\/\.\.\/etc\/x": allowed: letters/);
      }
      expect(await state()).toBe(before);
    });

    it('post-stop and destroy of a container that never started: nothing to do', async () => {
      for (const event of ['post-stop', 'destroy'] as const)
        expect(await hook(event, { LXC_NAME: 'nobody' })).toMatchObject({ code: 0, stderr: '' });
    });

    describe('whose /etc/resolv.conf we had better not write:', () => {
      const root = '/var/lib/lxc/test/rootfs';
      it.each([
        ['a link to the host', 'ln -s /etc/resolv.conf etc/resolv.conf', /etc\/resolv\.conf is a symbolic link/],
        ['a link out of the root', 'ln -s ../../../../../../../etc/hosts etc/resolv.conf', /is a symbolic link/],
        ['a fifo', 'mkfifo etc/resolv.conf', /etc\/resolv\.conf is a fifo/],
        ['a directory', 'mkdir etc/resolv.conf', /etc\/resolv\.conf is a directory/],
        ['etc is a link to the host', 'rm -r etc; ln -s /etc etc', /etc is no directory/],
        ['etc is a fifo', 'rm -r etc; mkfifo etc', /etc is no directory/],
        ['there is no etc', 'rm -r etc', /there is no etc/],
      ])('%s: the container starts, a warning is logged, the host is untouched', async (_what, script, reason) => {
        await sh(host, 'cd "$1"; cp -a etc /run/etc.kept; rm -f etc/resolv.conf; eval "$2"; touch /run/before', [
          root,
          script,
        ]);
        await must(host, ['lxc-start', '-n', 'test']);
        await sh(host, 'busybox ping -c 1 -W 2 test.lxc');
        expect(await hookLog()).toMatch(
          /^[^\n]* start-host test: \/etc\/resolv\.conf in the container is left as it is: [^\n]*\n$/,
        );
        expect(await hookLog()).toMatch(reason);
        expect(await sh(host, 'find /etc -newer /run/before')).toBe('');
        await stopped('test');
        await sh(host, 'cd "$1"; rm -rf etc; mv /run/etc.kept etc', [root]);
      });
    });
  });

  describe('however slow the programs are, no hook hangs its caller', () => {
    /** A program that takes a minute, in front of the real one: twice as long as host.run() lets a command, or who holds its output, run. */
    const slow = (name: string) =>
      writeFile(host, `/usr/local/sbin/${name}`, '#!/bin/sh\ntrap "" TERM HUP INT\nexec sleep 60\n', '755');
    const quick = (name: string) => must(host, ['rm', `/usr/local/sbin/${name}`]);

    it('start-host gives up in time and says at what, and nothing of its first start is left', async () => {
      await createContainer(host, 'third', STILL);
      const before = await state();
      await slow('ip');
      expect((await failedStart('third')).code).not.toBe(0);
      await quick('ip');
      expect(await hookLog()).toMatch(/start-host third: nsenter .* ip -batch -: gave up, no time left\n$/);
      await eventually(async () => expect(await state()).toBe(before));
      await must(host, ['lxc-start', '-n', 'third']);
      await sh(host, 'busybox ping -c 1 -W 2 third.lxc');
      await stopped('third');
      await must(host, ['lxc-destroy', '-n', 'third']);
      await eventually(async () => expect(await state()).toBe(before));
    });

    it('an executable that hangs is ended, LXC says so, and neither container nor process is left', async () => {
      const executable = '/usr/lib/nethooks/nethooks';
      await must(host, ['mv', executable, `${executable}.kept`]);
      await writeFile(host, executable, '#!/bin/sh\nexec sleep 61\n', '755');
      const { code, log } = await failedStart('test').finally(() =>
        must(host, ['mv', `${executable}.kept`, executable]),
      );
      expect(code).not.toBe(0);
      const line = 'start-host test: ended, as it did nothing for 5 s';
      expect(log).toContain(`nethooks: ${line}`);
      expect(await hookLog()).toMatch(new RegExp(` ${line}\n(.* post-stop test: ended, .*\n)?$`));
      await eventually(async () => expect(await sh(host, 'pgrep -a sleep || true')).not.toMatch(/sleep (5|61)$/m));
      await must(host, ['lxc-start', '-n', 'test']);
      await eventually(async () => expect(await sh(host, 'pgrep -a sleep || true')).not.toMatch(/sleep 5$/m));
      await stopped('test');
    });

    it('if-up.d takes back what it had done, and succeeds all the same', async () => {
      await must(host, ['nethooks', 'down']);
      const before = await state();
      const script = '#!/bin/sh\ncase "$*" in *-f*) exec sleep 60 ;; esac\nexec /usr/sbin/nft "$@"\n';
      await writeFile(host, '/usr/local/sbin/nft', script, '755');
      const env = { IFACE: 'eth0', ADDRFAM: 'inet', METHOD: 'static', MODE: 'start', PHASE: 'post-up' };
      const { code, stderr } = await host.run(['/etc/network/if-up.d/nethooks'], { env });
      await quick('nft');
      expect({ code, stderr }).toEqual({ code: 0, stderr: 'nethooks: if-up eth0: nft -f -: gave up, no time left\n' });
      expect(await state()).toBe(before);
      await must(host, ['nethooks', 'up']);
    });
  });
});

/** Starts a container that must not start; the log is LXC's own, where hooks' output is of level DEBUG (lxc.container.conf(5)). */
async function failedStart(name: string): Promise<{ code: number; log: string }> {
  const { code } = await host.run(['lxc-start', '-n', name, '-l', 'DEBUG', '-o', '/run/lxc.log']);
  const log = await sh(host, 'cat /run/lxc.log; rm /run/lxc.log');
  // post-stop runs after lxc-start has returned, for 6 s at most.
  await eventually(async () => expect((await host.run(['pgrep', '-f', `monitor.*${name}`])).stdout).toBe(''), 15_000);
  return { code, log };
}

/** Stops a container and waits for its post-stop hook. */
const stopped = (name: string) =>
  sh(host, 'lxc-stop -k -n "$1"; while [ -e "/run/nethooks/attachments/lxc/$1.json" ]; do sleep 0.05; done', [name]);

/** Calls a hook as LXC does in hook version 1. */
const hook = (event: string, env: Record<string, string>) =>
  host.run([`/usr/lib/nethooks/lxc/${event}`], {
    env: { LXC_NAME: 'test', LXC_HOOK_TYPE: event, LXC_CONFIG_FILE: '/var/lib/lxc/test/config', ...env },
  });

/** Starts a server and waits until it listens; its pid. */
async function listening(argv: readonly string[], port: number): Promise<string> {
  const start = 'port=$1; shift; "$@" </dev/null >/dev/null 2>&1 & pid=$!; echo $pid';
  const wait = 'until ss -Hlntup "sport = :$port" | grep -q "pid=$pid,"; do kill -0 $pid; sleep 0.02; done';
  return (await sh(host, `${start}; ${wait}`, [String(port), ...argv])).trim();
}
