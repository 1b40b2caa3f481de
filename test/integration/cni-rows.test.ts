/** What configurations for the stock plugins ask for in corners, and what runtimes send: the same answers as theirs. */
import { afterEach, beforeAll, expect, it } from 'vitest';
import type { ThrowawayHost } from '../../src/demo/throwaway.ts';
import { addNamespaces, type CniAnswer, callCni, cniState, inNamespace, installCni, mustCni } from '../lab/cni.ts';
import { describeLab, installNethooks, labHost, sh, writeFile } from '../lab/lab.ts';

let host: ThrowawayHost;
let clean: string;

const BRIDGE = {
  cniVersion: '1.0.0',
  name: 'net',
  type: 'nethooks-bridge',
  bridge: 'cni0',
  isGateway: true,
  ipam: { type: 'host-local', subnet: '10.11.0.0/16', routes: [{ dst: '0.0.0.0/0' }] },
};

const STORE = '/var/lib/cni/networks/net';

const silent = ({ code, stdout, stderr }: CniAnswer): void => {
  expect(stdout, stderr).toBe('');
  expect(code).toBe(0);
};
const differs = (answer: CniAnswer): void => expect(answer.json).toMatchObject({ code: 102 });
const macOf = async (link: string) => (await sh(host, 'cat "/sys/class/net/$1/address"', [link])).trim();
const macInside = async (name: string) =>
  JSON.parse(await inNamespace(host, name, ['ip', '-json', 'link', 'show', 'dev', 'eth0']))[0].address as string;
const addressesOf = ({ ips }: { ips: { address: string }[] }) => ips.map(({ address }) => address);

/** Bridges stay, as with the stock plugin; nothing else does. */
const expectClean = async (): Promise<void> => expect((await cniState(host)).replace(/^cni\d\n/gm, '')).toBe(clean);

const RESET = `
for name; do ip netns del "$name"; ip netns add "$name"; done
for kind in attachments ports claims macs masquerade names/lxc; do rm -rf "/run/nethooks/$kind"; done
rm -rf /var/lib/cni
nethooks up >/dev/null || true
for link in $(ls /sys/class/net | grep '^cni'); do ip link del "$link"; done`;

