/** Each check finds what it is for, with its id, and nothing on a host that is well. */
import { describe, expect, it } from 'vitest';
import type { CheckFacts } from '../../src/plan/checks/check.ts';
import { drift } from '../../src/plan/checks/drift.ts';
import { CHECKS } from '../../src/plan/checks/index.ts';
import { facts, link, network } from './host-facts.ts';

const links = [
  link('eth0', { addresses: ['192.0.2.2/24'] }),
  link('eth1', { addresses: ['203.0.113.2/24'] }),
  link('br0', { kind: 'bridge', addresses: ['10.0.0.1/24'] }),
];
const host = facts({ links, ipForward: '1' });
const well: CheckFacts = {
  networks: [network('br0')],
  host,
  sysctls: {
    'net/ipv4/conf/all/rp_filter': '0',
    'net/ipv4/conf/br0/forwarding': '1',
    'net/ipv4/conf/eth0/forwarding': '1',
    'net/ipv4/conf/eth1/rp_filter': '2',
    'net/netfilter/nf_conntrack_count': '100',
    'net/netfilter/nf_conntrack_max': '65536',
  },
  listeners: [],
  rules: [],
  files: [{ path: '/etc/nethooks/nethooks.ini', mode: 0o644, uid: 0 }],
  disks: [{ path: '/run/nethooks', freeBytes: 1 << 30, freeInodes: 100_000, fault: null }],
  containers: [{ name: 'web', links: ['br0'], missingHooks: [] }],
  published: [],
  lxcBridge: 'lxcbr0',
  leftovers: [],
};
const found = (values: Partial<CheckFacts>) =>
  CHECKS.flatMap((check) => check.find({ ...well, ...values }).map((one) => ({ ...one, id: check.id })));
const ids = (values: Partial<CheckFacts>) => found(values).map(({ id }) => id);
const sysctl = (key: string, value: string) => ({ sysctls: { ...well.sysctls, [key]: value } });
const published = [
  { name: 'web', port: { protocol: 'tcp' as const, hostAddress: null, hostPort: 8080, containerPort: 80 } },
  { name: 'db', port: { protocol: 'tcp' as const, hostAddress: '127.0.0.1', hostPort: 5432, containerPort: 5432 } },
];
const listener = (address: string, port: number, owner = 'nginx (pid 7)') => ({
  protocol: 'tcp' as const,
  address,
  port,
  owner,
});

