import { describe, expect, it } from 'vitest';
import { bridgeCommands } from '../../src/drivers/bridge.ts';
import { informPacket, parseAnswer } from '../../src/frontend/cni/dhcp-inform.ts';
import { namesOf } from '../../src/frontend/cni/names.ts';
import { filesFor, type NetFacts, readEntries } from '../../src/frontend/cni/net-d.ts';
import { otherAddress } from '../../src/frontend/target/peer.ts';
import { parseTarget } from '../../src/frontend/target/target.ts';
import { subnetCidr } from '../../src/model/address.ts';
import { hostLinkOf, macOf } from '../../src/model/derived.ts';
import { elementsOf, NO_POLICY } from '../../src/model/policy.ts';
import { hostsLine } from '../../src/plan/attachment/names.ts';
import { insideCommands, ptpHostCommands, stackedCommands, vethCommands } from '../../src/plan/attachment/wiring.ts';

describe('the lines for ip -batch', () => {
  it('make a pair in one, with its names, its MACs and its bridge', () => {
    const wiring = {
      hostName: 'veth1',
      hostMac: 'fe:00:00:00:00:01',
      ifname: 'eth0',
      mac: '02:00:00:00:00:01',
      mtu: 1400,
      bridge: 'br0',
      hairpin: true,
    };
    expect(vethCommands(wiring)).toEqual([
      'link add name veth1 address fe:00:00:00:00:01 mtu 1400 up master br0 type veth peer name eth0 address 02:00:00:00:00:01 mtu 1400 netns /proc/self/fd/3',
      'link set dev veth1 type bridge_slave hairpin on',
    ]);
  });

  it('make an interface on another', () => {
    const wiring = { type: 'macvlan', mode: 'bridge', master: 'eth0', ifname: 'net1', mac: null, mtu: null } as const;
    expect(stackedCommands(wiring)).toEqual([
      'link add link eth0 name net1 netns /proc/self/fd/3 up type macvlan mode bridge',
    ]);
  });

  it('address it: a route goes through its own gateway, else the first of its family, else over the link', () => {
    const ips = [{ address: '10.1.0.5/16', gateway: '10.1.0.1' }, { address: 'fd00::5/64' }];
    const routes = [
      { dst: '0.0.0.0/0' },
      { dst: '10.9.0.0/16', gw: '10.1.0.9', mtu: 1300, priority: 5 },
      { dst: '::/0' },
    ];
    expect(insideCommands('eth0', ips, routes)).toEqual([
      'link set dev eth0 up',
      'addr add 10.1.0.5/16 broadcast + dev eth0',
      'addr add fd00::5/64 dev eth0 nodad',
      'route append 0.0.0.0/0 via 10.1.0.1 dev eth0',
      'route append 10.9.0.0/16 via 10.1.0.9 dev eth0 mtu 1300 metric 5',
      'route append ::/0 dev eth0',
    ]);
  });

  it('of a pair without a bridge lead everything through the gateway', () => {
    const ips = [{ address: '172.17.0.8/16', gateway: '172.17.0.1' }];
    expect(insideCommands('eth1', ips, [], { ptp: true }).slice(1)).toEqual([
      'addr add 172.17.0.8/16 broadcast + dev eth1 noprefixroute',
      'route replace 172.17.0.1/32 dev eth1 scope link src 172.17.0.8',
      'route replace 172.17.0.0/16 via 172.17.0.1 dev eth1 src 172.17.0.8',
    ]);
    expect(ptpHostCommands('veth1', ips)).toEqual([
      'addr replace 172.17.0.1/32 dev veth1',
      'route replace 172.17.0.8/32 dev veth1',
    ]);
  });

  it('hold nothing but addresses', () => {
    for (const address of ['10.0.0.1/24\nlink del dev eth0', '10.0.0.1 dev lo', '', 'default'])
      expect(() => insideCommands('eth0', [{ address }], [])).toThrow(TypeError);
    expect(() => insideCommands('eth0', [], [{ dst: '0.0.0.0/0', gw: '10.0.0.1\nx' }])).toThrow(TypeError);
  });

  it('give a bridge only what it lacks', () => {
    const fact = {
      mac: '0a:00:00:00:00:01',
      mtu: 1500,
      up: true,
      promisc: false,
      fixedMac: true,
      addresses: ['10.1.0.1/16'],
      rules: null,
    };
    const lines = (gateway: string, ensure: object, known: object | null = {}) =>
      bridgeCommands(
        {
          driver: 'bridge',
          bridge: 'cni0',
          hostLink: 'veth1',
          hairpin: false,
          ensure: { isGateway: true, promisc: false, force: false, ...ensure },
        },
        { ips: [{ address: `${gateway}/16`, gateway }] },
        known && { ...fact, ...known },
        null,
      );
    expect(lines('10.1.0.1', { promisc: true })).toEqual(['link set dev cni0 promisc on']);
    expect(lines('10.1.0.1', {})).toEqual([]);
    expect(lines('10.1.0.1', {}, { fixedMac: false })).toEqual(['link set dev cni0 address 0a:00:00:00:00:01']);
    expect(() => lines('10.2.0.1', {})).toThrow(/different/);
    expect(lines('10.2.0.1', { force: true })).toEqual([
      'addr del 10.1.0.1/16 dev cni0',
      'addr replace 10.2.0.1/16 broadcast + dev cni0',
    ]);
    expect(lines('10.1.0.1', {}, null)).toEqual([
      'link add name cni0 address 02:6e:0a:01:00:01 type bridge',
      'addr replace 10.1.0.1/16 broadcast + dev cni0',
      'link set dev cni0 up',
    ]);
  });
});

