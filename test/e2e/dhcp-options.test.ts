/** What a container asks for itself, its own DHCP client is told as well: nothing of it is lost when the client has its lease. */
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { ThrowawayHost } from '../../src/demo/throwaway.ts';
import type { Status } from '../../src/host/status.ts';
import {
  BR0,
  commandsOn,
  containerPid,
  createContainer,
  DEBIAN_CONTAINER,
  describeLab,
  inContainer,
  installedHost,
  must,
  STILL,
  sh,
  writeFile,
} from '../lab/lab.ts';

/** What a DHCP client has done by then, at start and at a renewal. */
const SETTLED_MS = 3_000;
const settled = () => new Promise((done) => setTimeout(done, SETTLED_MS));

let host: ThrowawayHost;
const { start, hookLog, up } = commandsOn(() => host);
const stop = (name: string) => sh(host, 'lxc-stop -k -n "$1"', [name]);
const options = (name: string, ini: string) => writeFile(host, `/etc/nethooks/containers/${name}.ini`, ini);
const configure = (...argv: string[]) => must(host, ['nethooks', 'configure', ...argv]);
const resolvConf = (name: string) => inContainer(host, name, ['cat', '/etc/resolv.conf']);
const mtu = async (name: string) => (await inContainer(host, name, ['cat', '/sys/class/net/eth0/mtu'])).trim();
const dnsmasq = async () => (await must(host, ['cat', '/run/nethooks/dnsmasq/br0/dnsmasq.pid'])).trim();
const findings = async () =>
  (JSON.parse((await host.run(['nethooks', 'status', '--json'])).stdout) as Status).findings.map(
    ({ about, text, remedy }) => `${about}: ${text} (${remedy})`,
  );
const hangUp = async () => sh(host, 'kill -HUP "$1"; sleep 0.3; kill -0 "$1"', [await dnsmasq()]);

const ALL = 'dns = 192.0.2.53, 192.0.2.54\ndns-search = a.example, b.example\nmtu = 1300\nhostname = shop.example\n';
const OWN = 'dns [192.0.2.53 192.0.2.54] search [a.example b.example] domain [] mtu [1300] hostname [shop.example]\n';
const NETWORKS = 'dns [10.0.0.1] search [lxc] domain [] mtu [1500] hostname []\n';

/** What a DHCP server says to a container that asks for everything, as udhcpc hands it to its script. */
function ask(name: string): Promise<string> {
  const said =
    'case "$1" in bound) echo "dns [$dns] search [$search] domain [$domain] mtu [$mtu] hostname [$hostname]" ;; esac';
  const asked = ['dns', 'search', 'domain', 'mtu', 'hostname'].map((one) => `-O ${one}`).join(' ');
  return inContainer(host, name, [
    'sh',
    '-c',
    `printf '#!/bin/sh\n%s\n' '${said}' >/ask; chmod 755 /ask; udhcpc -i eth0 -n -q -f ${asked} -s /ask 2>/dev/null`,
  ]);
}

