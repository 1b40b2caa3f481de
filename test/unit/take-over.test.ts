/** Taking Debian's lxc-net over: what its files say, who keeps which address, and the steps there and back. */
import { describe, expect, it } from 'vitest';
import { defaultRanges } from '../../src/config/resolve.ts';
import type { LinkFact } from '../../src/model/facts.ts';
import { type LxcNetRecord, parseLxcNet, type TakenContainer, type TakenNic } from '../../src/model/lxc-net.ts';
import { describe as describeStep, type Step } from '../../src/model/step.ts';
import { planKept } from '../../src/plan/attachment/taken-over.ts';
import {
  type LxcNetFacts,
  planReturn,
  planTakeOver,
  rangesOf,
  returnedLeases,
  sectionOf,
  sharesOf,
} from '../../src/plan/host/take-over.ts';

const LXC = `LXC_AUTO="true"
OPTIONS=
USE_LXC_BRIDGE="false"  # overridden in lxc-net

[ ! -f /etc/default/lxc-net ] || . /etc/default/lxc-net
`;
const OWN = 'USE_LXC_BRIDGE="true"\n';
const MAC = '00:16:3e:11:22:33';

describe('what /etc/default/lxc and lxc-net say', () => {
  it('Debian as it is', () => {
    expect(parseLxcNet(LXC, OWN)).toEqual({
      isOn: true,
      bridge: 'lxcbr0',
      address: '10.0.3.1',
      prefix: 24,
      dhcp: { from: '10.0.3.2', to: '10.0.3.254' },
      mostLeases: null,
      domain: '',
      confFile: '',
      use: '/etc/default/lxc-net:1: USE_LXC_BRIDGE="true"',
      faults: [],
    });
  });

  it.each([
    ["LXC_BRIDGE='lx0'", { bridge: 'lx0' }],
    ['export LXC_DOMAIN=boxes # ours', { domain: 'boxes' }],
    [
      'LXC_ADDR=10.9.0.1\nLXC_NETMASK=255.255.0.0\nLXC_NETWORK=10.9.0.0/16\nLXC_DHCP_RANGE=10.9.0.2,10.9.0.9',
      { prefix: 16 },
    ],
    ['LXC_DHCP_MAX="20"', { mostLeases: 20 }],
    ['LXC_DHCP_CONFILE=/etc/dnsmasq.conf', { confFile: '/etc/dnsmasq.conf' }],
    ['LXC_DHCP_RANGE="10.0.3.10,10.0.3.20,12h"', { dhcp: { from: '10.0.3.10', to: '10.0.3.20' } }],
    ['USE_LXC_BRIDGE="no"', { isOn: false }],
  ])('%s', (text, expected) => {
    expect(parseLxcNet(LXC, `${OWN}${text}\n`)).toMatchObject({ ...expected, faults: [] });
  });

  it.each([
    ['LXC_NEW=1', ':2: LXC_NEW=1: unknown; allowed: USE_LXC_BRIDGE, '],
    ['LXC_DOMAIN="$(id)"', ':2: LXC_DOMAIN="$(id)": is no plain assignment'],
    ['LXC_DOMAIN=`id`', 'is no plain assignment'],
    ['LXC_DOMAIN=a; id', 'is no plain assignment'],
    ['[ -f /x ] && LXC_ADDR=10.1.1.1', 'is no plain assignment'],
    ['. /etc/default/other', 'is no plain assignment'],
    ['LXC_IPV6_ADDR="fd42::1"', ':2: LXC_IPV6_ADDR="fd42::1": networks of nethooks have no IPv6'],
    ['LXC_ADDR="10.7.0.1"', 'LXC_NETWORK="10.0.3.0/24": allowed: 10.7.0.0/24'],
    ['LXC_NETMASK="255.0.255.0"', ':2: LXC_NETMASK="255.0.255.0": allowed: a netmask'],
    ['LXC_BRIDGE="a b"', ':2: LXC_BRIDGE="a b": allowed: the name of a bridge'],
    ['LXC_DHCP_RANGE="all"', ':2: LXC_DHCP_RANGE="all": allowed: FIRST,LAST'],
  ])('%s is refused', (text, message) => {
    expect(parseLxcNet(LXC, `${OWN}${text}\n`).faults.join('\n')).toContain(message);
  });

  it('a file that nobody reads counts nothing', () => {
    const { faults, isOn } = parseLxcNet('USE_LXC_BRIDGE="false"\n', OWN);
    expect(isOn).toBe(false);
    expect(faults).toEqual([expect.stringContaining('/etc/default/lxc does not read /etc/default/lxc-net')]);
  });
});