describeLab('CNI in corners', () => {
  beforeAll(async () => {
    host = await labHost({ uplinks: 1 });
    await installNethooks(host);
    await installCni(host);
    await addNamespaces(host, ['pod', 'other', 'third']);
    clean = await cniState(host);
  });

  // A test that failed must not make the others fail.
  afterEach(({ task }) => {
    if (task.result?.state === 'fail') return sh(host, RESET, ['pod', 'other', 'third']);
  });

  it('GC: null is an empty list', async () => {
    const conf = { ...BRIDGE, cniVersion: '1.1.0' };
    await mustCni(host, 'ADD', conf);
    silent(await callCni(host, 'GC', { ...conf, 'cni.dev/valid-attachments': null }));
    await expectClean();
  });

  const V6 = { type: 'host-local', ranges: [[{ subnet: 'fd00:21::/64' }]], routes: [{ dst: '::/0' }] };
  const V6_ONLY: Record<string, object> = {
    bridge: { ...BRIDGE, bridge: 'cni1', ipam: V6 },
    ptp: { ...BRIDGE, type: 'nethooks-ptp', ipam: V6 },
    macvlan: {
      ...BRIDGE,
      type: 'nethooks-macvlan',
      master: 'eth0',
      ipam: {
        ...V6,
        ranges: [[{ subnet: '2001:db8:2::/64', rangeStart: '2001:db8:2::50', gateway: '2001:db8:2::1' }]],
      },
    },
  };
  it.each(Object.keys(V6_ONLY))('CHECK of %s with IPv6 alone', async (kind) => {
    const conf = V6_ONLY[kind] as object;
    const prevResult = await mustCni(host, 'ADD', conf);
    const [address] = addressesOf(prevResult) as [string];
    const check = () => callCni(host, 'CHECK', { ...conf, prevResult });
    const restore = `ip -n pod address replace ${address} dev eth0 nodad`;
    const [route = ''] = (await sh(host, 'ip -n pod -6 route show default')).split('\n');
    expect(route).toContain('via');
    silent(await check());
    await sh(host, `ip -n pod -6 route del ${route}`);
    differs(await check());
    await sh(host, `ip -n pod -6 route add ${route}`);
    silent(await check());
    await sh(host, `ip -n pod address del ${address} dev eth0`);
    differs(await check());
    await sh(host, `${restore}; ip -n pod -6 route replace ${route}`);
    const file = `${STORE}/${address.split('/')[0]}`;
    await sh(host, 'mv "$1" /tmp/held', [file]);
    differs(await check());
    await sh(host, 'mv /tmp/held "$1"', [file]);
    silent(await callCni(host, 'DEL', { ...conf, prevResult }));
    await expectClean();
  });

  const REFUSED: [string, object, { args?: string; netns?: string }?][] = [
    ['a key that we do not support', { ...BRIDGE, vlan: 5 }],
    ['an mtu that is none', { ...BRIDGE, mtu: 10 }],
    ['nothing to go by', { cniVersion: '1.0.0', name: 'net', type: 'nethooks' }],
    [
      'ports that portmap has to publish',
      { ...BRIDGE, runtimeConfig: { portMappings: [{ hostPort: 8, containerPort: 8 }] } },
    ],
    ['a network that is not up', { cniVersion: '1.0.0', name: 'net', type: 'nethooks', network: 'br9' }],
    ['a network that is no name', { cniVersion: '1.0.0', name: 'net', type: 'nethooks', network: '../br0' }],
    ['network and ipam', { ...BRIDGE, type: 'nethooks', network: 'br0' }],
    ['ipam that is text', { ...BRIDGE, ipam: 'host-local' }],
    ['no ipam for ptp', { ...BRIDGE, type: 'nethooks-ptp', ipam: {} }],
    ['ipam without a type', { ...BRIDGE, ipam: { subnet: '10.11.0.0/16' } }],
    ['an ipam plugin that is not there', { ...BRIDGE, ipam: { type: 'no-such-plugin' } }],
    ['an ipam plugin that is no name', { ...BRIDGE, ipam: { type: '../host-local' } }],
    ['an ipam plugin whose daemon does not run', { ...BRIDGE, ipam: { type: 'dhcp' } }],
    [
      'an address that the ipam plugin cannot read',
      { ...BRIDGE, ipam: { type: 'static', addresses: [{ address: 'x' }] } },
    ],
    ['a subnet that is none', { ...BRIDGE, ipam: { type: 'host-local', subnet: '10.11.0.0' } }],
    ['a store that is no directory', { ...BRIDGE, ipam: { ...BRIDGE.ipam, dataDir: '/etc/hostname' } }],
    ['a resolvConf that is not there', { ...BRIDGE, ipam: { ...BRIDGE.ipam, resolvConf: '/no/such/file' } }],
    ['an address of another subnet', BRIDGE, { args: 'IP=10.99.0.1' }],
    ['an argument that nobody knows', BRIDGE, { args: 'FOO=1' }],
    ['an argument without a value', BRIDGE, { args: 'FOO' }],
    ['a namespace that is not there', BRIDGE, { netns: 'gone' }],
  ];
  it.each(REFUSED)('DEL of what ADD refused: %s', async (_what, conf, call = {}) => {
    const before = await cniState(host);
    const added = await callCni(host, 'ADD', conf, call);
    expect(added.code, added.stdout).toBe(1);
    silent(await callCni(host, 'DEL', conf, call));
    expect((await cniState(host)).replace(/^cni\d\n/gm, '')).toBe(before.replace(/^cni\d\n/gm, ''));
  });

  it('DEL releases what is held, whatever is wrong with the configuration by then', async () => {
    const hold = (file: string) => sh(host, 'mkdir -p "$(dirname "$1")"; printf "pod\\r\\neth0" >"$1"', [file]);
    const isHeld = async (file: string) => (await host.run(['test', '-e', file])).code === 0;
    const cases: [string, object][] = [
      [`${STORE}/10.11.0.9`, { ...BRIDGE, mtu: 10, vlan: 5 }],
      [`${STORE}/10.11.0.9`, { ...BRIDGE, ipam: { type: 'host-local' } }],
      ['/tmp/store/net/10.11.0.9', { ...BRIDGE, ipam: { type: 'host-local', subnet: 'x', dataDir: '/tmp/store' } }],
      [
        '/var/lib/cni/networks/br0/10.0.0.9',
        { cniVersion: '1.0.0', name: 'net', type: 'nethooks', network: 'br0', mtu: 10 },
      ],
    ];
    for (const [file, conf] of cases) {
      await hold(file);
      silent(await callCni(host, 'DEL', conf, { id: 'other', netns: 'pod' }));
      expect(await isHeld(file)).toBe(true);
      silent(await callCni(host, 'DEL', conf));
      expect(await isHeld(file), JSON.stringify(conf)).toBe(false);
    }
    // Of a container that runs, when its configuration has been broken since.
    await mustCni(host, 'ADD', BRIDGE);
    silent(await callCni(host, 'DEL', { cniVersion: '1.0.0', name: 'net', type: 'nethooks-bridge', ipam: 'x' }));
    await expectClean();
  });

  const MADE_BY: [string, string][] = [
    ['us', 'true'],
    ['somebody else', 'ip link add cni5 type bridge'],
    [
      'somebody else, with a port',
      'ip link add cni5 type bridge; ip link add old0 address 00:00:00:00:00:01 type veth peer old1; ip link set old0 master cni5; ip link set cni5 up',
    ],
    [
      'somebody else, in use',
      'ip link add cni5 type bridge; ip address add 10.11.0.1/16 dev cni5; ip link set cni5 up',
    ],
  ];
  it.each(MADE_BY)('a bridge made by %s keeps its MAC while ports come and go', async (_who, script) => {
    await sh(host, script);
    const conf = { ...BRIDGE, bridge: 'cni5' };
    const macs = new Set((await host.run(['cat', '/sys/class/net/cni5/address'])).stdout.split('\n').filter(Boolean));
    const look = async () => macs.add(await macOf('cni5'));
    const call = async (verb: string, id: string) => {
      const result = await mustCni(host, verb, conf, { id });
      if (result) macs.add(result.interfaces[0].mac);
      await look();
    };
    for (const id of ['pod', 'other', 'third']) await call('ADD', id);
    await sh(host, 'ip link del old0 2>/dev/null || true');
    await look();
    for (const id of ['other', 'pod', 'third']) await call('DEL', id);
    expect([...macs]).toHaveLength(1);
    expect(await sh(host, 'cat /sys/class/net/cni5/addr_assign_type; ip link del cni5')).toBe('3\n');
    await expectClean();
  });

  it('args.cni.mac is the MAC, as the stock bridge has it', async () => {
    const asked = { args: { cni: { mac: '02:00:00:00:0A:01' } } };
    const more: [object, string][] = [
      [asked, '02:00:00:00:0a:01'],
      [{ ...asked, runtimeConfig: { mac: '02:00:00:00:0a:02' } }, '02:00:00:00:0a:02'],
    ];
    for (const type of ['nethooks-bridge', 'bridge'])
      for (const [keys, mac] of more) {
        const conf = { ...BRIDGE, type, bridge: 'cni6', ...keys };
        const { interfaces } = await mustCni(host, 'ADD', conf, { args: 'IgnoreUnknown=1;MAC=02:00:00:00:0a:03' });
        expect(await macInside('pod'), type).toBe(mac);
        expect(interfaces.at(-1).mac).toBe(mac);
        await mustCni(host, 'DEL', conf);
      }
    await expectClean();
  });

  it('keys in any case do what they do in the stock bridge', async () => {
    const looks = async (type: string) => {
      const conf = {
        cniversion: '0.4.0',
        NAME: 'net',
        type,
        Bridge: 'cni7',
        ISGATEWAY: false,
        isgateway: true,
        IsDefaultGateway: true,
        mtu: null,
        Ipam: { Type: 'host-local', Ranges: [[{ Subnet: '10.11.0.0/16', RangeStart: '10.11.0.40' }]] },
        ARGS: { CNI: { IPs: ['10.11.0.44'], MAC: '02:00:00:00:0a:04' } },
      };
      const result = await mustCni(host, 'ADD', conf);
      const route = await inNamespace(host, 'pod', ['ip', 'route']);
      const gateway = await sh(host, 'ip -4 -br address show cni7');
      await mustCni(host, 'CHECK', { ...conf, prevresult: result });
      await mustCni(host, 'DEL', conf);
      return { version: result.cniVersion, ips: result.ips, mac: result.interfaces.at(-1).mac, route, gateway };
    };
    const ours = await looks('nethooks');
    expect(ours).toMatchObject({ version: '0.4.0', mac: '02:00:00:00:0a:04', ips: [{ address: '10.11.0.44/16' }] });
    expect(ours.route).toContain('default via 10.11.0.1');
    expect(ours.gateway).toContain('10.11.0.1/16');
    await sh(host, 'ip link del cni7');
    expect(await looks('bridge')).toEqual(ours);
    await expectClean();
  });

  const ipam = (ranges: object[], routes: object[] = []) => ({ type: 'host-local', ranges, routes });
  const [A, B, C, D] = ['10.11.0.0/16', '10.12.0.0/16', 'fd00:22::/64', 'fd00:23::/64'].map((subnet) => [
    { subnet },
  ]) as [object, object, object, object];
  const ANY = [{ dst: '0.0.0.0/0' }, { dst: '::/0' }];
  // The stock bridge sets no second IPv4 address, and its version 1.1.1 refuses a route that is there twice.
  const DEFAULTS: [string, object, 'as stock' | 'stock refuses'][] = [
    ['isDefaultGateway with two ranges', { isDefaultGateway: true, ipam: ipam([A, B]) }, 'stock refuses'],
    [
      'isDefaultGateway with two ranges of each family',
      { isDefaultGateway: true, ipam: ipam([A, B, C, D]) },
      'stock refuses',
    ],
    ['isDefaultGateway with two ranges of IPv6', { isDefaultGateway: true, ipam: ipam([A, C, D]) }, 'as stock'],
    [
      'isDefaultGateway, and a route of one family',
      { isDefaultGateway: true, ipam: ipam([A, C], [{ dst: '0.0.0.0/0', gw: '10.11.0.9' }]) },
      'as stock',
    ],
    ['isDefaultGateway, and routes', { isDefaultGateway: true, ipam: ipam([A, C], ANY) }, 'stock refuses'],
    ['routes', { isGateway: false, ipam: ipam([A, B, C, D], ANY) }, 'as stock'],
    ['routes of a pair', { kind: 'ptp', ipam: ipam([A, B, C, D], ANY) }, 'as stock'],
    [
      'routes that are there twice',
      { ipam: ipam([A, C], [...ANY, { dst: '0.0.0.0/0', gw: '10.11.0.9' }, { dst: '0::/0' }]) },
      'stock refuses',
    ],
  ];
  it.each(DEFAULTS)(
    'one default route of each family: %s',
    async (_what, { kind = 'bridge', ...keys }: { kind?: string }, stock) => {
      const routes = async (type: string) => {
        const conf = { ...BRIDGE, ...keys, type, bridge: 'cni8' };
        const prevResult = await mustCni(host, 'ADD', conf);
        const shown = await sh(host, 'ip -n pod -4 route show default; ip -n pod -6 route show default');
        if (type !== kind) silent(await callCni(host, 'CHECK', { ...conf, prevResult }));
        await mustCni(host, 'DEL', conf);
        await sh(host, 'ip link del cni8 2>/dev/null || true');
        return [...shown.matchAll(/via (\S+)/g)].map(([, via]) => via as string);
      };
      const ours = await routes(`nethooks-${kind}`);
      const ipv6 = JSON.stringify(keys).includes('fd00');
      expect(ours.map((via) => (via.includes(':') ? 6 : 4))).toEqual(ipv6 ? [4, 6] : [4]);
      if (stock === 'as stock') expect(await routes(kind)).toEqual(ours);
      await expectClean();
    },
  );

  const NETWORK = { cniVersion: '1.0.0', name: 'net', type: 'nethooks', network: 'br0' };
  const V6_BRIDGE = { ...BRIDGE, ipam: { type: 'host-local', subnet: 'fd00:24::/64' } };
  const UNUSABLE: [string, object, string][] = [
    ['network', BRIDGE, '10.11.0.0'],
    ['broadcast', BRIDGE, '10.11.255.255'],
    ['network, of a network of nethooks.ini,', NETWORK, '10.0.0.0'],
    ['broadcast, of a network of nethooks.ini,', NETWORK, '10.0.0.255'],
    ['network, in IPv6,', V6_BRIDGE, 'fd00:24::'],
  ];
  it.each(UNUSABLE)('the %s address is refused when it is asked for', async (_what, conf, ip) => {
    const calls: [object, string][] = [
      [{}, `IP=${ip}`],
      [{ runtimeConfig: { ips: [ip] } }, ''],
      [{ args: { cni: { ips: [ip] } } }, ''],
    ];
    for (const [keys, args] of calls) {
      const { code, json } = await callCni(host, 'ADD', { ...conf, ...keys }, { args });
      expect(json?.msg).toBe(`failed to allocate all requested IPs: ${ip}`);
      expect(code).toBe(1);
      silent(await callCni(host, 'DEL', { ...conf, ...keys }, { args }));
    }
    await expectClean();
  });

  it('ranges over the network and broadcast addresses give out neither; IPv6 has no broadcast address', async () => {
    const conf = {
      ...BRIDGE,
      bridge: 'cni3',
      ipam: { type: 'host-local', subnet: '10.11.0.0/30', rangeStart: '10.11.0.0', rangeEnd: '10.11.0.3' },
    };
    expect(addressesOf(await mustCni(host, 'ADD', conf))).toEqual(['10.11.0.2/30']);
    expect((await callCni(host, 'ADD', conf, { id: 'other' })).json.msg).toContain('no free address');
    await mustCni(host, 'DEL', conf);
    const last = 'fd00:24::ffff:ffff:ffff:ffff';
    const asked = { ...V6_BRIDGE, bridge: 'cni2', runtimeConfig: { ips: [last] } };
    expect(addressesOf(await mustCni(host, 'ADD', asked))).toEqual([`${last}/64`]);
    await mustCni(host, 'DEL', asked);
    await expectClean();
  });

  const RESOLV_CONF =
    'nameserver 192.0.2.53\ndomain corp.example\nsearch a.example b.example\nsearch c.example\noptions ndots:2 timeout:1\n';
  const SAID: unknown[] = [
    undefined,
    {},
    { domain: '' },
    { nameservers: ['192.0.2.99'] },
    { nameservers: [] },
    { domain: 'x.example' },
    { search: ['x.example'], options: ['rotate'] },
  ];
  it.each(['bridge', 'ptp', 'macvlan'])(
    '%s: resolvConf and dns make what the stock plugin makes of them',
    async (kind) => {
      await writeFile(host, '/etc/containers.resolv.conf', RESOLV_CONF);
      await writeFile(host, '/etc/search.resolv.conf', 'search only.example\n');
      const dnsOf = async (type: string, dns: unknown, resolvConf?: string) => {
        const subnet = kind === 'macvlan' ? { subnet: '192.0.2.0/24', rangeStart: '192.0.2.70' } : {};
        const ipam = { ...BRIDGE.ipam, ...subnet, resolvConf };
        const conf = { ...BRIDGE, type, bridge: 'cni9', master: kind === 'macvlan' ? 'eth0' : undefined, ipam, dns };
        const result = await mustCni(host, 'ADD', conf);
        await mustCni(host, 'DEL', conf);
        return result.dns;
      };
      // Of the stock plugins 1.1.1 only ptp has the rule; bridge has got it since.
      for (const dns of SAID)
        for (const resolvConf of ['/etc/containers.resolv.conf', '/etc/search.resolv.conf'])
          expect(await dnsOf(`nethooks-${kind}`, dns, resolvConf), JSON.stringify({ dns, resolvConf })).toEqual(
            await dnsOf('ptp', dns, resolvConf),
          );
      await expectClean();
    },
  );
});