it('a subnet has its host bits cleared', () => {
  const table = [
    ['10.1.2.3/16', '10.1.0.0/16'],
    ['10.1.2.3/32', '10.1.2.3/32'],
    ['255.255.255.255/1', '128.0.0.0/1'],
    ['fd00:1:2:3:4:5:6:7/64', 'fd00:1:2:3::/64'],
    ['fd00::1/128', 'fd00::1/128'],
    ['::1/0', '::/0'],
  ] as const;
  for (const [address, subnet] of table) expect(subnetCidr(address)).toBe(subnet);
});

it('names and MACs of links are fixed, valid, and different for different attachments', () => {
  const seen = new Set<string>();
  for (let index = 0; index < 2000; index++) {
    const [link, mac] = [hostLinkOf('net', `pod${index}`, 'eth0'), macOf('net', `pod${index}`, 'eth0')];
    expect(link).toMatch(/^veth[0-9a-f]{8}$/);
    expect(mac).toMatch(/^06(:[0-9a-f]{2}){5}$/);
    seen.add(link).add(mac);
  }
  expect(seen.size).toBe(4000);
  expect(hostLinkOf('net', 'pod', 'eth0')).toBe(hostLinkOf('net', 'pod', 'eth0'));
});

it('masquerading is two elements per container, in the words that nft prints', () => {
  const masquerade = ['10.11.0.5/16', 'fd00::5/64', '10.12.0.7/32'];
  expect(elementsOf({ ...NO_POLICY, masquerade })).toMatchObject({
    masqueraded: ['10.11.0.5', '10.12.0.7'],
    masqueraded6: ['fd00::5'],
    local: ['10.11.0.0/16 . 10.11.0.0/16', '10.12.0.7 . 10.12.0.7'],
    local6: ['fd00::/64 . fd00::/64'],
  });
});

describe('names', () => {
  const uuid = '8d7152a7-9c53-48d8-859e-c8469d5adbdb';
  const table: [string, Record<string, string>, string[], string[]][] = [
    ['a'.repeat(64), {}, [], ['aaaaaaaaaaaa']],
    [uuid, {}, [], [`rkt-${uuid}`]],
    ['pod', { K8S_POD_NAME: 'My_Web' }, ['www', 'www', 'no good'], ['my-web', 'www']],
    ['pod', {}, ['db'], ['db']],
    // containerd: ctr, nerdctl
    ['default-c1', {}, [], ['c1']],
    ['default-my-web', {}, [], ['my-web']],
    [`default-${'b'.repeat(64)}`, {}, [], ['bbbbbbbbbbbb']],
    [`k8s.io-${'b'.repeat(64)}`, {}, [], ['bbbbbbbbbbbb']],
    [`default-${'b'.repeat(64)}`, { NERDCTL_CNI_DHCP_HOSTNAME: 'shop' }, [], ['shop']],
    ['default-c1', {}, ['db'], ['db']],
    ['default', {}, [], ['default']],
  ];
  it.each(table)('of %s with %o', (containerId, args, aliases, names) => {
    expect(namesOf({ containerId, args }, aliases)).toEqual(names);
  });

  it('become lines of a hosts file', () => {
    expect(hostsLine('10.0.0.2', ['web', 'www'], 'lxc')).toBe('10.0.0.2 web.lxc web www.lxc www\n');
    expect(hostsLine('10.0.0.2', ['db.web'], 'lxc', false)).toBe('10.0.0.2 db.web.lxc\n');
  });
});

