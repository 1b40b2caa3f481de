/** Whatever a running host loses, one thing at a time: `plan` and `status` say so, `up` brings it back, and everything is reached again. */
import { beforeAll, expect, it } from 'vitest';
import type { ThrowawayHost } from '../../src/demo/throwaway.ts';
import type { Status } from '../../src/host/status.ts';
import { commandsOn, containerPid, describeLab, installedHost, must, STILL, sh } from '../lab/lab.ts';
import { ask, type Side, serve, type Target } from '../lab/traffic.ts';

/** web publishes 8080 and 127.0.0.1:8081 and links to db; mate is their neighbour; far and pod (attach) are on a network with icc. */
const CONFIG = `[network.br0]
address = 10.0.0.1/24
icc = false
antispoof = true
[network.br1]
address = 10.1.0.1/24
domain = two
`;

let host: ThrowawayHost;
/** Network namespaces by name, as ip-netns(8) has them, so that servers and clients can be there. */
const INSIDE = ['web', 'db', 'mate', 'far'];
const { start } = commandsOn(() => host);
const nethooks = (...words: string[]) => host.run(['nethooks', ...words]);

type Row = [from: Side, to: Target, answer: string];
const TABLE: Row[] = [
  ['internet', 'tcp 192.0.2.2:8080', '80 192.0.2.1'],
  ['host', 'tcp 127.0.0.1:8081', '80 10.0.0.1'],
  ['host', 'tcp 10.0.0.3:80', '80 10.0.0.1'],
  ['host', 'tcp 10.0.0.4:80', '80 10.0.0.1'],
  ['host', 'tcp 10.1.0.2:80', '80 10.1.0.1'],
  ['web', 'tcp 10.0.0.3:5432', '5432 10.0.0.2'],
  ['web', 'tcp 10.0.0.3:80', 'silence'],
  ['mate', 'tcp 10.0.0.3:5432', 'silence'],
  ['mate', 'tcp 10.0.0.1:8080', '80 10.0.0.1'],
  ['web', 'tcp 10.0.0.1:8080', '80 10.0.0.1'],
  ['web', 'udp 198.51.100.1:7001', '7001 192.0.2.2'],
  ['db', 'udp 198.51.100.1:7001', '7001 192.0.2.2'],
  ['mate', 'udp 198.51.100.1:7001', '7001 192.0.2.2'],
  ['far', 'udp 198.51.100.1:7001', '7001 192.0.2.2'],
  ['far', 'tcp 10.0.0.2:80', 'silence'],
  ['far', 'tcp 10.1.0.3:80', '80 10.1.0.2'],
  ['internet', 'tcp 192.0.2.2:9090', '80 192.0.2.1'],
];

async function reached(): Promise<Row[]> {
  const sides = [...new Set(TABLE.map(([from]) => from))];
  const answers = new Map(
    await Promise.all(
      sides.map(
        async (side) =>
          [
            side,
            await ask(
              host,
              side,
              TABLE.flatMap(([from, to]) => (from === side ? to : [])),
            ),
          ] as const,
      ),
    ),
  );
  return TABLE.map(([from, to]) => [from, to, answers.get(from)?.[to] ?? '']);
}

/** What each container's own dnsmasq answers, asked by the container itself. */
const NAMES = `for c in web db mate; do ip netns exec $c busybox nslookup $c.lxc 10.0.0.1 | sed -n 's/^Address.*: *\\(10.0.0.[2-9]\\).*/\\1/p'; done
ip netns exec web busybox nslookup database.web.lxc 10.0.0.1 | sed -n 's/^Address.*: *\\(10.0.0.[2-9]\\).*/\\1/p'
for c in far pod; do ip netns exec far busybox nslookup $c.two 10.1.0.1 | sed -n 's/^Address.*: *\\(10.1.0.[2-9]\\).*/\\1/p'; done`;
const ANSWERS = '10.0.0.2\n10.0.0.3\n10.0.0.4\n10.0.0.3\n10.1.0.2\n10.1.0.3\n';
/** A stranger gets an address by DHCP. Its MAC is no container's. */
const DHCP = `ip link add stranger type veth peer name s0; ip link set stranger master $1 up; ip link set s0 up
busybox udhcpc -i s0 -n -q -t 5 -T 1 -s /bin/true 2>&1 | grep -o 'lease of 10[.0-9]*'; ip link delete s0`;