const nic = (more: Partial<TakenNic> = {}): TakenNic => ({
  index: 0,
  ifname: 'eth0',
  mac: null,
  hasOwnMac: false,
  address: null,
  running: [],
  ...more,
});
const container = (name: string, ...nics: Partial<TakenNic>[]): TakenContainer => ({
  name,
  configFile: `/var/lib/lxc/${name}/config`,
  nics: nics.map(nic),
  kept: { interfaces: [], publish: [], exposed: [] },
});
const lease = (address: string, mac: string, hostname: string | null = null) => ({ address, mac, hostname });
const bridge = { name: 'lxcbr0', kind: 'bridge', alias: '', master: '' } as LinkFact;
const facts = (more: Partial<LxcNetFacts> = {}): LxcNetFacts => ({
  settings: parseLxcNet(LXC, OWN),
  defaults: OWN,
  confLines: [],
  leases: [],
  containers: [],
  links: [bridge],
  record: null,
  recordText: null,
  systemd: true,
  enabled: true,
  active: true,
  left: { dnsmasq: 7, tables: ['inet lxc', 'ip lxc'], rules: [], marks: ['/run/lxc/network_up'] },
  hasLeases: false,
  ...more,
});
const line = (text: string) => ({ place: '/etc/lxc/dnsmasq.conf:1', text });

describe('who keeps which address', () => {
  it.each<[string, Partial<LxcNetFacts>, string | undefined, boolean]>([
    ['of its configuration', { containers: [container('web', { address: '10.0.3.9' })] }, '10.0.3.9', false],
    ['that it has now', { containers: [container('web', { running: ['10.0.3.8'] })] }, '10.0.3.8', false],
    [
      'by its MAC',
      { containers: [container('web', { mac: MAC })], leases: [lease('10.0.3.7', MAC)] },
      '10.0.3.7',
      false,
    ],
    ['by its name', { containers: [container('web', {})], leases: [lease('10.0.3.6', MAC, 'web')] }, '10.0.3.6', false],
    [
      'none: another container has that MAC',
      { containers: [container('web', {}), container('db', { mac: MAC })], leases: [lease('10.0.3.6', MAC, 'web')] },
      undefined,
      false,
    ],
    [
      'by a line about its MAC',
      { containers: [container('web', { mac: MAC })], confLines: [line(`dhcp-host=${MAC.toUpperCase()},10.0.3.5`)] },
      '10.0.3.5',
      true,
    ],
    [
      'by a line about its name',
      { containers: [container('web', {})], confLines: [line('dhcp-host=web,10.0.3.4')] },
      '10.0.3.4',
      true,
    ],
    ['none of another subnet', { containers: [container('web', { running: ['10.9.9.9'] })] }, undefined, false],
  ])('%s', (_what, more, address, isTold) => {
    const web = sharesOf(facts(more)).taken.find((one) => one.container === 'web');
    expect(web?.address).toBe(address);
    expect(web?.isTold ?? false).toBe(isTold);
  });

  it('machines that are no containers keep their leases, and lines about them stay', () => {
    const lines = [line('dhcp-host=web,10.0.3.4'), line('dhcp-host=02:00:00:00:00:01,10.0.3.77'), line('log-dhcp')];
    const shares = sharesOf(
      facts({
        containers: [container('web', {})],
        confLines: lines,
        leases: [lease('10.0.3.20', '02:00:00:00:00:02')],
      }),
    );
    expect(shares.lines).toEqual(lines.slice(1));
    expect(shares.foreign.map(({ address }) => address)).toEqual(['10.0.3.20']);
  });
});

