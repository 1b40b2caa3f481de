import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ThrowawayHost } from '../../src/demo/throwaway.ts';
import type { Policy } from '../../src/model/policy.ts';
import { describeLab, eventually, installNethooks, labHost, must, sh, writeConfig } from '../lab/lab.ts';
import { script } from '../lab/lifecycle.ts';
import { policyDriver } from '../lab/policy.ts';
import { ask, type Side, serve, type Target, talk } from '../lab/traffic.ts';

const driver = policyDriver();
afterAll(() => driver.remove());

/**
 * web (10.0.0.2) publishes 8080 at every address of the host, 8081 at 192.0.2.2, 8082 at 127.0.0.1, TCP and UDP; mate (10.0.0.3)
 * is its neighbour, far (10.1.0.2) is on another network. All of them answer on 80 and 81; the host answers on 127.0.0.1:9999.
 */
const WEB: Policy = {
  network: 'br0',
  address: '10.0.0.2',
  port: null,
  isolated: [],
  publish: (['tcp', 'udp'] as const).flatMap((protocol) => [
    { protocol, hostAddress: null, hostPort: 8080, containerPort: 80 },
    { protocol, hostAddress: '192.0.2.2', hostPort: 8081, containerPort: 80 },
    { protocol, hostAddress: '127.0.0.1', hostPort: 8082, containerPort: 80 },
  ]),
  links: [],
  exposed: [],
  masquerade: [],
};

const CONTAINERS = `
add() { # NAME BRIDGE ADDRESS GATEWAY
  ip netns add "$1"
  ip link add "veth-$1" type veth peer name eth0 netns "$1"
  ip link set "veth-$1" master "$2" up
  ip -n "$1" link set lo up
  ip -n "$1" link set eth0 up
  ip -n "$1" address add "$3" dev eth0
  ip -n "$1" route add default via "$4"
}
add web br0 10.0.0.2/24 10.0.0.1
add mate br0 10.0.0.3/24 10.0.0.1
add far br1 10.1.0.2/24 10.1.0.1
`;

const config = (icc: boolean) => `
[network.br0]
address = 10.0.0.1/24
icc = ${icc}
[network.br1]
address = 10.1.0.1/24
icc = true
`;

const link = (container: string, from: string, to: string) => ({
  container,
  alias: container,
  from,
  to,
  ports: [
    { protocol: 'tcp' as const, port: 80 },
    { protocol: 'udp' as const, port: 80 },
  ],
});

async function aHost(icc: boolean, bridgeCalls: 0 | 1): Promise<{ host: ThrowawayHost; web: Policy }> {
  const host = await labHost();
  // And no limit to how often the host may say that nobody listens.
  await sh(host, `sysctl -qw net.bridge.bridge-nf-call-iptables=${bridgeCalls} net.ipv4.icmp_ratelimit=0`);
  await installNethooks(host, { config: config(icc) });
  await sh(host, CONTAINERS);
  // The fake internet's hosts know the way to the containers, which is more than the real one does.
  await host.internet(['ip', 'route', 'add', '10.0.0.0/15', 'via', '192.0.2.2']);
  for (const name of ['web', 'mate', 'far']) await serve(host, name, ['0.0.0.0:80', '0.0.0.0:81']);
  await serve(host, 'host', ['127.0.0.1:9999', '10.0.0.1:7002']);
  await serve(host, 'internet', ['192.0.2.1:7000', '192.0.2.1:7001', '198.51.100.1:7001']);
  const port = Number(await must(host, ['cat', '/sys/class/net/veth-web/ifindex']));
  const web = { ...WEB, port, isolated: icc ? [] : ['br0'] };
  await driver.apply(host, null, web);
  return { host, web };
}

/** One row: from, to, and what is to come of it. `80 ADDRESS` is the answer of port 80, which saw ADDRESS. */
type Row = [from: Side, to: string, answer: string];

