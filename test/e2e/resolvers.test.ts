/** How the host itself comes to know containers' names, whoever manages its resolv.conf, and that nobody asks himself. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { ThrowawayHost } from '../../src/demo/throwaway.ts';
import {
  BR0,
  capture,
  commandsOn,
  describeLab,
  eventually,
  installedHost,
  must,
  STILL,
  sh,
  writeConfig,
} from '../lab/lab.ts';

const UPSTREAM = '198.51.100.1';
const PLAIN = `nameserver ${UPSTREAM}\n`;
const RESOLV_CONF = '/etc/resolv.conf';

let host: ThrowawayHost;
const { up: upWith, resolved } = commandsOn(() => host);
const up = (ini = BR0) => upWith(ini);
const down = () => must(host, ['nethooks', 'down']);
const read = async (path: string) => must(host, ['cat', path]);
const setResolvConf = (text: string) => must(host, ['tee', RESOLV_CONF], { input: text });
/** The container's name, an outside one, and one that does not exist, as any program of the host looks them up. */
const resolvesAll = async () => {
  expect(await resolved('test.lxc')).toMatch(/^10\.0\.0\.\d+$/);
  expect(await resolved('internet.example')).toBe(UPSTREAM);
  expect(await resolved('nobody.lxc')).toBe('');
};