describe('the ranges', () => {
  const settings = parseLxcNet(LXC, OWN);
  const usual = defaultRanges(settings.address, settings.prefix);
  const show = (containers: string[], others: string[] = [], own = settings) => {
    const { dhcp, reserve } = rangesOf(own, containers, others, usual);
    return `${dhcp?.from}-${dhcp?.to} ${reserve?.from}-${reserve?.to}`;
  };
  it('the usual ones, where LXC_DHCP_RANGE is the whole subnet', () => {
    expect(show([])).toBe('10.0.3.100-10.0.3.200 10.0.3.2-10.0.3.99');
  });
  it("LXC's own range, where it leaves room", () => {
    expect(show(['10.0.3.9'], [], { ...settings, dhcp: { from: '10.0.3.50', to: '10.0.3.90' } })).toBe(
      '10.0.3.50-10.0.3.90 10.0.3.91-10.0.3.254',
    );
  });
  it.each([
    [['10.0.3.150'], []],
    [
      ['10.0.3.3', '10.0.3.177', '10.0.3.210'],
      ['10.0.3.20', '10.0.3.240'],
    ],
    [Array.from({ length: 40 }, (_, index) => `10.0.3.${2 + index * 6}`), ['10.0.3.3']],
  ])('no container in DHCP, no other machine in ours: %s %s', (containers, others) => {
    const { dhcp, reserve } = rangesOf(settings, containers, others, usual);
    const last = (address: string) => Number(address.split('.')[3]);
    const inside = (range: { from: string; to: string } | null, address: string) =>
      range !== null && last(range.from) <= last(address) && last(address) <= last(range.to);
    expect(dhcp).not.toBeNull();
    expect(containers.filter((address) => inside(dhcp, address))).toEqual([]);
    expect([...others, settings.address].filter((address) => inside(reserve, address))).toEqual([]);
    expect(reserve && dhcp && (last(reserve.to) < last(dhcp.from) || last(dhcp.to) < last(reserve.from))).toBe(true);
  });
  it('are in the section, with the leases of others and the lines of LXC_DHCP_CONFILE', () => {
    const own = parseLxcNet(LXC, `${OWN}LXC_DOMAIN=boxes\nLXC_DHCP_MAX=99\n`);
    const shares = { taken: [], foreign: [lease('10.0.3.240', MAC)], lines: [line('txt-record=a.boxes,"x;y"')] };
    expect(sectionOf(own, shares, usual).slice(1)).toEqual([
      '[network.lxcbr0]',
      'address = 10.0.3.1/24',
      'dhcp = 10.0.3.100-10.0.3.200',
      'reserve = 10.0.3.2-10.0.3.99',
      'domain = boxes',
      'dnsmasq[] = dhcp-lease-max=99',
      `dnsmasq[] = dhcp-host=${MAC},10.0.3.240`,
      'dnsmasq[] = "txt-record=a.boxes,\\"x;y\\""',
    ]);
  });
});

const lines = (steps: readonly Step[]) => steps.map((step) => (describeStep(step)[0] ?? '').replace(/:$/, ''));