describe('DHCP', () => {
  const id = Uint8Array.of(1, 2, 3, 4);
  const answer = (...options: number[]) => {
    const packet = Buffer.from(informPacket('192.0.2.5', id).subarray(0, 240));
    packet[0] = 2;
    return Buffer.concat([packet, Buffer.from([...options, 255])]);
  };

  it('is asked from the address that there is', () => {
    const packet = informPacket('192.0.2.5', id);
    expect([...packet.subarray(4, 8), ...packet.subarray(12, 16)]).toEqual([1, 2, 3, 4, 192, 0, 2, 5]);
    expect(packet.length).toBeGreaterThanOrEqual(300); // BOOTP's least size: some servers and relays drop less
  });

  it('answers with router, servers and domain', () => {
    const message = answer(53, 1, 5, 0, 3, 4, 192, 0, 2, 1, 6, 8, 1, 1, 1, 1, 9, 9, 9, 9, 15, 4, 99, 111, 114, 112);
    expect(parseAnswer(message, id)).toEqual({
      routers: ['192.0.2.1'],
      servers: ['1.1.1.1', '9.9.9.9'],
      domain: 'corp',
    });
  });

  it('that is not for us, no ACK, cut off or hostile is none, or says nothing', () => {
    expect(parseAnswer(answer(53, 1, 5), Uint8Array.of(9, 9, 9, 9))).toBeNull();
    expect(parseAnswer(answer(53, 1, 6), id)).toBeNull();
    expect(parseAnswer(Buffer.alloc(10), id)).toBeNull();
    expect(parseAnswer(answer(53, 1, 5, 6, 200, 1, 1), id)?.servers).toEqual([]);
    const name = [...Buffer.from('x\nnameserver 6.6.6.6')];
    expect(parseAnswer(answer(53, 1, 5, 15, name.length, ...name), id)?.domain).toBe('');
  });
});

describe('net.d', () => {
  const facts: NetFacts = { hasPlugin: (type) => type !== 'gone', dhcpListens: false, subnets: { br0: '10.0.0.0/24' } };

  it("has rkt's four networks and ours, and none of them clashes", () => {
    const entries = readEntries('rkt', filesFor('rkt', ['br0'], 'ens32'), { ...facts, dhcpListens: true });
    expect(entries.map(({ name, kind, problems }) => [name, kind, problems])).toEqual([
      ['br0', 'network', []],
      ['default-restricted', 'ptp', []],
      ['default', 'ptp', []],
      ['customrktbridge', 'bridge', []],
      ['customrktbridgedhcp', 'macvlan', []],
    ]);
    expect(filesFor('rkt', [], null)).toHaveLength(3);
  });

  const table: [string, object, RegExp][] = [
    ['a plugin that is missing', { type: 'gone' }, /plugin gone is not installed/],
    ['an IPAM plugin that is missing', { type: 'bridge', ipam: { type: 'gone' } }, /ipam plugin gone/],
    ['dhcp without its daemon', { type: 'nethooks-macvlan', ipam: { type: 'dhcp' } }, /daemon/],
    ['a network that is not ours', { type: 'nethooks', network: 'br9' }, /br9 is not in nethooks.ini/],
    [
      'a subnet of ours',
      { type: 'nethooks-ptp', ipam: { type: 'host-local', subnet: '10.0.0.0/16' } },
      /overlaps 10\.0\.0\.0\/24 of network br0/,
    ],
    ['a version that rkt does not know', { cniVersion: '1.0.0', type: 'bridge' }, /up to 0\.2\.0/],
    ['a bad subnet', { type: 'nethooks-ptp', ipam: { type: 'host-local', subnet: '10.0.0.1/16' } }, /no host bits/],
  ];
  it('reads keys in any case where the runtimes and plugins do', () => {
    const plugin = { Type: 'nethooks-ptp', Ipam: { TYPE: 'host-local', Subnet: '10.9.0.0/24' } };
    const files = [
      { file: 'a.conf', text: JSON.stringify({ Name: 'x', ...plugin }) },
      { file: 'b.conflist', text: JSON.stringify({ cniVersion: '1.0.0', name: 'y', plugins: [plugin] }) },
    ];
    for (const file of files)
      expect(readEntries('cni', [file], facts)[0]).toMatchObject({
        kind: 'ptp',
        addresses: '10.9.0.0/24',
        problems: [],
      });
    expect(readEntries('cni', files, facts).map(({ name, types }) => [name, ...types])).toEqual([
      ['x', 'nethooks-ptp'],
      ['y', 'nethooks-ptp'],
    ]);
  });

  it.each(table)('says %s', (_what, conf, message) => {
    const [entry] = readEntries('rkt', [{ file: 'a.conf', text: JSON.stringify({ name: 'x', ...conf }) }], facts);
    expect(entry?.problems.join('\n')).toMatch(message);
  });
});

it('the other end of a wire', () => {
  const table = [
    ['10.9.0.1/30', '10.9.0.2/30'],
    ['10.9.0.2/30', '10.9.0.1/30'],
    ['10.9.0.0/31', '10.9.0.1/31'],
    ['10.9.0.0/30', null],
    ['10.9.0.1/24', null],
    ['x', null],
  ] as const;
  for (const [address, other] of table) expect(otherAddress(address)).toBe(other);
});

it('a target is a kind and a name, or a name alone', () => {
  expect(parseTarget('lxc:web')).toEqual({ kind: 'lxc', name: 'web' });
  expect(parseTarget('netns:/run/netns/x')).toEqual({ kind: 'netns', name: '/run/netns/x' });
  expect(parseTarget('web')).toEqual({ kind: null, name: 'web' });
  for (const word of ['vm:x', '', '-x', 'a b']) expect(() => parseTarget(word)).toThrow(/allowed/);
});
