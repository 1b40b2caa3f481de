/** install.sh on a host without systemd: what it makes, and that all of it can be taken back. */
import { resolve } from 'node:path';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { RunOptions } from '../../src/demo/enter.ts';
import type { ThrowawayHost } from '../../src/demo/throwaway.ts';
import { contents, copyRelease, difference, wholeState } from '../lab/installation.ts';
import { createContainer, describeLab, labHost, sh, writeFile } from '../lab/lab.ts';

const CONFIG = '/etc/nethooks/nethooks.ini';
const MANIFEST = '/var/lib/nethooks/install/manifest';

let host: ThrowawayHost;
const install = (args: string[] = [], options: RunOptions = {}) =>
  host.run(['./install.sh', '--no-apt', ...args], { cwd: '/root/release', timeoutMs: 60_000, ...options });
const installed = async (args: string[] = [], options: RunOptions = {}) => {
  const result = await install(args, options);
  expect(result, result.stderr).toMatchObject({ code: 0 });
  return result.stdout;
};
const uninstalled = (args: string[] = []) => installed(['--uninstall', ...args]);

const everything = () => wholeState(host);

describeLab('install.sh', () => {
  let before: string;

  beforeAll(async () => {
    host = await labHost();
    await copyRelease(host);
    await sh(host, 'useradd -m builder; mkdir -p /etc/network/if-up.d /etc/network/if-post-down.d');
    before = await everything();
  });
  /** Each test leaves the host as it found it. */
  afterEach(async () => {
    await install(['--uninstall', '--purge']);
    const found = difference(before, await everything());
    before = await everything(); // what one test leaves is not the next one's fault
    expect(found).toBe('');
  });

  it('--dry-run says what would be done and does nothing', async () => {
    const output = await installed(['--dry-run']);
    expect(output).toContain('would write /etc/network/if-up.d/nethooks\n');
    expect(output).toContain(`would write ${CONFIG} with a free subnet\n`);
    expect(output).toMatch(/would bring the networks up: nethooks up\n$/);
    expect(difference(before, await everything())).toBe('');
  });

  it('installs, says so, and names the next three commands, which work', async () => {
    const output = await installed();
    expect(output).toContain(`${CONFIG}: written, subnet 10.0.0.0/24\n`);
    expect(output).toContain('write /usr/lib/nethooks/nethooks\n');
    expect(output).toContain('write /usr/sbin/nethooks\n');
    expect(output).toMatch(/\nbr0 {2}10\.0\.0\.1\/24 {2}up/);
    expect(output).toContain('systemd does not run here');
    const commands = output.split('\nNext:\n')[1] ?? '';
    expect(commands.trim().split('\n')).toHaveLength(3);
    // ping(8) may not be on this machine; what it would ask for is.
    await sh(host, commands.replace(/^ *ping .* (\S+)$/m, 'getent hosts $1'));
    await sh(host, 'lxc-stop -k -n test; lxc-destroy test');
  });

  it('a second run changes nothing, and says so', async () => {
    await installed();
    const once = await everything();
    expect(await installed()).toMatch(/^nothing changed\n/);
    expect(difference(once, await everything())).toBe('');
    expect(await installed(['--dry-run'])).toContain('nothing would change');
  });

  it('--dry-run --uninstall does nothing', async () => {
    await installed();
    const there = await everything();
    expect(await uninstalled(['--dry-run'])).toContain('would take the networks down: nethooks down --files\n');
    expect(difference(there, await everything())).toBe('');
  });

  it('puts back every file that it replaced, byte for byte, with mode, owner and time', async () => {
    await sh(
      host,
      `mkdir -p /usr/lib/nethooks/lxc /opt/nethooks
printf 'mine\\0\\377' >/etc/network/if-up.d/nethooks
chmod 700 /etc/network/if-up.d/nethooks
touch -d 2001-02-03 /etc/network/if-up.d/nethooks
ln -s /opt/nethooks/elsewhere /etc/network/if-post-down.d/nethooks
printf 'custom' >/usr/lib/nethooks/lxc/start-host
chown 12:34 /usr/lib/nethooks/lxc/start-host
ln -s /opt/nethooks /usr/sbin/nethooks
printf 'no newline at the end' >>/etc/lxc/default.conf`,
    );
    const custom = await everything();
    await installed();
    await installed();
    expect(await sh(host, 'head -qn 1 /etc/network/if-up.d/nethooks /usr/sbin/nethooks; ls /opt/nethooks')).toBe(
      '#!/bin/sh\n#!/bin/sh\n',
    );
    const output = await uninstalled();
    expect(output).toContain('put back /etc/network/if-up.d/nethooks\n');
    expect(difference(custom, await everything())).toBe('');
    await sh(
      host,
      `rm -r /etc/network/if-up.d/nethooks /etc/network/if-post-down.d/nethooks /usr/lib/nethooks /usr/sbin/nethooks /opt/nethooks
sed -i '$s/no newline at the end//' /etc/lxc/default.conf`,
    );
  });

  it('keeps a configuration that was edited, unless told to purge', async () => {
    await installed();
    await sh(host, `echo '; edited' >>${CONFIG}`);
    expect(await uninstalled()).toContain(`keep ${CONFIG}: it was edited`);
    const kept = await sh(host, `cat ${CONFIG}`);
    await installed(); // and takes it up again
    expect(await sh(host, `cat ${CONFIG}`)).toBe(kept);
    await uninstalled(['--purge']);
    expect((await host.run(['ls', '/etc/nethooks'])).code).not.toBe(0);
  });

  it('keeps a configuration that was there before', async () => {
    const own = '[network.lan]\naddress = 172.20.0.1/24\n';
    await writeFile(host, CONFIG, own);
    expect(await installed()).toMatch(/\nlan {2}172\.20\.0\.1\/24 {2}up/);
    await uninstalled();
    expect(await sh(host, `cat ${CONFIG}`)).toBe(own);
    await sh(host, 'rm -r /etc/nethooks');
  });

  it('a configuration that is wrong: nothing is changed', async () => {
    await writeFile(host, CONFIG, '[network.lan]\naddress = 172.20.0.1\n');
    const wrong = await everything();
    const { code, stderr } = await install();
    expect(code).toBe(2);
    expect(stderr).toContain('nethooks.ini:2');
    expect(difference(wrong, await everything())).toBe('');
    await sh(host, 'rm -r /etc/nethooks');
  });

  it('takes the next subnet when 10.0.0.0/24 is in use', async () => {
    await sh(host, 'ip route add 10.0.0.0/16 via 192.0.2.1');
    const output = await installed();
    expect(output).toMatch(/written, subnet (?!10\.0\.)\S+\/24\n/);
    await uninstalled();
    await sh(host, 'ip route del 10.0.0.0/16');
  });

  it('networks that cannot come up: says why; the next run completes it', async () => {
    const dnsmasq =
      'dnsmasq -C /dev/null --no-resolv --port=53 --bind-interfaces --listen-address=0.0.0.0 --pid-file=/run/other.pid';
    await sh(host, dnsmasq);
    const { code, stderr } = await install();
    expect(code).toBe(1);
    expect(stderr).toMatch(/dnsmasq.*53/);
    expect(stderr).toMatch(
      /install\.sh: it is installed, but the networks are not up; once that is mended: nethooks up\n$/,
    );
    await sh(host, 'kill "$(cat /run/other.pid)"; sleep 0.2; rm -f /run/other.pid');
    expect(await installed()).toMatch(/^bring the networks up/);
  });

  it('--prefix: hooks, units and containers find it there', async () => {
    await installed(['--prefix', '/usr/local/']);
    expect(await sh(host, 'command -v nethooks; tail -n 1 "$(command -v nethooks)"')).toBe(
      '/usr/local/sbin/nethooks\nexec /usr/local/lib/nethooks/nethooks "$@"\n',
    );
    await sh(host, '! grep -r "[^l]/lib/nethooks" /etc/network /etc/dhcp /etc/lxc/default.conf /usr/local/lib/systemd');
    await createContainer(host, 'test');
    await sh(host, 'lxc-start test && getent hosts test.lxc && lxc-stop -k test && lxc-destroy test');
    const moved = await install();
    expect(moved).toMatchObject({ code: 2 });
    expect(moved.stderr).toContain('installed with --prefix /usr/local: take that back first');
  });

  it('--destdir: files as for a package, without root, and nothing else', async () => {
    await sh(host, 'chmod 755 /root');
    const user = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'];
    const argv = [...user, './install.sh', '--destdir', '/var/tmp/new/pkg', '--no-apt'];
    for (const last of [/write \/var\/tmp\/new\/pkg\/etc\/network\/if-up\.d\/nethooks\n/, /^$/]) {
      const { code, stdout, stderr } = await host.run(argv, { cwd: '/root/release' });
      expect(code, stderr).toBe(0);
      expect(stdout).toMatch(last);
    }
    expect(await sh(host, "cd /var/tmp/new/pkg && find . ! -type d ! -path '*/man/*' | sort")).toBe(
      [
        './etc/NetworkManager/dispatcher.d/90-nethooks',
        './etc/dhcp/dhclient-enter-hooks.d/nethooks',
        './etc/network/if-post-down.d/nethooks',
        './etc/network/if-up.d/nethooks',
        './etc/networkd-dispatcher/off.d/90-nethooks',
        './etc/networkd-dispatcher/routable.d/90-nethooks',
        './usr/lib/dhcpcd/dhcpcd-hooks/90-nethooks',
        './usr/lib/nethooks/dhcp-script',
        ...['clone', 'destroy', 'guard', 'post-stop', 'pre-start', 'start-host'].map(
          (hook) => `./usr/lib/nethooks/lxc/${hook}`,
        ),
        './usr/lib/nethooks/nethooks',
        ...[
          'nethooks-check.path',
          'nethooks-check.timer',
          'nethooks-check@.service',
          'nethooks-dnsmasq@.service',
          'nethooks-rules.service',
          'nethooks.service',
        ].map((unit) => `./usr/lib/systemd/system/${unit}`),
        './usr/sbin/nethooks',
        '',
      ].join('\n'),
    );
    await sh(host, 'rm -r /var/tmp/new; chmod 700 /root');
  });

  it.each(
    [
      ['--frobnicate'],
      ['--runtime', 'deno'],
      ['--runtime'],
      ['--runtime='],
      ['--prefix', 'relative'],
      ['--prefix', '/opt/a b'],
      ['--prefix', '/opt/../etc'],
      ['--prefix=/opt/$(id)'],
      ['--purge'],
      ['--demo', '--uninstall'],
      ['--uninstall', '--destdir', '/tmp/x'],
      ['--uninstall', '--runtime', 'bun'],
      ['stray'],
    ].map((args) => ({ args })),
  )('refuses $args with a word and exit status 2', async ({ args }) => {
    const { code, stdout, stderr } = await install(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/^install\.sh: .+\n$/);
    expect(difference(before, await everything())).toBe('');
  });

  it('--help', async () => {
    expect(await installed(['--help'])).toMatch(/^Usage: \.\/install\.sh/);
  });

  it('nobody but root', async () => {
    await sh(host, 'chmod 755 /root');
    const argv = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', './install.sh'];
    expect(await host.run(argv, { cwd: '/root/release' })).toMatchObject({
      code: 1,
      stderr: 'install.sh: needs root\n',
    });
    await sh(host, 'chmod 700 /root');
  });

  it('only one at a time', async () => {
    const { code, stderr } = await host.run(['flock', '/var/lib', './install.sh'], { cwd: '/root/release' });
    expect({ code, stderr }).toEqual({ code: 1, stderr: 'install.sh: another install.sh is at work\n' });
  });

  it('--uninstall after a power cut, when nothing is up and no record is left', async () => {
    // What made it is forgotten with the record.
    await sh(host, 'iptables -t mangle -A POSTROUTING -j ACCEPT; iptables -t mangle -D POSTROUTING -j ACCEPT');
    before = await everything();
    await installed();
    await sh(
      host,
      `kill -9 "$(cat /run/nethooks/dnsmasq/br0/dnsmasq.pid)"
rm -r /run/nethooks
ip link del br0
nft delete table inet nethooks
iptables -t mangle -F POSTROUTING
sysctl -q net.ipv4.ip_forward=0`,
    );
    await uninstalled();
    expect(difference(before, await everything())).toBe('');
  });

  it('--uninstall without anything to take back', async () => {
    expect(await uninstalled()).toBe(`nothing to take back: there is no ${MANIFEST}\n`);
  });

  it('--uninstall does not guess when the executable is broken', async () => {
    await installed();
    await sh(host, 'printf "#!/bin/sh\\nexit 1\\n" >/usr/lib/nethooks/nethooks');
    const { code, stderr } = await install(['--uninstall']);
    expect({ code, stderr }).toMatchObject({ code: 1, stderr: expect.stringContaining('./install.sh repairs it') });
    expect(await installed()).toMatch(/^write \/usr\/lib\/nethooks\/nethooks\n/);
  });

  describe('runtimes', () => {
    it('--runtime node: the script, with the node that was found', async () => {
      await installed(['--runtime', 'node']);
      expect(await sh(host, 'head -n 1 /usr/lib/nethooks/nethooks')).toMatch(/^#!\/\S+\/node\n$/);
      await createContainer(host, 'test');
      // Whatever PATH says.
      await host.run(['lxc-start', 'test'], { env: { PATH: '/usr/bin:/bin' } });
      await sh(host, 'getent hosts test.lxc && lxc-stop -k test && lxc-destroy test');
      expect(await installed(['--runtime', 'bun'])).toMatch(/^write \/usr\/lib\/nethooks\/nethooks\n/);
    });

    it('takes node by itself where the compiled executable does not run', async () => {
      await sh(
        host,
        'cd /root/release/dist && mv nethooks kept && printf "#!/bin/sh\\nexit 132\\n" >nethooks && chmod 755 nethooks',
      );
      const output = await installed();
      expect(output).toContain('the compiled executable does not run here: taking the script for node\n');
      expect(await sh(host, 'head -c 2 /usr/lib/nethooks/nethooks')).toBe('#!');
      await sh(host, 'cd /root/release/dist && mv kept nethooks');
    });

    it('says so when node is too old', async () => {
      await writeFile(
        host,
        '/usr/local/sbin/node',
        '#!/bin/sh\n[ "$1" = --version ] && echo v12.22.5\nexit 1\n',
        '755',
      );
      const env = { PATH: '/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin' };
      const { code, stderr } = await install(['--runtime', 'node'], { env });
      expect({ code, stderr }).toEqual({
        code: 1,
        stderr: 'install.sh: node v12.22.5 is too old: 18.19 or newer is needed\n',
      });
      await sh(host, 'rm /usr/local/sbin/node');
    });
  });

  describe('packages', () => {
    /** Stands in for apt: brings nft back, and writes down how it was called. */
    const APT = `#!/bin/sh
case $* in *install*) mv /usr/sbin/nft.gone /usr/sbin/nft; echo "$*" >/run/apt-calls ;; esac
`;

    it('installs what is missing, and remembers it', async () => {
      await sh(host, 'mv /usr/sbin/nft /usr/sbin/nft.gone');
      await writeFile(host, '/usr/local/sbin/apt-get', APT, '755');
      const env = { PATH: '/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin' };
      const argv = ['sh', '-c', 'ping() { :; }; exec ./install.sh'];
      await writeFile(host, '/usr/local/sbin/ping', '#!/bin/sh\n', '755');
      const { code, stdout, stderr } = await host.run(argv, { cwd: '/root/release', env });
      expect(code, stderr).toBe(0);
      expect(stdout).toContain('install Debian packages for nethooks: nftables\n');
      expect(await sh(host, 'cat /run/apt-calls')).toMatch(/install --no-install-recommends nftables\n$/);
      expect(await uninstalled()).toMatch(/stay: apt-get purge nftables\n$/);
      await sh(host, 'rm /run/apt-calls /usr/local/sbin/apt-get /usr/local/sbin/ping');
    });

    it('--no-apt: names them, and changes nothing', async () => {
      await sh(host, 'mv /usr/sbin/nft /usr/sbin/nft.gone');
      const { code, stderr } = await install();
      expect(code).toBe(1);
      expect(stderr).toBe(
        'install.sh: nethooks needs Debian packages that are not installed: apt-get install nftables\n',
      );
      await sh(host, 'mv /usr/sbin/nft.gone /usr/sbin/nft');
      expect(difference(before, await everything())).toBe('');
    });
  });

  describe('building', () => {
    it('builds what is missing, as the owner of the checkout', async () => {
      await sh(
        host,
        `mkdir /home/builder/nethooks
cd /home/builder/nethooks
cp -a "$@" .
touch -d 2001-02-03 package-lock.json # older than the modules, or npm would fetch them anew
chown -R builder: .`,
        ['install.sh', 'build.mjs', 'package.json', 'package-lock.json', 'hooks', 'templates', 'src'].map((path) =>
          resolve(path),
        ),
      );
      await sh(host, 'cd /home/builder/nethooks && mkdir node_modules && mount --bind "$1" node_modules', [
        resolve('node_modules'),
      ]);
      const { code, stdout, stderr } = await host.run(['./install.sh', '--no-apt'], {
        cwd: '/home/builder/nethooks',
        timeoutMs: 60_000,
      });
      expect(code, stderr).toBe(0);
      expect(stdout).toContain('build dist/nethooks\n');
      expect(await sh(host, 'stat -c %U /home/builder/nethooks/dist/nethooks')).toBe('builder\n');
      await uninstalled();
    });

    it('says what to do when it cannot build', async () => {
      await sh(host, 'cd /root/release && mv dist gone');
      const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' };
      await sh(host, 'for p in node npm; do mv "$(command -v $p)" "/root/$p.gone"; done');
      const { code, stderr } = await install([], { env });
      expect(code).toBe(1);
      expect(stderr).toMatch(
        /^install\.sh: building dist\/nethooks needs Debian packages that are not installed: apt-get install nodejs npm\n$/,
      );
      await sh(
        host,
        'for p in node npm; do mv "/root/$p.gone" "/usr/bin/$p"; done; mv /root/release/gone /root/release/dist',
      );
    });
  });

  it('--demo runs the demo and changes nothing', async () => {
    const { code, stdout } = await install(['--demo', '--dry-run']);
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'would run the demo: nethooks demo\n' });
    expect(difference(before, await everything())).toBe('');
  });

  it('killed at any point: the next run completes it, and it can be taken back', { timeout: 240_000 }, async () => {
    await installed();
    const complete = await everything();
    await uninstalled();
    const trace = await sh(host, 'cd /root/release && dash -x ./install.sh --no-apt 2>&1 >/dev/null | wc -l');
    const back = await sh(host, 'cd /root/release && dash -x ./install.sh --uninstall 2>&1 >/dev/null | wc -l');
    const points = 20;
    for (let point = 1; point <= points; point++) {
      const [there, gone] = [Number(trace), Number(back)].map((lines) =>
        String(Math.ceil((lines * point) / (points + 1))),
      );
      const killed = await sh(host, KILL_AT, [there as string, '--no-apt'], { cwd: '/root/release' });
      expect(killed).toBe('killed\n');
      await installed();
      // Timestamps differ, contents do not.
      expect(contents(await everything())).toBe(contents(complete));
      expect(await sh(host, KILL_AT, [gone as string, '--uninstall'], { cwd: '/root/release' })).toBe('killed\n');
      await uninstalled();
      expect(difference(before, await everything()), `killed after line ${there} and line ${gone}`).toBe('');
    }
  });
});

/** Runs install.sh $2 and ends it with SIGKILL when it has traced $1 commands. */
const KILL_AT = `
rm -f /tmp/trace; mkfifo /tmp/trace
exec 3<>/tmp/trace
dash -x ./install.sh "$2" 2>&3 >/dev/null </dev/null &
head -n "$1" <&3 >/dev/null
kill -KILL "$!" 2>/dev/null && echo killed
wait "$!" 2>/dev/null || true
rm /tmp/trace
`;