describe('the steps', () => {
  const here = { mode: 'here' as const, changed: ['web'], kept: [] };
  it('what is remembered comes first, and its script is told to do nothing before it is stopped', () => {
    const plan = planTakeOver(here, facts({ leases: [lease('10.0.3.7', MAC)] }));
    expect(lines(plan.files)).toEqual(['write /var/lib/nethooks/lxc-net.json', 'change /etc/default/lxc-net']);
    expect(lines(plan.stop)).toEqual(['stop and disable lxc-net.service', 'end the dnsmasq of lxc-net']);
    expect(lines(plan.between)).toEqual([
      'write /var/lib/nethooks/lxcbr0.leases',
      'ip link set dev lxcbr0 alias nethooks',
    ]);
    expect(lines(plan.after)).toEqual(['remove the rules of lxc-net']);
  });

  const done: LxcNetRecord = { mode: 'here', bridge: 'lxcbr0', enabled: true, active: true, containers: ['web'] };
  const doneFacts = facts({
    defaults: `${OWN}# nethooks begin\nUSE_LXC_BRIDGE="false"\n# nethooks end\n`,
    links: [{ ...bridge, alias: 'nethooks' }],
    record: done,
    recordText: `${JSON.stringify(done)}\n`,
    enabled: false,
    active: false,
    left: { dnsmasq: null, tables: [], rules: [], marks: [] },
    hasLeases: true,
  });
  it('none when all is done', () => {
    const { files, stop, between, after } = planTakeOver({ ...here, changed: [] }, doneFacts);
    expect([files, stop, between, after]).toEqual([[], [], [], []]);
  });
  it('a run that was killed is completed, and what it found first stays noted', () => {
    const plan = planTakeOver(here, { ...doneFacts, left: { ...facts().left, dnsmasq: null } });
    expect(lines([...plan.files, ...plan.stop, ...plan.between])).toEqual([]);
    expect(lines(plan.after)).toEqual(['remove the rules of lxc-net']);
  });
  it('with --move lxc-net goes on while something is on its bridge, and goes with the bridge', () => {
    const port = { name: 'veth1', kind: 'veth', alias: '', master: 'lxcbr0' } as LinkFact;
    const move = { ...here, mode: 'move' as const };
    const busy = planTakeOver(move, facts({ links: [bridge, port] }));
    expect(lines([...busy.stop, ...busy.between, ...busy.after])).toEqual([]);
    expect(busy.notes.join()).toContain('(veth1)');
    expect(lines(planTakeOver(move, facts()).after)).toEqual(['remove the rules of lxc-net', 'ip link del dev lxcbr0']);
  });
  it('back: every file as it was', () => {
    const config = '[network.br0]\naddress = 10.0.0.1/24';
    const steps = planReturn({
      record: done,
      recordText: null,
      config: {
        path: '/etc/nethooks/nethooks.ini',
        text: `${config}\n# nethooks begin\n[network.lxcbr0]\n# nethooks end`,
      },
      defaults: doneFacts.defaults,
      links: doneFacts.links,
    });
    expect(steps.flatMap((step) => (step.kind === 'file' ? step.content : []))).toEqual([config, OWN]);
    expect(lines(steps).at(-1)).toBe('ip link set dev lxcbr0 alias ""');
  });
});

describe('what is kept', () => {
  const running = container('web', { mac: MAC, running: ['10.0.3.8'] });
  const shares = sharesOf(
    facts({ containers: [running], leases: [lease('10.0.3.8', MAC), lease('10.0.3.30', '02:00:00:00:00:02', 'vm')] }),
  );
  const network = { bridge: 'lxcbr0', prefix: 24 };
  it('an address by which its next start finds it, a reservation, and names of what runs', () => {
    const steps = planKept(network, shares, [running]);
    expect(steps.flatMap((step) => (step.kind === 'file' ? `${step.path} ${step.content}` : []))).toEqual([
      '/var/lib/nethooks/dhcp-names/10.0.3.30 02:00:00:00:00:02 vm\n',
      `/var/lib/nethooks/dhcp-names/10.0.3.8 ${MAC} web\n`,
      `/run/nethooks/dnsmasq/lxcbr0/dhcp-hosts/web.eth0 ${MAC},10.0.3.8\n`,
      expect.stringMatching(/^\/var\/lib\/nethooks\/containers\/web\.json .*"addresses":\["10\.0\.3\.8\/24"\]/),
    ]);
  });

  it.each<[string, string | null, string | null, { address: string; mac: string; name: string }[], string]>([
    ['ours', null, `9 ${MAC} 10.0.3.8 web *\n`, [], `9 ${MAC} 10.0.3.8 web *\n`],
    ['ours before theirs', `1 ${MAC} 10.0.3.8 old *\n`, `9 ${MAC} 10.0.3.8 web *\n`, [], `9 ${MAC} 10.0.3.8 web *\n`],
    [
      'theirs that we do not have',
      '1 02:00:00:00:00:02 10.0.3.9 vm *\n',
      null,
      [],
      '1 02:00:00:00:00:02 10.0.3.9 vm *\n',
    ],
    ['what is held', null, null, [{ address: '10.0.3.7', mac: MAC, name: 'db' }], `3700 ${MAC} 10.0.3.7 db *\n`],
  ])('back: %s', (_what, theirs, ours, held, expected) => {
    expect(returnedLeases({ theirs, ours, held, now: 100 })).toBe(expected);
  });
});