const PUBLISHED: Row[] = [
  // At all addresses. Clients outside are seen as they are; on the same bridge the host stands in for them.
  ['internet', '192.0.2.2:8080', '80 192.0.2.1'],
  ['internet', '10.0.0.1:8080', '80 192.0.2.1'],
  ['host', '192.0.2.2:8080', '80 192.0.2.2'],
  ['host', '10.0.0.1:8080', '80 10.0.0.1'],
  ['host', '127.0.0.1:8080', '80 10.0.0.1'],
  ['mate', '192.0.2.2:8080', '80 10.0.0.1'],
  ['mate', '10.0.0.1:8080', '80 10.0.0.1'],
  ['web', '192.0.2.2:8080', '80 10.0.0.1'],
  ['web', '10.0.0.1:8080', '80 10.0.0.1'],
  ['far', '192.0.2.2:8080', '80 10.1.0.2'],
  ['far', '10.0.0.1:8080', '80 10.1.0.2'],
  // At one.
  ['internet', '192.0.2.2:8081', '80 192.0.2.1'],
  ['internet', '10.0.0.1:8081', 'refused'],
  ['host', '192.0.2.2:8081', '80 192.0.2.2'],
  ['host', '10.0.0.1:8081', 'refused'],
  ['host', '127.0.0.1:8081', 'refused'],
  ['mate', '192.0.2.2:8081', '80 10.0.0.1'],
  ['mate', '10.0.0.1:8081', 'refused'],
  ['web', '192.0.2.2:8081', '80 10.0.0.1'],
  ['far', '192.0.2.2:8081', '80 10.1.0.2'],
  // On the host only.
  ['internet', '192.0.2.2:8082', 'refused'],
  ['host', '127.0.0.1:8082', '80 10.0.0.1'],
  ['host', '192.0.2.2:8082', 'refused'],
  ['mate', '10.0.0.1:8082', 'refused'],
  ['web', '10.0.0.1:8082', 'refused'],
  // By their own addresses, which the internet has a route to: neither what is published nor anything else.
  ['internet', '10.0.0.2:80', 'silence'],
  ['internet', '10.0.0.2:81', 'silence'],
  ['internet', '10.0.0.3:80', 'silence'],
  // Not at all.
  ['internet', '192.0.2.2:80', 'refused'],
  ['host', '192.0.2.2:80', 'refused'],
  // The host reaches its containers, a container itself.
  ['host', '10.0.0.2:81', '81 10.0.0.1'],
  ['host', '10.0.0.3:81', '81 10.0.0.1'],
  ['web', '10.0.0.2:81', '81 10.0.0.2'],
  ['web', '127.0.0.1:80', '80 127.0.0.1'],
];

/** Between containers, by their own addresses. */
const between = (allowed: boolean): Row[] => [
  ['mate', '10.0.0.2:80', allowed ? '80 10.0.0.3' : 'silence'],
  ['mate', '10.0.0.2:81', allowed ? '81 10.0.0.3' : 'silence'],
  ['web', '10.0.0.3:80', allowed ? '80 10.0.0.2' : 'silence'],
  ['web', '10.0.0.3:81', allowed ? '81 10.0.0.2' : 'silence'],
  ['far', '10.0.0.2:80', 'silence'],
  ['web', '10.1.0.2:80', 'silence'],
];

async function expectRows(host: ThrowawayHost, rows: readonly Row[]): Promise<void> {
  const seen: string[] = [];
  const wanted: string[] = [];
  const sides = [...new Set(rows.map(([from]) => from))].map(async (side) => {
    const own = rows.filter(([from]) => from === side);
    const targets = own.flatMap(([, to]) => [`tcp ${to}`, `udp ${to}`] as Target[]);
    return { own, answers: await ask(host, side, targets) };
  });
  for (const { own, answers } of await Promise.all(sides)) {
    for (const [from, to, answer] of own)
      for (const protocol of ['tcp', 'udp']) {
        wanted.push(`${from} -> ${protocol} ${to}: ${answer}`);
        seen.push(`${from} -> ${protocol} ${to}: ${answers[`${protocol} ${to}`]}`);
      }
  }
  expect(seen).toEqual(wanted);
}

