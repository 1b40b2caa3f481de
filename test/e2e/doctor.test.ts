/** Faults, one at a time, on a host with five containers on two networks: doctor names each, and mends what is safe. */
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { ThrowawayHost } from '../../src/demo/throwaway.ts';
import { describeLab, eventually, installedHost, must, STILL, sh } from '../lab/lab.ts';

const CONFIG = `[network.br0]
address = 10.0.0.1/24
uplinks = eth0, eth1
[network.br1]
address = 10.1.0.1/24
icc = false
`;
const CONTAINERS = ['web', 'db', 'app', 'api', 'cron'];

let host: ThrowawayHost;
const nethooks = (...words: string[]) => host.run(['nethooks', ...words]);

interface Answer {
  mended: { id: string }[];
  findings: { id: string; about: string; text: string; remedy: string | null; why: string }[];
}
const doctor = async (...words: string[]) => {
  const { code, stdout, stderr } = await nethooks('doctor', '--json', ...words);
  expect(stderr).not.toMatch(/at .*:\d+:\d+/);
  return { code, ...(JSON.parse(stdout) as Answer) };
};
const ids = async () => (await doctor()).findings.map(({ id }) => id);

describeLab('nethooks doctor', () => {
  beforeAll(async () => {
    host = await installedHost({
      uplinks: 2,
      dns: true,
      config: CONFIG,
      containers: CONTAINERS,
      containerConfig: STILL,
    });
    await sh(
      host,
      `sed -i s/br0/br1/ /var/lib/lxc/api/config /var/lib/lxc/cron/config
nethooks configure web -p 8080:80; nethooks configure db -p 127.0.0.1:5432:5432; nethooks configure cron --link api:backend
for name; do lxc-start $name; done
sysctl -qw net.ipv4.conf.all.rp_filter=2`,
      CONTAINERS,
    );
  });

  it('finds nothing on a host that is well', async () => {
    expect(await doctor()).toEqual({ code: 0, mended: [], findings: [] });
    expect(await must(host, ['nethooks', 'doctor'])).toBe('nothing is wrong\n');
  });

  afterEach(async () => {
    // Each fault is undone by its own row, or by doctor.
    await eventually(async () => expect(await ids()).toEqual([]));
  });

  describe('names and mends', () => {
    it.each([
      ['a flushed table', 'nft delete table inet nethooks', 'rules'],
      ['a bridge that is down', 'ip link set br0 down', 'link'],
      ['an address that the bridge lost', 'ip addr flush dev br1', 'link'],
      ['forwarding off', 'sysctl -qw net.ipv4.ip_forward=0', 'sysctl'],
      ['forwarding off, of the bridge alone', 'sysctl -qw net.ipv4.conf.br0.forwarding=0', 'interface-forwarding'],
      ['forwarding off, of an uplink alone', 'sysctl -qw net.ipv4.conf.eth1.forwarding=0', 'interface-forwarding'],
      ['no checksum rule', 'iptables -t mangle -F', 'iptables'],
      ['a policy to drop', 'iptables -P FORWARD DROP', 'iptables'],
      ['dnsmasq that has ended', 'kill $(cat /run/nethooks/dnsmasq/br0/dnsmasq.pid)', 'dnsmasq'],
      ['another resolv.conf', 'echo "nameserver 198.51.100.1" >/etc/resolv.conf', 'file'],
      ['no sysctl file', 'rm /etc/sysctl.d/60-nethooks.conf', 'file'],
      ['a configuration that everybody may write', 'chmod o+w /etc/nethooks/nethooks.ini', 'permissions'],
      ['options that everybody may write', 'chmod o+w /etc/nethooks/containers/web.ini', 'permissions'],
      [
        'a port that nobody has',
        'mkdir -p /run/nethooks/ports/tcp-9; echo lxc/gone >/run/nethooks/ports/tcp-9/0.0.0.0',
        'leftovers',
      ],
    ])('%s', async (_what, script, id) => {
      await sh(host, script);
      const { code, findings } = await doctor();
      expect(code).toBe(3);
      const found = findings.find((one) => one.id === id);
      expect(found, JSON.stringify(findings)).toMatchObject({ why: expect.stringMatching(/\w+ \w+/) });
      expect(found?.remedy).toMatch(/^\w+/);
      const fixed = await doctor('--fix');
      expect(fixed.mended.map((one) => one.id)).toContain(id);
      expect(fixed).toMatchObject({ code: 0, findings: [] });
      await sh(host, 'iptables -P FORWARD ACCEPT; nethooks up');
    });
  });

  describe('names, and leaves to a person', () => {
    it.each([
      ['a route over a subnet', 'ip route add 10.0.0.128/25 dev eth1', 'ip route del 10.0.0.128/25', 'foreign-route'],
      [
        'a routing rule',
        'ip rule add to 10.1.0.0/24 table 99 priority 50',
        'ip rule del to 10.1.0.0/24 table 99 priority 50',
        'foreign-route',
      ],
      ['the address twice', 'ip addr add 10.0.0.1/32 dev eth1', 'ip addr del 10.0.0.1/32 dev eth1', 'address-twice'],
      [
        'a strict reverse path filter',
        'sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth1.rp_filter=1',
        'sysctl -qw net.ipv4.conf.all.rp_filter=2',
        'rp-filter',
      ],
      [
        'a process on a published port',
        'busybox nc -ll -p 8080 -e true </dev/null >/dev/null 2>&1 & echo $! >/tmp/nc; sleep 0.2',
        'kill $(cat /tmp/nc)',
        'port-taken',
      ],
      [
        'a small uplink',
        'cp /etc/nethooks/nethooks.ini /tmp/ini; sed -i "1a mtu = 1500" /etc/nethooks/nethooks.ini; ip link set eth0 mtu 1400; nethooks up',
        'ip link set eth0 mtu 1500; cp /tmp/ini /etc/nethooks/nethooks.ini; nethooks up',
        'mtu-black-hole',
      ],
      [
        'a table that drops',
        'nft "add table inet f; add chain inet f forward { type filter hook forward priority 0; policy drop; }"',
        'nft delete table inet f',
        'foreign-firewall',
      ],
      [
        'a container without hooks',
        'cp /var/lib/lxc/app/config /tmp/app; sed -i /nethooks/d /var/lib/lxc/app/config',
        'cp /tmp/app /var/lib/lxc/app/config',
        'lxc-config',
      ],
      [
        "a container on lxc-net's bridge",
        'cp /var/lib/lxc/app/config /tmp/app; sed -i s/br0/lxcbr0/ /var/lib/lxc/app/config',
        'cp /tmp/app /var/lib/lxc/app/config',
        'lxc-config',
      ],
      [
        'a mistake in the configuration',
        'cp /etc/nethooks/nethooks.ini /tmp/ini; echo colour = red >>/etc/nethooks/nethooks.ini',
        'cp /tmp/ini /etc/nethooks/nethooks.ini',
        'configuration',
      ],
      [
        'a file of somebody else',
        'chown 1000 /etc/nethooks/nethooks.ini',
        'chown 0 /etc/nethooks/nethooks.ini',
        'permissions',
      ],
      [
        'a full table of connections',
        'cat /proc/sys/net/netfilter/nf_conntrack_max >/tmp/max; conntrack -C >/dev/null; echo 1 >/proc/sys/net/netfilter/nf_conntrack_max || true',
        'cat /tmp/max >/proc/sys/net/netfilter/nf_conntrack_max || true',
        'conntrack-full',
      ],
    ])('%s', async (_what, script, undo, id) => {
      await sh(host, script);
      if (id === 'conntrack-full' && (await sh(host, 'cat /proc/sys/net/netfilter/nf_conntrack_max')) !== '1\n') return;
      expect(await ids()).toContain(id);
      expect((await doctor('--fix')).findings.map((one) => one.id)).toContain(id);
      await sh(host, undo);
    });
  });

  describe('--probe', () => {
    const probed = async () => (await doctor('--probe')).findings.map(({ id, about }) => `${id} ${about}`);

    it('finds nothing on a host that is well, and leaves nothing', async () => {
      expect(await doctor('--probe')).toEqual({ code: 0, mended: [], findings: [] });
      expect(await sh(host, 'ip netns; ip -br link | grep nhp || true')).toBe('');
    });

    it.each([
      [
        'a name that leads elsewhere',
        'sed -i s/10.0.0.4/10.0.0.9/ /run/nethooks/names/lxc/app; sleep 0.3',
        'nethooks configure app; lxc-stop -k app; lxc-start app',
        'probe-name container app',
      ],
      [
        'no way out',
        'iptables -I FORWARD -s 10.0.0.4 ! -d 10.0.0.0/8 -j DROP',
        'iptables -D FORWARD 1',
        'probe-out container app',
      ],
      [
        'a port that is not passed on',
        'iptables -I FORWARD -d 10.0.0.2 -p tcp -j DROP',
        'iptables -D FORWARD 1',
        'probe-port container web',
      ],
    ])('%s', async (_what, script, undo, found) => {
      await sh(host, script);
      expect(await probed()).toContain(found);
      await sh(host, undo);
    });
  });

  it('a configuration that everybody may write is refused, and starts go on with the last good one', async () => {
    await sh(host, 'chmod 666 /etc/nethooks/nethooks.ini; lxc-stop -k app');
    expect(await nethooks('up')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining(
        '/etc/nethooks/nethooks.ini: mode 0666: everybody may write it; allowed: root alone',
      ),
    });
    await must(host, ['lxc-start', '-n', 'app']);
    await sh(host, 'chmod 644 /etc/nethooks/nethooks.ini; chmod 666 /etc/nethooks/containers/web.ini; lxc-stop -k web');
    expect(await sh(host, 'lxc-start web 2>&1 | cat')).toContain('/etc/nethooks/containers/web.ini: mode 0666');
    await sh(host, 'chmod 644 /etc/nethooks/containers/web.ini; lxc-start web');
  });
});