describeLab('the host resolves container names', () => {
  beforeAll(async () => {
    host = await installedHost({ uplinks: 2, dns: true, config: BR0, containers: ['test'], containerConfig: STILL });
    await must(host, ['lxc-start', '-n', 'test']);
  });

  describe('with a plain resolv.conf', () => {
    it('through a block of ours before everything else, which down takes out', async () => {
      expect(await read(RESOLV_CONF)).toBe(`# nethooks begin\nnameserver 10.0.0.1\n# nethooks end\n${PLAIN}`);
      await resolvesAll();
      await down();
      expect(await read(RESOLV_CONF)).toBe(PLAIN);
      expect(await resolved('test.lxc')).toBe('');
    });

    it.each([
      ['without a newline at its end', `nameserver ${UPSTREAM}`],
      [
        'with comments and options',
        `# mine\n\nsearch example\n;nameserver 192.0.2.9\noptions ndots:1\n${PLAIN}\n\n# end\n`,
      ],
      ['that is empty', ''],
    ])('%s: byte for byte back', async (_what, text) => {
      await sh(host, 'chmod 640 /etc/resolv.conf');
      await setResolvConf(text);
      await up();
      expect(await resolved('test.lxc')).toMatch(/^10\.0\.0\./);
      await down();
      expect(await read(RESOLV_CONF)).toBe(text);
      expect(await sh(host, 'stat -c %a /etc/resolv.conf; chmod 644 /etc/resolv.conf')).toBe('640\n');
    });

    it('that is not there: made by up, removed by down', async () => {
      await must(host, ['rm', RESOLV_CONF]);
      await up();
      expect(await resolved('test.lxc')).toMatch(/^10\.0\.0\./);
      await must(host, ['nethooks', 'up']);
      await down();
      expect((await host.run(['test', '-e', RESOLV_CONF])).code).toBe(1);
      await setResolvConf(PLAIN);
    });

    it('that is a link to nobody knows what: left alone, with a warning', async () => {
      await sh(host, 'mv /etc/resolv.conf /etc/resolv.real; ln -s resolv.real /etc/resolv.conf');
      await writeConfig(host, BR0);
      const { code, stderr } = await host.run(['nethooks', 'up']);
      expect(code).toBe(0);
      expect(stderr).toContain('/etc/resolv.conf is a link to resolv.real, whose owner is unknown');
      expect(await sh(host, 'readlink /etc/resolv.conf; cat /etc/resolv.conf')).toBe(`resolv.real\n${PLAIN}`);
      await sh(host, 'mv /etc/resolv.real /etc/resolv.conf');
    });

    it('resolver = none: left alone, and an earlier block is taken out', async () => {
      await up();
      expect(await read(RESOLV_CONF)).toContain('nethooks');
      await up(`[host]\nresolver = none\n${BR0}`);
      expect(await read(RESOLV_CONF)).toBe(PLAIN);
      await up();
    });

    it('with a damaged block: nothing is changed, and the way out is said', async () => {
      const damaged = `# nethooks begin\n${PLAIN}`;
      await setResolvConf(damaged);
      const { code, stderr } = await host.run(['nethooks', 'up']);
      expect(code).toBe(1);
      expect(stderr).toMatch(/nethooks: .*found 1 line.*please remove them by hand/);
      expect(await read(RESOLV_CONF)).toBe(damaged);
      await setResolvConf(PLAIN);
      await up();
    });
  });

  describe.each(['resolvconf', 'openresolv'])('with the package %s', (name) => {
    it('through its own list, in which we come first', async () => {
      await down();
      await sh(host, 'dpkg -i "$1" 2>&1', [debianPackage(name)], { env: { DEBIAN_FRONTEND: 'noninteractive' } });
      await sh(host, `resolvconf -a eth0.inet`, [], { input: PLAIN });
      const before = await read(RESOLV_CONF);
      expect(before).toContain(PLAIN);
      await up();
      expect((await read(RESOLV_CONF)).match(/^nameserver .*/gm)).toEqual(['nameserver 10.0.0.1', PLAIN.trim()]);
      await resolvesAll();
      expect(await must(host, ['nethooks', 'status'])).toContain(`resolver resolvconf, upstream ${UPSTREAM}\n`);
      expect(await must(host, ['nethooks', 'up'])).toBe('nothing to change\n');

      // Whoever updates it later, an interface that comes or goes, does not push us out.
      await sh(host, 'resolvconf -a eth1.inet', [], { input: 'nameserver 203.0.113.53\n' });
      expect(await read(RESOLV_CONF)).toMatch(/nameserver 10\.0\.0\.1\n(.*\n)*nameserver 203\.0\.113\.53\n/);
      await sh(host, 'resolvconf -d eth1.inet; resolvconf -u');

      await down();
      expect(await read(RESOLV_CONF)).toBe(before);
      expect(await sh(host, 'grep -rl 10.0.0.1 /run/resolvconf || true')).toBe('');
    });

    it('also when it comes or goes while the networks are up', async () => {
      await up();
      await sh(host, `dpkg --purge ${name} 2>&1; rm -f /etc/resolv.conf`);
      await setResolvConf(PLAIN);
      await up();
      await resolvesAll();
      await sh(host, 'rm -rf /run/resolvconf');
    });
  });

  describe('with dhclient on an uplink', () => {
    it('its resolv.conf names us first, and its servers are those that dnsmasq asks', async () => {
      await must(host, [
        'internet',
        'dnsmasq',
        ...['--conf-file=/dev/null', '--port=0', '--no-ping', '--interface=eth1', '--bind-interfaces', '--user=root'],
        ...['--dhcp-range=203.0.113.100,203.0.113.110,1h', '--dhcp-option=3', `--dhcp-option=6,${UPSTREAM},192.0.2.1`],
        ...['--dhcp-option=15,isp.example', '--pid-file=/run/far-dhcp.pid', '--dhcp-leasefile=/run/far-dhcp.leases'],
      ]);
      await sh(host, 'echo "nameserver 192.0.2.99" >/etc/resolv.conf; nethooks up; ip address flush dev eth1');
      await sh(host, 'dhclient -1 eth1 </dev/null >/run/dhclient.log 2>&1');
      expect((await read(RESOLV_CONF)).match(/^nameserver .*/gm)).toEqual([
        'nameserver 10.0.0.1',
        PLAIN.trim(),
        'nameserver 192.0.2.1',
      ]);
      expect(await read('/run/nethooks/upstreams')).toBe(`${PLAIN}nameserver 192.0.2.1\n`);
      await resolvesAll();
      expect(await must(host, ['nethooks', 'plan'])).toBe('nothing would change\n');
    });

    it('down takes our address out of what dhclient has written', async () => {
      await down();
      expect(await read(RESOLV_CONF)).toBe(`domain isp.example\nsearch isp.example\n${PLAIN}nameserver 192.0.2.1\n`);
      await sh(host, 'dhclient -x eth1 2>&1');
      await setResolvConf(PLAIN);
      await up();
    });

    /** What dhclient-script writes into resolv.conf after our hook, which it sources (dhclient-script(8)). */
    const hook = (env: Record<string, string>) =>
      sh(
        host,
        'export reason interface; . /etc/dhcp/dhclient-enter-hooks.d/nethooks; echo "$new_domain_name_servers"',
        [],
        { env: { reason: 'BOUND', interface: 'eth1', ...env } },
      );

    it.each([
      ['8.8.8.8; reboot', '8.8.8.8; reboot'],
      ['$(reboot) `reboot` 198.51.100.9', '10.0.0.1 198.51.100.9'],
      ['198.51.100.9\nnameserver=reboot', '10.0.0.1 198.51.100.9'],
      ['198.51.100.9/24 -x ../../etc/passwd', '198.51.100.9/24 -x ../../etc/passwd'],
      ['10.0.0.1 198.51.100.9 10.0.0.1', '10.0.0.1 198.51.100.9'],
    ])('a DHCP server that names %j: only addresses are used', async (servers, written) => {
      await sh(host, 'rm -rf /run/nethooks/upstreams.d');
      // What has no address in it is left to dhclient-script as it came.
      expect(await hook({ new_domain_name_servers: servers })).toBe(`${written}\n`);
      const lines = (await read('/run/nethooks/upstreams')).trim().split('\n');
      expect(lines.filter((line) => !/^nameserver 198\.51\.100\.[19]$/.test(line))).toEqual([]);
      expect(new Set(lines).size).toBe(lines.length);
    });

    it('an interface whose name is a path is ignored', async () => {
      await sh(host, 'rm -rf /run/nethooks/upstreams.d');
      expect(await hook({ interface: '../../../etc/x', new_domain_name_servers: '198.51.100.9' })).toBe(
        '198.51.100.9\n',
      );
      expect(await sh(host, 'ls /run/nethooks/upstreams.d /etc/x 2>/dev/null || true')).toBe('');
    });

    it('a lease that is gone is forgotten', async () => {
      // dhclient-script would now write this server into resolv.conf, in place of those that are there.
      await hook({ new_domain_name_servers: '198.51.100.9' });
      expect(await read('/run/nethooks/upstreams')).toBe('nameserver 198.51.100.9\n');
      await hook({ reason: 'EXPIRE' });
      expect(await read('/run/nethooks/upstreams')).toBe(PLAIN);
    });

    it('nothing of ours is printed or kept while no network is up', async () => {
      await down();
      expect(await hook({ new_domain_name_servers: '198.51.100.9' })).toBe('198.51.100.9\n');
      expect((await host.run(['cat', '/run/nethooks/upstreams'])).code).toBe(1);
      await hook({ reason: 'EXPIRE' });
      await up();
    });
  });

  describe('nobody asks himself', () => {
    /** DNS queries that the host's dnsmasq instances get while a name is looked up that nobody knows. */
    const queries = async () => {
      const packets = await capture(host, ['-i', 'lo', 'udp dst port 53']);
      await host.run(['busybox', 'nslookup', '-type=a', 'outside.example', '10.0.0.1']);
      return (await packets.stop()).match(/A\? outside\.example/g)?.length ?? 0;
    };

    it.each([
      ['resolv.conf names our dnsmasq alone', 'nameserver 10.0.0.1\n', BR0],
      ['dns-upstream is our own address', PLAIN, `${BR0}dns-upstream[] = 10.0.0.1\n`],
      [
        'two networks have each other as dns-upstream',
        PLAIN,
        `${BR0}dns-upstream[] = 10.1.0.1\n[network.br1]\naddress = 10.1.0.1/24\ndns-upstream[] = 10.0.0.1\n`,
      ],
    ])('%s', async (_what, resolvConf, ini) => {
      await setResolvConf(resolvConf);
      await up(ini);
      // The query itself; dnsmasq takes a moment to find a loop between two (dnsmasq(8), --dns-loop-detect).
      await eventually(async () => expect(await queries()).toBeLessThanOrEqual(2));
      await setResolvConf(PLAIN);
      await up();
    });

    it('nor answers strangers beyond an uplink', async () => {
      await sh(host, 'internet ip route add 10.0.0.0/24 via 192.0.2.2');
      const query = ['timeout', '2', 'busybox', 'nslookup', '-type=a', 'test.lxc', '10.0.0.1'];
      const packets = await capture(host, ['-i', 'eth0', 'udp port 53']);
      const { stdout } = await host.run(['internet', ...query]);
      expect(stdout).not.toMatch(/10\.0\.0\.[2-9]/);
      const seen = await packets.stop();
      expect(seen).toContain('> 10.0.0.1.53: ');
      expect(seen).not.toContain('IP 10.0.0.1.53 > ');
    });
  });
});

/** A package from Debian's mirror; a throwaway host has no way to it. */
function debianPackage(name: string): string {
  const directory = '/var/cache/nethooks-test/packages';
  const find = () => readdirSync(directory).find((file) => file.startsWith(`${name}_`) && file.endsWith('.deb'));
  mkdirSync(directory, { recursive: true });
  if (!find()) {
    const download = `apt-get -qq -o APT::Sandbox::User=root download ${name}`;
    execFileSync('sh', ['-c', `${download} || { apt-get -qq update && ${download}; }`], {
      cwd: directory,
      stdio: ['ignore', 'ignore', 'inherit'],
    });
  }
  const file = join(directory, find() ?? '');
  if (!existsSync(file)) throw new Error(`apt-get did not bring ${name}`);
  return file;
}