describeLab('ports and links, by real traffic', () => {
  describe.each([
    { icc: true, bridgeCalls: 0 as const },
    { icc: true, bridgeCalls: 1 as const },
    { icc: false, bridgeCalls: 0 as const },
    { icc: false, bridgeCalls: 1 as const },
  ])('icc = $icc, bridge-nf-call-iptables = $bridgeCalls', ({ icc, bridgeCalls }) => {
    let host: ThrowawayHost;
    let web: Policy;
    beforeAll(async () => {
      ({ host, web } = await aHost(icc, bridgeCalls));
    });
    afterAll(() => host.close());

    it('published ports answer where they should and nowhere else, and see their clients', async () => {
      await expectRows(host, PUBLISHED);
    });

    it('containers reach each other by address only with icc, and never those of another network', async () => {
      await expectRows(host, between(icc));
    });

    it('what is published on 127.0.0.1, and what the host has there, cannot be had from elsewhere', async () => {
      // mate has no loopback of its own any more and takes 127.0.0.1 for a machine behind its gateway.
      await sh(
        host,
        `ip netns add evil; ip link add veth-evil type veth peer name eth0 netns evil; ip link set veth-evil master br0 up
         ip -n evil link set eth0 up; ip -n evil address add 10.0.0.66/24 dev eth0
         ip netns exec evil sysctl -qw net.ipv4.conf.all.route_localnet=1 net.ipv4.conf.eth0.route_localnet=1
         ip -n evil route add 127.0.0.1/32 via 10.0.0.1 src 10.0.0.66`,
      );
      expect(await must(host, ['cat', '/proc/sys/net/ipv4/conf/br0/route_localnet'])).toBe('1\n');
      await expectRows(host, [
        ['evil', '127.0.0.1:8080', 'silence'],
        ['evil', '127.0.0.1:8082', 'silence'],
        ['evil', '127.0.0.1:9999', 'silence'],
        ['host', '127.0.0.1:9999', '9999 127.0.0.1'],
      ]);
    });

    it('a link opens the exposed ports, from parent to child', async () => {
      const mate: Policy = {
        ...WEB,
        address: '10.0.0.3',
        publish: [],
        links: [link('web', '10.0.0.3', '10.0.0.2')],
        isolated: web.isolated,
      };
      const far: Policy = {
        ...mate,
        network: 'br1',
        address: '10.1.0.2',
        links: [link('web', '10.1.0.2', '10.0.0.2')],
      };
      await driver.apply(host, null, mate);
      await driver.apply(host, null, { ...far, isolated: [] });
      await expectRows(host, [
        ['mate', '10.0.0.2:80', '80 10.0.0.3'],
        ['mate', '10.0.0.2:81', icc ? '81 10.0.0.3' : 'silence'],
        ['web', '10.0.0.3:80', icc ? '80 10.0.0.2' : 'silence'],
        ['far', '10.0.0.2:80', '80 10.1.0.2'],
        ['far', '10.0.0.2:81', 'silence'],
        ['web', '10.1.0.2:80', 'silence'],
        ['far', '10.0.0.3:80', 'silence'],
      ]);
      await driver.apply(host, mate, null);
      await driver.apply(host, far, null);
      await expectRows(host, between(icc));
    });

    it('publish-from lets in whom it names, and the host', async () => {
      const limited = { ...web, publishFrom: ['10.1.0.0/24', '198.51.100.0/24'] };
      await driver.apply(host, web, limited);
      await expectRows(host, [
        ['internet', '192.0.2.2:8080', 'silence'],
        ['internet', '192.0.2.2:8081', 'silence'],
        ['mate', '10.0.0.1:8080', 'silence'],
        ['far', '10.0.0.1:8080', '80 10.1.0.2'],
        ['host', '192.0.2.2:8080', '80 192.0.2.2'],
        ['host', '127.0.0.1:8082', '80 10.0.0.1'],
      ]);
      await driver.apply(host, limited, web);
      await expectRows(host, PUBLISHED.slice(0, 6));
    });

    it('egress: a container reaches what it names, DNS and DHCP of its network, and whom it answers', async () => {
      const free: Policy = { ...WEB, address: '10.0.0.3', publish: [], isolated: web.isolated };
      const confined: Policy = {
        ...free,
        egress: {
          from: ['10.0.0.3'],
          to: [
            { subnet: '192.0.2.1/32', port: 7000 },
            { subnet: '198.51.100.0/24', port: null },
          ],
        },
      };
      await driver.apply(host, null, confined);
      await expectRows(host, [
        ['mate', '192.0.2.1:7000', '7000 192.0.2.2'],
        ['mate', '192.0.2.1:7001', 'silence'],
        ['mate', '198.51.100.1:7001', '7001 192.0.2.2'],
        // Neither a published port, nor what the host itself has.
        ['mate', '10.0.0.1:8080', 'silence'],
        ['mate', '10.0.0.1:7002', 'silence'],
        ['host', '10.0.0.3:81', '81 10.0.0.1'],
        ['web', '192.0.2.1:7001', '7001 192.0.2.2'],
      ]);
      expect(await sh(host, 'ip netns exec mate busybox nslookup localhost 10.0.0.1 2>&1 || true')).not.toMatch(
        /timed out/,
      );
      expect(await sh(host, 'nft list table inet nethooks')).toMatch(/192\.0\.2\.1 \. tcp \. 7000/);
      await driver.apply(host, confined, null);
      await expectRows(host, [['mate', '192.0.2.1:7001', '7001 192.0.2.2']]);
    });

    it('nothing is left of a policy that is taken away', async () => {
      await driver.apply(host, web, null);
      await expectRows(host, [
        ['internet', '192.0.2.2:8080', 'refused'],
        ['host', '127.0.0.1:8080', 'refused'],
        ['mate', '10.0.0.1:8080', 'refused'],
      ]);
      const table = await must(host, ['nft', 'list', 'table', 'inet', 'nethooks']);
      expect(table).not.toContain('10.0.0.2');
      expect(await must(host, ['conntrack', '-L', '--reply-src', '10.0.0.2'])).toBe('');
      await driver.apply(host, web, null); // again is no error
    });
  });
});