const DAEMON = 'pid=$(cat /run/nethooks/dnsmasq/br0/dnsmasq.pid);';
/** The host's end of a container's pair. */
const portOf = (name: string) =>
  `port=$(ip -o link | sed -n "s/^$(ip -n ${name} -o link show eth0 | sed 's/.*@if\\([0-9]*\\):.*/\\1/'): \\([^@:]*\\).*/\\1/p");`;
const inside = (name: string, line: string) => `ip -n ${name} ${line}`;

const FAULTS: [what: string, fault: string][] = [
  ['a port leaves its bridge', `${portOf('web')} ip link set $port nomaster`],
  ['a port goes down', `${portOf('db')} ip link set $port down`],
  ["attach's port leaves its bridge", `${portOf('pod')} ip link set $port nomaster`],
  ['hairpin is switched off', `${portOf('web')} ip link set $port type bridge_slave hairpin off`],
  ['a bridge is deleted', 'ip link delete br0'],
  [
    'a bridge is deleted and made anew',
    'ip link delete br0; ip link add br0 type bridge; ip link set br0 alias nethooks up',
  ],
  ["a bridge's alias is removed", 'ip link set br0 alias ""'],
  ["a bridge's address is removed", 'ip address flush dev br0'],
  ['a bridge goes down', 'ip link set br0 down'],
  [
    'a container loses its address',
    `${inside('web', 'address flush dev eth0')}; ${inside('web', 'address flush dev lo')}`,
  ],
  ['a container loses its routes', inside('web', 'nexthop flush')],
  [
    'a container loses its default routes',
    `${inside('db', 'route del default')}; ${inside('db', 'route del default')}`,
  ],
  ["a container's interface goes down", inside('mate', 'link set eth0 down')],
  ['a container has another MAC', inside('web', 'link set eth0 address 02:00:00:00:00:99')],
  ['of attach, a namespace in which a process runs loses its address', inside('pod', 'address flush dev eth0')],
  ['hosts files are removed', 'rm /run/nethooks/names/*/*'],
  ['directories of names are removed', 'rm -r /run/nethooks/names'],
  ['a hosts file says something else', 'echo 10.0.0.99 web.lxc >/run/nethooks/names/lxc/web; sleep 0.3'],
  ['reservations for DHCP are removed', 'rm -r /run/nethooks/dnsmasq/br0/dhcp-hosts'],
  ['what dnsmasq was told is forgotten', 'rm -r /run/nethooks/dnsmasq/br0/told'],
  ['claims of names are removed', 'rm -r /run/nethooks/claims'],
  ['holds of host ports are removed', 'rm -r /run/nethooks/ports'],
  ['notes of MACs are removed', 'rm -r /run/nethooks/macs'],
  ['notes of links are removed', 'rm -r /run/nethooks/links'],
  ['held addresses are removed', 'rm -r /var/lib/cni/networks/br0'],
  ['the table is deleted', 'nft delete table inet nethooks'],
  ['the table of senders is deleted', 'nft delete table bridge nethooks'],
  [
    'a map leads elsewhere',
    `nft 'delete element inet nethooks published { tcp . 8080 }; add element inet nethooks published { tcp . 8080 : 10.0.0.99 . 80 }'`,
  ],
  ["an element is nobody's", "nft 'add element inet nethooks published { tcp . 8099 : 10.0.0.99 . 80 }'"],
  ['a link is missing', 'nft flush set inet nethooks links'],
  ['senders are missing', 'nft flush set bridge nethooks senders'],
  ['dnsmasq is stopped', `${DAEMON} kill -STOP $pid`],
  ['dnsmasq is killed', `${DAEMON} kill -KILL $pid`],
  ["dnsmasq's pid file is removed", 'rm /run/nethooks/dnsmasq/br0/dnsmasq.pid'],
  ["dnsmasq's configuration is removed", 'rm -r /run/nethooks/dnsmasq/br0'],
  ['forwarding is switched off', 'echo 0 >/proc/sys/net/ipv4/ip_forward'],
  ['route_localnet is switched off', 'echo 0 >/proc/sys/net/ipv4/conf/br0/route_localnet'],
  ['bridged packets are not filtered', 'ip link set br0 type bridge nf_call_iptables 0'],
  ['the checksum rule is removed', 'iptables -t mangle -F POSTROUTING'],
  ['a hook is not executable', 'chmod 644 /usr/lib/nethooks/lxc/start-host'],
];

