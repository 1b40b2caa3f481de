/** What running containers have lost, and what brings it back. */
import { describe, expect, it } from 'vitest';
import type { AttachmentRecord, Interface } from '../../src/model/attachment.ts';
import type { LinkFact } from '../../src/model/facts.ts';
import type { InsideFact } from '../../src/model/inside.ts';
import { describe as describeStep } from '../../src/model/step.ts';
import { linkNotes, planHealing, type RunningFact } from '../../src/plan/attachment/heal.ts';
import { parseLocalAddresses, parseRoutes } from '../../src/plan/attachment/inside.ts';
import { planDnsmasq } from '../../src/plan/host/dnsmasq.ts';
import { expectedFiles, planInstalled } from '../../src/plan/host/installed.ts';
import { facts, link, network } from './host-facts.ts';

const eth0: Interface = {
  driver: 'none',
  network: 'br0',
  domain: 'lxc',
  ifname: 'eth0',
  addresses: ['10.0.0.2/24'],
  gateways: ['10.0.0.1'],
  mac: '02:6e:0a:00:00:02',
  hostLink: null,
  port: 7,
  store: null,
};
const POLICY = {
  network: 'br0',
  address: '10.0.0.2',
  port: 7,
  isolated: ['br0'],
  publish: [{ protocol: 'tcp' as const, hostAddress: null, hostPort: 8080, containerPort: 80 }],
  links: [],
  exposed: [],
  masquerade: [],
};
const HEALTHY: InsideFact = {
  local: ['127.0.0.1', '10.0.0.2'],
  routes: [
    { device: 'eth0', destination: '0.0.0.0/0', gateway: '10.0.0.1' },
    { device: 'eth0', destination: '10.0.0.0/24', gateway: null },
  ],
  links: { eth0: { mac: '02:6e:0a:00:00:02', mtu: 1500 } },
};
const NAMESPACE = { path: '/proc/9/ns/net', id: '4:1' };
const NAMES = '/run/nethooks/names/lxc/web';

interface Case {
  iface?: Partial<Interface>;
  record?: Partial<AttachmentRecord>;
  inside?: Partial<InsideFact>;
  port?: Partial<LinkFact> | null;
  held?: RunningFact['held'];
  files?: Record<string, string | null>;
}

const GOOD = {
  [NAMES]: '10.0.0.2 web.lxc web\n',
  '/run/nethooks/dnsmasq/br0/dhcp-hosts/web.eth0': '02:6e:0a:00:00:02,10.0.0.2\n',
  '/run/nethooks/dnsmasq/br0/told/10.0.0.2': '02:6e:0a:00:00:02',
};

function heal({ iface = {}, record = {}, inside = {}, port = {}, held = [], files = {} }: Case) {
  const running: RunningFact = {
    record: {
      owner: { kind: 'lxc', name: 'web' },
      state: 'attached',
      life: { pid: 9, started: '1' },
      interfaces: [{ ...eth0, ...iface }],
      names: { own: ['web'], linked: [] },
      links: [],
      policy: POLICY,
      ...record,
    },
    inside: { namespace: NAMESPACE, found: { ...HEALTHY, ...inside } },
    held,
    granted: { lxc: ['web'] },
    files: { files: { ...GOOD, ...files }, hostResolver: null, written: undefined, reloads: false },
    lost: null,
  };
  const ports = port === null ? [] : [link('veth7', { index: 7, kind: 'veth', master: 'br0', ...port })];
  const links = [link('br0', { kind: 'bridge', index: 2 }), ...ports];
  const { steps, warnings, faults } = planHealing([running], ['br0'], { links, filtersAllBridges: false });
  return { lines: steps.flatMap(describeStep), warnings, faults: faults?.map(({ text }) => text) };
}

const ANCHORED = [
  'link set dev eth0 up',
  'addr replace 10.0.0.2/24 broadcast + dev eth0',
  'addr replace 10.0.0.2/32 dev lo scope host',
  'nexthop replace id 1852309504 dev eth0',
  'route replace 10.0.0.0/24 nhid 1852309504 src 10.0.0.2 metric 1000',
  'nexthop replace id 1852309505 via 10.0.0.1 dev eth0',
  'route replace default nhid 1852309505 src 10.0.0.2',
  'route replace default nhid 1852309505 src 10.0.0.2 metric 1000',
].map((line) => `in container web: ip ${line}`);
const [toOther, toSubnet] = HEALTHY.routes as [(typeof HEALTHY.routes)[0], (typeof HEALTHY.routes)[0]];