const KEYS = `
[network.br0]
address = 10.0.0.1/24
uplinks = eth0
reach = br1
[network.br1]
address = 10.1.0.1/24
routed = true
[network.br2]
address = 10.2.0.1/24
internal = true
domain = inside
[network.br3]
address = 10.3.0.1/24
trusted = vpn0
[network.br4]
address = 10.4.0.1/24
masquerade = false
`;

describeLab('who reaches a network', () => {
  let host: ThrowawayHost;
  beforeAll(async () => {
    host = await labHost({ dns: true });
    await installNethooks(host, { config: KEYS });
    const numbers = [0, 1, 2, 3, 4];
    await sh(
      host,
      `${CONTAINERS.slice(0, CONTAINERS.indexOf('add web'))}
      ${numbers.map((n) => `add n${n} br${n} 10.${n}.0.2/24 10.${n}.0.1`).join('\n')}
      ip netns add vpn; ip link add vpn0 type veth peer name eth0 netns vpn
      ip address add 10.99.0.1/24 dev vpn0; ip link set vpn0 up
      ip -n vpn link set eth0 up; ip -n vpn address add 10.99.0.2/24 dev eth0; ip -n vpn route add default via 10.99.0.1`,
    );
    await host.internet(['ip', 'route', 'add', '10.0.0.0/13', 'via', '192.0.2.2']);
    for (const name of [...numbers.map((n) => `n${n}`), 'vpn']) await serve(host, name, ['0.0.0.0:80']);
    await serve(host, 'internet', ['192.0.2.1:7000']);
  });
  afterAll(() => host.close());

  it('from outside with a route: routed and not masqueraded ones, and those that trust the interface', async () => {
    const from = (side: Side, address: string, open: number[]): Row[] =>
      [0, 1, 2, 3, 4].map((n) => [side, `10.${n}.0.2:80`, open.includes(n) ? `80 ${address}` : 'silence']);
    await expectRows(host, [...from('internet', '192.0.2.1', [1, 4]), ...from('vpn', '10.99.0.2', [1, 3, 4])]);
    const ping = (n: number) => host.internet(['ping', '-c', '1', '-W', '1', `10.${n}.0.2`]);
    expect((await Promise.all([0, 1, 2, 3, 4].map(ping))).map(({ code }) => code)).toEqual([1, 0, 1, 1, 0]);
  });

  it('from the host: all', async () => {
    await expectRows(
      host,
      [0, 1, 2, 3, 4].map((n) => ['host', `10.${n}.0.2:80`, `80 10.${n}.0.1`]),
    );
  });

  it('from other networks: where reach says so', async () => {
    const others = [0, 1, 2, 3, 4].flatMap((a) => [0, 1, 2, 3, 4].flatMap((b) => (a === b ? [] : [[a, b] as const])));
    await expectRows(
      host,
      others.map(([a, b]) => [`n${a}`, `10.${b}.0.2:80`, a === 0 && b === 1 ? '80 10.0.0.2' : 'silence']),
    );
  });

  it('what containers begin is answered, whichever interface the answers come by; internal ones have no way out', async () => {
    await expectRows(host, [
      ['n0', '192.0.2.1:7000', '7000 192.0.2.2'],
      // Not translated: vpn0 is none of its uplinks.
      ['n0', '10.99.0.2:80', '80 10.0.0.2'],
      ['n2', '192.0.2.1:7000', 'silence'],
      ['n2', '10.99.0.2:80', 'silence'],
      ['n4', '192.0.2.1:7000', '7000 10.4.0.2'],
    ]);
  });

  it('an internal network hears nothing about names outside', async () => {
    const lookUp = (n: number) =>
      host.run(['ip', 'netns', 'exec', `n${n}`, 'busybox', 'nslookup', 'internet.example', `10.${n}.0.1`]);
    expect((await lookUp(0)).stdout).toContain('198.51.100.1');
    expect((await lookUp(2)).stdout).not.toContain('198.51.100.1');
    const conf = await must(host, ['cat', '/run/nethooks/dnsmasq/br2/dnsmasq.conf']);
    expect(conf).toMatch(/^dhcp-option=option:router$/m);
  });

  it("the admin's own rules come first, for published ports too; a mistake in them is named, and changes nothing", async () => {
    const FILE = '/etc/nethooks/forward.nft';
    const plan = () => host.run(['nethooks', 'plan']);
    await sh(
      host,
      'nethooks attach n0 --name w0 --ifname eth1 --publish 8080:80 --publish 8080:80/udp >/dev/null; ip -n n0 route del default dev eth1 || true',
    );
    await expectRows(host, [['internet', '192.0.2.2:8080', '80 192.0.2.1']]);
    await sh(
      host,
      `printf '# Not from there.\\nip saddr 192.0.2.1 meta l4proto { tcp, udp } ct original proto-dst {\\n  8080, 8081\\n} drop\\n' >${FILE}; nethooks up`,
    );
    await expectRows(host, [
      ['internet', '192.0.2.2:8080', 'silence'],
      ['internet', '10.1.0.2:80', '80 192.0.2.1'],
      ['host', '192.0.2.2:8080', '80 192.0.2.2'],
    ]);
    expect((await plan()).stdout).toBe('nothing would change\n');
    const before = await must(host, ['nft', 'list', 'table', 'inet', 'nethooks']);
    await sh(host, `printf 'accept\\ntcp dprt 80 drop\\n' >${FILE}`);
    const refused = await host.run(['nethooks', 'up']);
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringMatching(/forward\.nft:2:5-8: syntax error/)]);
    expect(await must(host, ['nft', 'list', 'table', 'inet', 'nethooks'])).toBe(before);
    await sh(host, `rm ${FILE}; nethooks up`);
    expect(await must(host, ['nft', 'list', 'table', 'inet', 'nethooks'])).not.toContain('admin');
    await expectRows(host, [['internet', '192.0.2.2:8080', '80 192.0.2.1']]);
  });
});