describeLab('a host with five containers on two networks', () => {
  beforeAll(async () => {
    host = await installedHost({
      config: CONFIG,
      containers: ['web', 'db', 'mate', 'far'],
      containerConfig: STILL,
      namespaces: ['pod'],
    });
    await sh(host, 'sysctl -qw net.ipv4.icmp_ratelimit=0');
    for (const [name, ...words] of [
      ['db', '--expose', '5432'],
      ['web', '--publish', '8080:80', '--publish', '127.0.0.1:8081:80', '--link', 'db:database'],
      ['far', '--net', 'bridge:br1'],
    ] as string[][])
      await must(host, ['nethooks', 'configure', name as string, ...words]);
    // In this order they get 10.0.0.2 to 10.0.0.4.
    for (const name of INSIDE) await start(name);
    for (const name of INSIDE)
      await sh(
        host,
        `touch /run/netns/${name}; mount --bind /proc/${await containerPid(host, name)}/ns/net /run/netns/${name}`,
      );
    await must(host, ['nethooks', 'attach', 'pod', '--network', 'br1', '--publish', '9090:80']);
    for (const name of INSIDE) await serve(host, name, ['0.0.0.0:80', '0.0.0.0:5432']);
    await serve(host, 'pod', ['0.0.0.0:80']);
    await serve(host, 'internet', ['198.51.100.1:7001']);
  }, 120_000);

  const isWell = async () => {
    expect(await reached()).toEqual(TABLE);
    expect(await sh(host, NAMES)).toBe(ANSWERS);
    expect(await nethooks('plan')).toMatchObject({ code: 0, stdout: 'nothing would change\n' });
  };

  it('is well', async () => {
    await isWell();
    expect(await nethooks('status')).toMatchObject({ code: 0 });
    expect(await nethooks('up', '--check')).toMatchObject({ code: 0, stdout: 'nothing would change\n' });
  });

  it.each(FAULTS)(
    '%s',
    async (_, fault) => {
      await sh(host, fault);
      const plan = await nethooks('plan');
      expect(plan.code).toBe(3);
      expect(await nethooks('up', '--check')).toMatchObject({ code: 3, stdout: plan.stdout });
      const { code, stdout } = await nethooks('status', '--json');
      expect([code, (JSON.parse(stdout) as Status).findings.some(({ remedy }) => remedy === 'nethooks up')]).toEqual([
        3,
        true,
      ]);
      await must(host, ['nethooks', 'up']);
      await isWell();
    },
    60_000,
  );

  it.each(['br0', 'br1'])(
    'a stranger on %s, made anew, gets an address by DHCP',
    async (bridge) => {
      await sh(
        host,
        `ip link delete ${bridge}; ip link add ${bridge} type bridge; ip link set ${bridge} alias nethooks`,
      );
      await must(host, ['nethooks', 'up']);
      expect(await sh(host, DHCP, [bridge])).toMatch(/lease of 10\./);
      await isWell();
    },
    60_000,
  );

  it('an address of its own choice is not fought', async () => {
    await sh(
      host,
      'ip -n mate address flush dev lo; ip -n mate address flush dev eth0; ip -n mate address add 10.0.0.77/24 dev eth0',
    );
    const { code, stderr } = await nethooks('plan');
    expect([code, stderr]).toEqual([0, 'nethooks: container mate: its eth0 has 10.0.0.77, not 10.0.0.4: left alone\n']);
    await sh(host, 'ip -n mate address flush dev eth0; nethooks up');
    await isWell();
  }, 60_000);

  it('/run/nethooks is emptied: records are made anew, the daemons are taken over; what attach has keeps its port', async () => {
    await sh(host, 'rm -r /run/nethooks');
    expect((await nethooks('plan')).stderr).toMatch(/attached\.netns\.pod \(10\.1\.0\.3\) has lost its record/);
    expect((await nethooks('status')).code).toBe(3);
    await must(host, ['nethooks', 'up']);
    expect(await reached()).toEqual(TABLE);
    expect(await sh(host, NAMES)).toBe(ANSWERS.replace('10.1.0.3\n', ''));
    expect((await nethooks('plan')).stdout).toBe('nothing would change\n');
    await must(host, ['nethooks', 'gc']);
    expect(await reached()).toEqual(TABLE);
    expect(await must(host, ['nethooks', 'port', 'web'])).toContain('8080');
  }, 60_000);

  it('an interface that is deleted is named, as only a restart brings it back', async () => {
    await sh(host, `${portOf('mate')} ip link delete $port`);
    expect((await nethooks('status')).stdout).toMatch(
      /missing +container mate: its eth0 has lost its port on br0: restart it/,
    );
    await must(host, ['nethooks', 'up']);
    expect((await nethooks('plan')).stdout).toBe('nothing would change\n');
  });
});