describe('a container that runs', () => {
  const rows: [what: string, Case, lines: string[]][] = [
    ['has everything', {}, []],
    [
      'lost its bridge',
      { port: { master: '' } },
      ['ip link set dev veth7 master br0', 'ip link set dev veth7 type bridge_slave hairpin on'],
    ],
    [
      'lost its bridge, and publishes nothing',
      { port: { master: '' }, record: { policy: null } },
      ['ip link set dev veth7 master br0'],
    ],
    ['has a port that is down', { port: { up: false } }, ['ip link set dev veth7 up']],
    ['lost its address', { inside: { local: ['127.0.0.1'] } }, ANCHORED],
    ['lost its default route', { inside: { routes: [toSubnet] } }, ANCHORED],
    ['lost the route to its subnet', { inside: { routes: [toOther] } }, ANCHORED],
    ['has a default route of its own', { inside: { routes: [{ ...toOther, device: 'tun0' }, toSubnet] } }, []],
    ['gets its address by DHCP of its own', { iface: { dhcp: true }, inside: { local: [], routes: [] } }, []],
    [
      'has another MAC',
      { inside: { links: { eth0: { mac: '02:00:00:00:00:09' } } } },
      ['in container web: ip link set dev eth0 address 02:6e:0a:00:00:02'],
    ],
    [
      'has another MTU than was asked for',
      { iface: { mtu: 1300 }, inside: { links: { eth0: { mtu: 1500 } } } },
      [
        'write /run/nethooks/dnsmasq/br0/dhcp-options/web.eth0:',
        '  + tag:mac0-02,tag:mac1-6e,tag:mac2-0a,tag:mac3-00,tag:mac4-00,tag:mac5-02,26,1300',
        'write /run/nethooks/dnsmasq/br0/told/02:6e:0a:00:00:02:',
        '  + 26',
        'in container web: ip link set dev eth0 mtu 1300',
      ],
    ],
    ['has an MTU that nobody asked for', { inside: { links: { eth0: { mtu: 1400 } } } }, []],
    ['lost its names', { files: { [NAMES]: null } }, [`write ${NAMES}:`, '  + 10.0.0.2 web.lxc web']],
    [
      'has names that are wrong, which dnsmasq has read',
      { files: { [NAMES]: '10.0.0.9 web.lxc web\n' } },
      [
        `change ${NAMES}:`,
        '  - 10.0.0.9 web.lxc web',
        '  + 10.0.0.2 web.lxc web',
        'dnsmasq for br0 reads its files again',
      ],
    ],
    [
      'lost what says that a port is its own',
      { held: [{ path: '/run/nethooks/ports/tcp-8080/0.0.0.0', id: 'lxc/web', ifname: '-', there: false }] },
      ['note in /run/nethooks/ports/tcp-8080/0.0.0.0: lxc/web'],
    ],
    [
      'of CNI, lost a route',
      {
        iface: { driver: 'bridge' },
        record: {
          owner: { kind: 'cni', network: 'n', id: 'web', ifname: 'eth0' },
          result: { routes: [{ dst: '0.0.0.0/0', gw: '10.0.0.1' }] },
        },
        inside: { routes: [toSubnet] },
        files: { '/run/nethooks/names/lxc/web:eth0': GOOD[NAMES] as string },
      },
      ['link set dev eth0 up', 'route append 0.0.0.0/0 via 10.0.0.1 dev eth0'].map(
        (line) => `in web (CNI network n): ip ${line}`,
      ),
    ],
  ];
  it.each(rows)('%s', (_, given, lines) => {
    expect(heal(given)).toEqual({ lines, warnings: [], faults: [] });
  });

  it('is not fought over an address that it has chosen itself, nor over another bridge', () => {
    const inside = { local: ['127.0.0.1', '10.0.0.77'] };
    expect(heal({ inside })).toEqual({
      lines: [],
      warnings: ['container web: its eth0 has 10.0.0.77, not 10.0.0.2: left alone'],
      faults: [],
    });
    expect(heal({ port: { master: 'br9' } })).toMatchObject({
      lines: [],
      warnings: ['container web: its eth0 is on br9, not on br0: left alone'],
    });
  });

  it('gets nothing back on a network that goes', () => {
    expect(heal({ iface: { network: 'br9' }, files: { [NAMES]: null } }).lines).toEqual([]);
  });

  it('has to be restarted when its interface is gone', () => {
    expect(heal({ port: null })).toEqual({
      lines: [],
      warnings: [],
      faults: ['container web: its eth0 has lost its port on br0: restart it'],
    });
  });
});