describeLab("What a container's own DHCP client is told", () => {
  beforeAll(async () => {
    host = await installedHost({ dns: true, config: BR0, containers: ['web', 'other'], containerConfig: STILL });
  });

  afterEach(async () => {
    await sh(
      host,
      'for name in $(lxc-ls --running); do lxc-stop -k -n "$name"; done; rm -f /etc/nethooks/containers/*.ini /var/log/nethooks/hooks.log',
    );
  });

  it('is what its network says, or what it asks for itself', async () => {
    await start('other');
    expect(await ask('other')).toBe(NETWORKS);
    await options('web', ALL);
    await start('web');
    expect(await ask('web')).toBe(OWN);
    expect(await ask('other')).toBe(NETWORKS);
    expect(await hookLog()).toBe('');
  });

  it.each([
    ['dns = 192.0.2.53\n', NETWORKS.replace('10.0.0.1', '192.0.2.53')],
    ['dns = 2001:db8::53\n', NETWORKS.replace('10.0.0.1', '')],
    ['dns-search = .\n', NETWORKS.replace('lxc', '')],
    ['dns-search = corp.example.\n', NETWORKS.replace('lxc', 'corp.example')],
    ['mtu = 1400\n', NETWORKS.replace('1500', '1400')],
    ['hostname = 10.0.0.7\n', NETWORKS.replace('hostname []', 'hostname [10.0.0.7]')],
  ])('each option by itself, and nothing of the start before: %j', async (ini, said) => {
    await options('web', ini);
    await start('web');
    expect(await ask('web')).toBe(said);
  });

  it("also with a MAC of another maker's, which the network's domain is told; and lxc.net.0.mtu counts as an MTU of its own", async () => {
    await createContainer(host, 'odd', `${STILL}\nlxc.net.0.hwaddr = AA:BB:cc:0:1:2\nlxc.net.0.mtu = 1420\n`);
    await start('odd');
    expect(await ask('odd')).toBe(NETWORKS.replace('1500', '1420').replace('domain []', 'domain [lxc]'));
    await configure('odd', '--dns-search', 'corp.example');
    expect(await mtu('odd')).toBe('1420');
    expect(await ask('odd')).toBe(NETWORKS.replace('1500', '1420').replace('[lxc]', '[corp.example]'));
    await sh(host, 'lxc-stop -k -n odd; lxc-destroy -n odd');
    expect(await sh(host, 'ls /run/nethooks/dnsmasq/br0/dhcp-options')).not.toContain('odd');
  });

  it('changes with `configure` at its next request, also where something is taken out, and dnsmasq goes on', async () => {
    const pid = await dnsmasq();
    await start('web');
    expect(await ask('web')).toBe(NETWORKS);
    await configure('web', '--dns', '192.0.2.53', '--dns', '192.0.2.54', '--hostname', 'shop.example', '--mtu', '1300');
    await configure('web', '--dns-search', 'a.example', '--dns-search', 'b.example');
    expect(await ask('web')).toBe(OWN);
    await configure('web', '--dns', '192.0.2.55');
    expect(await ask('web')).toBe(OWN.replace('192.0.2.53 192.0.2.54', '192.0.2.55'));
    await configure('web', '--unset', 'dns', '--unset', 'hostname');
    expect(await ask('web')).toBe(OWN.replace('192.0.2.53 192.0.2.54', '10.0.0.1').replace('shop.example', ''));
    await configure('web', '--unset', 'dns-search', '--unset', 'mtu');
    expect(await ask('web')).toBe(NETWORKS);
    expect(await sh(host, 'ls -A /run/nethooks/dnsmasq/br0/dhcp-options')).toBe('');
    expect(await dnsmasq()).toBe(pid);
  });

  it('stays so when dnsmasq is told to read everything anew, which must not end it', async () => {
    await options('web', ALL);
    await start('web');
    const pid = await dnsmasq();
    for (let time = 0; time < 3; time++) {
      expect(await ask('web')).toBe(OWN);
      await hangUp();
    }
    expect(await ask('web')).toBe(OWN);
    expect(await dnsmasq()).toBe(pid);
    await options('other', 'mtu = 1400\n');
    await start('other');
    expect(await ask('other')).toBe(NETWORKS.replace('1500', '1400'));
  });

  it('goes with the container: whoever has its MAC next is told what the network says', async () => {
    const mac = 'lxc.net.0.hwaddr = 00:16:3e:12:34:56';
    await createContainer(host, 'first', `${STILL}\n${mac}`);
    await options('first', ALL);
    await start('first');
    expect(await ask('first')).toBe(OWN);
    await stop('first');
    expect(await sh(host, 'ls /run/nethooks/dnsmasq/br0/dhcp-options')).toContain('first.eth0');
    await sh(host, 'rm /etc/nethooks/containers/first.ini; lxc-destroy -n first');
    expect(await sh(host, 'ls /run/nethooks/dnsmasq/br0/dhcp-options')).not.toContain('first');
    await createContainer(host, 'second', `${STILL}\n${mac}`);
    await start('second');
    expect(await ask('second')).toBe(NETWORKS);
    await sh(host, 'lxc-stop -k -n second; lxc-destroy -n second');
  });

  it('goes with a rename', async () => {
    await createContainer(host, 'old', STILL);
    await configure('old', '--dns', '192.0.2.53');
    await start('old');
    await stop('old');
    await sh(host, 'lxc-copy -R -n old -N new');
    expect(await sh(host, 'ls /run/nethooks/dnsmasq/br0/dhcp-options')).not.toContain('old');
    await start('new');
    expect(await ask('new')).toBe(NETWORKS.replace('10.0.0.1', '192.0.2.53'));
    await sh(host, 'lxc-stop -k -n new; lxc-destroy -n new');
  });

  it('what is left of nobody, or of one that asks for nothing any more, is garbage', async () => {
    await options('web', ALL);
    await start('web');
    await start('other');
    const files = () => sh(host, 'ls /run/nethooks/dnsmasq/br0/dhcp-options');
    await sh(
      host,
      'cd /run/nethooks/dnsmasq/br0/dhcp-options; for name in nobody other; do cp web.eth0 $name.eth0; done',
    );
    expect((await host.run(['nethooks', 'gc', '--dry-run'])).stdout).toMatch(
      /^.*\/(nobody|other)\.eth0\n.*\/(nobody|other)\.eth0\n$/,
    );
    await must(host, ['nethooks', 'gc']);
    expect(await files()).toBe('web.eth0\n');
    await stop('web');
    await must(host, ['nethooks', 'gc']);
    expect(await files(), 'as it is reserved its address').toBe('web.eth0\n');
  });

  it('is brought back by `up` where its file is lost or wrong, as `plan` and `status` say', async () => {
    const file = '/run/nethooks/dnsmasq/br0/dhcp-options/web.eth0';
    await options('web', ALL);
    await start('web');
    const text = await must(host, ['cat', file]);
    for (const damage of [`rm ${file}`, `sed 's/,6,.*/,42,192.0.2.9/' ${file} >${file}.new; mv ${file}.new ${file}`]) {
      await sh(host, damage);
      expect(await host.run(['nethooks', 'plan'])).toMatchObject({ code: 3, stdout: expect.stringContaining(file) });
      expect((await host.run(['nethooks', 'status'])).code).toBe(3);
      await up();
      expect(await must(host, ['cat', file])).toBe(text);
      expect(await ask('web')).toBe(OWN);
      expect(await must(host, ['nethooks', 'plan'])).toBe('nothing would change\n');
    }
    await sh(host, 'nethooks down; nethooks up');
    expect(await ask('web')).toBe(OWN);
  });

  describe('a client that runs in the container breaks nothing, at its start and at a renewal:', () => {
    const holds = async (name: string) => {
      expect((await resolvConf(name)).match(/^nameserver .*/gm)).toEqual([
        'nameserver 192.0.2.53',
        'nameserver 192.0.2.54',
      ]);
      expect(await resolvConf(name)).toMatch(/^search a\.example\.? b\.example\.?$/m);
      expect(await resolvConf(name)).not.toMatch(/10\.0\.0\.1|lxc/);
      expect(await mtu(name)).toBe('1300');
      expect((await inContainer(host, name, ['hostname'])).trim()).toBe('shop.example');
      expect(await findings()).toEqual([]);
    };

    it('udhcpc, started by the init of a busybox container', async () => {
      await createContainer(host, 'plain');
      await options('plain', `${ALL}dns-option = ndots:3\n`);
      await start('plain');
      await settled();
      expect(await sh(host, 'cat /var/lib/nethooks/br0.leases')).toContain('10.0.0.');
      await holds('plain');
      expect(await resolvConf('plain')).toMatch(/^options ndots:3$/m);
      await inContainer(host, 'plain', ['sh', '-c', 'kill -USR1 $(pidof udhcpc)']);
      await settled();
      await holds('plain');
      await sh(host, 'lxc-stop -k -n plain; lxc-destroy -n plain');
    });

    it.each([
      ['dhclient', 'dhclient -1 eth0', 'dhclient -x; dhclient -1 eth0'],
      [
        'dhcpcd',
        'dhcpcd --ipv4only --oneshot --nodelay --noarp eth0',
        'dhcpcd --ipv4only --oneshot --nodelay --noarp eth0',
      ],
    ])('%s, in a container with the files of a Debian', async (_client, first, again) => {
      await sh(host, DEBIAN_CONTAINER);
      await options('debian', ALL);
      await start('debian');
      for (const command of [first, again]) {
        await inContainer(host, 'debian', ['sh', '-c', `(${command}) </dev/null >/run/client.log 2>&1`]);
        await settled();
        await holds('debian');
      }
      await sh(host, 'lxc-stop -k -n debian; lxc-destroy -n debian');
    });
  });

  describe('`status` says', () => {
    it('that a resolv.conf is not what was asked for, until `configure` puts it right; an MTU, `up` puts right', async () => {
      await options('web', 'mtu = 1300\n');
      await start('web');
      await start('other');
      expect(await findings()).toEqual([]);
      await inContainer(host, 'web', [
        'sh',
        '-c',
        'echo nameserver 192.0.2.9 >/etc/resolv.conf; ip link set eth0 mtu 1200',
      ]);
      expect(await findings()).toEqual([
        'host: in container web: ip link set dev eth0 mtu 1300 (nethooks up)',
        'web: its resolv.conf says "nameserver 192.0.2.9", not "nameserver 10.0.0.1, search lxc" (nethooks configure web)',
      ]);
      expect((await host.run(['nethooks', 'status'])).stderr).toContain('web: its resolv.conf says');
      expect(await must(host, ['nethooks', 'up'])).toBe('in container web: ip link set dev eth0 mtu 1300\n');
      expect(await mtu('web')).toBe('1300');
      await configure('web');
      expect(await findings()).toEqual([]);
    });

    it('nothing where the same is said in other words, where the file is a link, or is not of our writing', async () => {
      await start('web');
      const change = (script: string) => inContainer(host, 'web', ['sh', '-c', script]);
      await change('printf "# mine\\n\\nnameserver  10.0.0.1\\nsearch LXC.\\n" >/etc/resolv.conf');
      expect(await findings()).toEqual([]);
      await change('echo nameserver 192.0.2.9 >/resolv; ln -sf /resolv /etc/resolv.conf');
      expect(await findings()).toEqual([]);
      await stop('web');
      await options('web', 'resolv-conf = none\n');
      await start('web');
      await change('rm /etc/resolv.conf; echo nameserver 192.0.2.9 >/etc/resolv.conf');
      expect(await findings()).toEqual([]);
    });

    it('a file that cannot be read without risk is none', async () => {
      await start('web');
      const root = `/proc/${await containerPid(host, 'web')}/root`;
      await sh(host, `rm ${root}/etc/resolv.conf; mkfifo ${root}/etc/resolv.conf`);
      expect(await findings()).toEqual([]);
      await sh(
        host,
        `rm ${root}/etc/resolv.conf; printf 'nameserver 192.0.2.9\\nsearch \\033[31mred\\n' >${root}/etc/resolv.conf`,
      );
      expect((await findings())[0]).toMatch(/^web: its resolv\.conf says "nameserver 192\.0\.2\.9", not/);
      await sh(host, `rm ${root}/etc/resolv.conf`);
    });
  });
});