describe('doctor', () => {
  it('finds nothing on a host that is well', () => {
    expect(found({})).toEqual([]);
    expect(drift({ steps: [], warnings: ['a bridge was here before'], refusals: [] })).toEqual([]);
  });

  it('has an id and a reason for each check, each id once', () => {
    expect(new Set(CHECKS.map(({ id }) => id)).size).toBe(CHECKS.length);
    for (const { id, why, title } of CHECKS) expect([id, why, title]).not.toContain('');
  });

  it.each<[string, Partial<CheckFacts>]>([
    ['interface-forwarding', sysctl('net/ipv4/conf/br0/forwarding', '0')],
    ['interface-forwarding', sysctl('net/ipv4/conf/eth0/forwarding', '0')],
    [
      'rp-filter',
      { networks: [network('br0', { uplinks: 'eth0, eth1' })], ...sysctl('net/ipv4/conf/eth1/rp_filter', '1') },
    ],
    [
      'rp-filter',
      {
        networks: [network('br0', { uplinks: 'eth0, eth1' })],
        sysctls: { 'net/ipv4/conf/all/rp_filter': '1', 'net/ipv4/conf/eth1/rp_filter': '0' },
      },
    ],
    ['foreign-route', { host: { ...host, routes: [{ destination: '10.0.0.128/25', device: 'tun0' }] } }],
    ['foreign-route', { rules: [{ priority: 100, from: 'all', to: '10.0.0.0/16', table: '51820' }] }],
    ['address-twice', { host: { ...host, links: [...links, link('br9', { addresses: ['10.0.0.1/16'] })] } }],
    ['port-taken', { published, listeners: [listener('0.0.0.0', 8080)] }],
    ['port-taken', { published, listeners: [listener('192.0.2.2', 8080)] }],
    ['port-taken', { published, listeners: [listener('127.0.0.1', 5432)] }],
    ['conntrack-full', sysctl('net/netfilter/nf_conntrack_count', '60000')],
    [
      'mtu-black-hole',
      {
        networks: [network('br0', { mtu: '1500' })],
        host: { ...host, links: links.map((one) => (one.name === 'eth0' ? { ...one, mtu: 1400 } : one)) },
      },
    ],
    ['permissions', { files: [{ path: '/etc/nethooks/nethooks.ini', mode: 0o666, uid: 0 }] }],
    ['permissions', { files: [{ path: '/etc/nethooks/nethooks.ini', mode: 0o644, uid: 1000 }] }],
    ['disk-full', { disks: [{ path: '/run', freeBytes: 1 << 20, freeInodes: null, fault: null }] }],
    ['disk-full', { disks: [{ path: '/run', freeBytes: 1 << 30, freeInodes: 3, fault: null }] }],
    ['disk-full', { disks: [{ path: '/run', freeBytes: 1 << 30, freeInodes: null, fault: 'EROFS' }] }],
    ['lxc-config', { containers: [{ name: 'web', links: ['br0'], missingHooks: ['start-host'] }] }],
    ['lxc-config', { containers: [{ name: 'old', links: ['lxcbr0'], missingHooks: [] }] }],
    ['leftovers', { leftovers: ['host port 8080/tcp of web'] }],
  ])('%s', (id, values) => {
    expect(ids(values)).toEqual([id]);
  });

  it.each<[string, Partial<CheckFacts>]>([
    ['a route to a wider network', { host: { ...host, routes: [{ destination: '10.0.0.0/8', device: 'tun0' }] } }],
    ['a route of the bridge', { host: { ...host, routes: [{ destination: '10.0.0.0/24', device: 'br0' }] } }],
    ['a rule about others', { rules: [{ priority: 100, from: '10.0.0.0/24', to: 'all', table: '5' }] }],
    ['a port at another address', { published, listeners: [listener('192.0.2.2', 5432)] }],
    ["podman's placeholder", { published, listeners: [listener('0.0.0.0', 8080, 'conmon (pid 9)')] }],
    ['one uplink that filters', sysctl('net/ipv4/conf/eth0/rp_filter', '1')],
    [
      'a host that does not forward: that is for up',
      { host: { ...host, ipForward: '0' }, ...sysctl('net/ipv4/conf/br0/forwarding', '0') },
    ],
    [
      'a bridge with a smaller MTU',
      { host: { ...host, links: links.map((one) => (one.name === 'br0' ? { ...one, mtu: 1400 } : one)) } },
    ],
    [
      "lxc-net's bridge that is ours",
      {
        networks: [network('lxcbr0')],
        host: { ...host, links: [link('lxcbr0', { addresses: ['10.0.0.1/24'] })] },
        containers: [{ name: 'old', links: ['lxcbr0'], missingHooks: [] }],
      },
    ],
  ])('no false alarm: %s', (_what, values) => {
    expect(ids(values)).toEqual([]);
  });

  it("names each of up's steps, and what no step mends", () => {
    const steps = [{ kind: 'dnsmasq' as const, action: 'start' as const, network: 'br0', directories: [] }];
    expect(
      drift({ steps, warnings: [], refusals: [], faults: [{ by: 'firewall', text: 'table inet x drops DHCP' }] }),
    ).toMatchObject([
      { id: 'foreign-firewall', severity: 'missing', text: 'table inet x drops DHCP', remedy: null },
      { id: 'dnsmasq', severity: 'missing', text: 'start dnsmasq for br0', remedy: 'nethooks up', fix: { kind: 'up' } },
    ]);
  });
});