it('notes of links: one for each child, with its aliases', () => {
  const links = [
    { container: 'db', alias: 'a' },
    { container: 'mq', alias: 'q' },
    { container: 'db', alias: 'b' },
  ];
  const record = { owner: { kind: 'lxc', name: 'web' }, links } as unknown as AttachmentRecord;
  expect(linkNotes(record)).toEqual([
    { path: '/run/nethooks/links/db/web', text: 'a\nb\n' },
    { path: '/run/nethooks/links/mq/web', text: 'q\n' },
  ]);
});

describe('what the kernel prints', () => {
  it('of addresses', () => {
    const trie = `Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 10.0.0.0/24 2 0 2
        |-- 10.0.0.0
           /24 link UNICAST
        |-- 10.0.0.2
           /32 host LOCAL
           /32 host LOCAL
        |-- 10.0.0.255
           /32 link BROADCAST
`;
    expect(parseLocalAddresses(trie)).toEqual(['10.0.0.2']);
  });

  it('of routes', () => {
    const text = `Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t0000000A\t00000000\t0001\t0\t0\t1000\t00F0FFFF\t0\t0\t0
eth1\t0000010A\t00000000\t0000\t0\t0\t0\t00FFFFFF\t0\t0\t0
`;
    expect(parseRoutes(text)).toEqual([
      { device: 'eth0', destination: '0.0.0.0/0', gateway: '10.0.0.1' },
      { device: 'eth0', destination: '10.0.0.0/20', gateway: null },
    ]);
  });
});

describe('a dnsmasq that runs', () => {
  const steps = (fact: object, links = [link('br0')]) => {
    const base = facts({ links });
    const conf = planDnsmasq([network()], base).flatMap((step) =>
      step.kind === 'file' && step.path.endsWith('dnsmasq.conf') ? [String(step.content)] : [],
    )[0] as string;
    const br0 = { conf, pid: 7, noted: true, outdated: null, hung: false, ...fact };
    return planDnsmasq([network()], { ...base, dnsmasq: { br0 } })
      .filter((step) => step.kind === 'dnsmasq' || (step.kind === 'file' && step.path.endsWith('.pid')))
      .flatMap(describeStep);
  };
  it.each([
    ['well', {}, []],
    ['on a bridge that was deleted and made anew', { outdated: 'bridge' }, ['restart dnsmasq for br0']],
    ['with a directory that is another one now', { outdated: 'directories' }, ['restart dnsmasq for br0']],
    ['without an answer', { hung: true }, ['restart dnsmasq for br0']],
    ['without its pid file', { noted: false }, ['write /run/nethooks/dnsmasq/br0/dnsmasq.pid:', '  + 7']],
    ['not, of which the configuration is lost too', { conf: null, noted: false }, ['restart dnsmasq for br0']],
  ])('%s', (_, fact, lines) => {
    expect(steps(fact)).toEqual(lines);
  });
  it('on a bridge that is gone', () => {
    expect(steps({}, [])).toEqual(['restart dnsmasq for br0']);
  });
});

describe('installed files', () => {
  const manifest = {
    prefix: '/usr',
    entries: ['/usr/lib/nethooks/lxc/start-host', '/usr/lib/cni/nethooks', '/usr/lib/cni/nethooks-ptp'].map((what) => ({
      kind: 'made',
      what,
    })),
  };
  it('are those of the manifest', () => {
    expect(expectedFiles(manifest).map(({ path }) => path)).toEqual(manifest.entries.map(({ what }) => what));
    expect(expectedFiles({ prefix: null, entries: [] })).toEqual([]);
  });
  it.each([
    ['as it was', { found: 0o100755, twin: '/a' }, [], []],
    ['not executable', { found: 0o100644, twin: '/a' }, ['write /a'], []],
    ['gone, but known under another name', { found: null, twin: '/b' }, ['write /a'], []],
    ['gone', { found: null, twin: null }, [], ['/a is missing: `./install.sh` puts it back']],
  ])('%s', (_, file, lines, faults) => {
    const plan = planInstalled([{ path: '/a', mode: 0o755, ...file }]);
    expect([plan.steps.flatMap(describeStep), plan.faults?.map(({ text }) => text)]).toEqual([lines, faults]);
  });
});