describeLab('source', () => {
  let host: ThrowawayHost;
  const CONFIG = (more: string) =>
    `[network.br0]\naddress = 10.0.0.1/24\nsource = 192.0.2.9\n[network.br1]\naddress = 10.1.0.1/24\nuplinks = eth0\n${more}`;
  beforeAll(async () => {
    host = await labHost();
    await sh(host, 'for n in 9 10 11 12; do ip address add 192.0.2.$n/32 dev eth0; done');
    await installNethooks(host, { config: CONFIG('') });
    await script(
      host,
      `for name in web mate; do create $name; begin $name; done; hook start-host web; hook start-host mate --source 192.0.2.10
      ip netns add far; nethooks attach far --network br1`,
    );
    await serve(host, 'internet', ['192.0.2.1:7000']);
    await serve(host, 'mate', ['0.0.0.0:80']);
  });
  afterAll(() => host.close());
  /** As whom each is seen outside, by TCP and UDP. */
  const seen = (rows: Record<string, string>) =>
    expectRows(
      host,
      Object.entries(rows).map(([from, address]) => [from, '192.0.2.1:7000', `7000 ${address}`]),
    );

  it("a container sends from its own address, else from its network's, else from the uplink's", async () => {
    await seen({ web: '192.0.2.9', mate: '192.0.2.10', far: '192.0.2.2' });
    for (const name of ['web', 'mate', 'far']) await sh(host, `ip netns exec ${name} ping -c 1 -W 1 192.0.2.1`);
    // Neither among themselves nor towards the host.
    await expectRows(host, [['web', '10.0.0.3:80', '80 10.0.0.2']]);
    await serve(host, 'host', ['10.0.0.1:7002']);
    await expectRows(host, [['mate', '10.0.0.1:7002', '7002 10.0.0.3']]);
    expect(await must(host, ['nethooks', 'up'])).toBe('nothing to change\n');
    expect(await must(host, ['nethooks', 'inspect', 'mate'])).toMatch(/^source +192\.0\.2\.10$/m);
    expect(await must(host, ['nethooks', 'status'])).toContain('present, source 192.0.2.9');
  });

  it('changes under a container that runs: what bears another address ends, what stays goes on', async () => {
    const staying = talk(host, 'web', 'tcp 192.0.2.1:7000');
    const going = [talk(host, 'mate', 'tcp 192.0.2.1:7000'), talk(host, 'mate', 'udp 192.0.2.1:7000')];
    for (const one of [staying, ...going]) await eventually(() => expect(one.answers()).toBeGreaterThan(1));
    await must(host, ['nethooks', 'configure', 'mate', '--source', '192.0.2.11']);
    await seen({ mate: '192.0.2.11' });
    expect(await staying.goesOn()).toBe(true);
    expect(await sh(host, 'conntrack -L --orig-src 10.0.0.3 2>/dev/null')).not.toContain('dst=192.0.2.10 ');
    await must(host, ['nethooks', 'configure', 'web', '--source', '192.0.2.12']);
    await seen({ web: '192.0.2.12', mate: '192.0.2.11' });
    await must(host, ['nethooks', 'configure', 'web', '--no-source']);
    await must(host, ['nethooks', 'configure', 'mate', '--no-source']);
    await seen({ web: '192.0.2.9' });
  });

  it('comes back after a flush, follows nethooks.ini, and leaves nothing behind', async () => {
    await must(host, ['nethooks', 'configure', 'web', '--source', '192.0.2.12']);
    await sh(host, 'nft flush ruleset; nethooks up');
    await seen({ web: '192.0.2.12', far: '192.0.2.2' });
    await writeConfig(host, CONFIG('source = 192.0.2.10'));
    await must(host, ['nethooks', 'up']);
    await seen({ far: '192.0.2.10' });
    await script(host, 'hook post-stop web');
    expect(await must(host, ['nft', 'list', 'map', 'inet', 'nethooks', 'sources'])).not.toContain('10.0.0.2');
  });

  it('an address that the host has not is a warning; one where nothing is translated is refused', async () => {
    await writeConfig(host, CONFIG('source = 203.0.113.9'));
    await must(host, ['nethooks', 'up']);
    expect((await host.run(['nethooks', 'status'])).stderr).toContain(
      'source = 203.0.113.9 (network br1): no interface has this address',
    );
    for (const [keys, why] of [
      ['source = 192.0.2.10\nmasquerade = false', 'with masquerade = false nothing is translated'],
      ['source = 192.0.2.10\ninternal = true', 'with internal = true nothing is translated'],
      ['source = eth0', "allowed: an IPv4 address of the host's"],
    ] as const) {
      await writeConfig(host, CONFIG(keys));
      expect((await host.run(['nethooks', 'up'])).stderr).toMatch(
        new RegExp(`nethooks\\.ini:\\d+: .*source = .*${why}`),
      );
    }
    await writeConfig(host, CONFIG('').replace('source = 192.0.2.9', 'masquerade = false'));
    await must(host, ['nethooks', 'up']);
    const refused = await host.run(['nethooks', 'configure', 'mate', '--source', '192.0.2.11']);
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('network br0 has masquerade = false')]);
  });
});
