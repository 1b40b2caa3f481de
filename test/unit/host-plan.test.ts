/** What a plan makes of hosts that no throwaway host can be: with hardware in a bridge, with all sorts of firewalls. */
import { describe, expect, it } from 'vitest';
import type { HostFacts, LinkFact } from '../../src/model/facts.ts';
import { EMPTY_RECORD, type HostRecord } from '../../src/model/host-record.ts';
import { faultOf } from '../../src/plan/host/admin-rules.ts';
import { ALIAS, GOING, planBridge, planBridgesDown } from '../../src/plan/host/bridge.ts';
import { planHost, recordAfter, recordDuring } from '../../src/plan/host/host.ts';
import { planRules, planRulesDown } from '../../src/plan/host/rules.ts';
import { facts, link, network } from './host-facts.ts';

describe('a bridge of somebody else', () => {
  const bridge = link('br0', { kind: 'bridge' });
  const refusals = (links: LinkFact[], more: Partial<HostFacts> = {}, values: object = {}) =>
    planBridge(network('br0', values), facts({ links, ...more }), { stale: [], going: [], known: false }).refusals;

  it.each(['', 'vlan', 'bond', 'wlan', 'vxlan'])('with a port of kind "%s" leads to a LAN: no DHCP there', (kind) => {
    const port = link('port0', { kind, master: 'br0' });
    expect(refusals([bridge, port])).toEqual([
      'network br0: bridge br0 leads to a network of others (port0 is a port of it), whose machines our DHCP server would answer; allowed: a bridge of its own, or dhcp = false',
    ]);
    expect(refusals([bridge, port], {}, { dhcp: false })).toEqual([]);
  });

  it('with containers and virtual machines on it is one like ours', () => {
    expect(refusals([bridge, link('veth0', { kind: 'veth', master: 'br0' })])).toEqual([]);
    expect(refusals([bridge, link('tap0', { kind: 'tun', master: 'br0' })])).toEqual([]);
    expect(refusals([bridge, link('eth0')])).toEqual([]);
  });

  it('over which the default route goes leads to a LAN', () => {
    expect(refusals([bridge], { defaultDevice: 'br0' })[0]).toContain('(the default route goes over it)');
  });

  it('of ours may get hardware later: whoever did that meant it', () => {
    expect(refusals([{ ...bridge, alias: ALIAS }, link('eth1', { master: 'br0' })])).toEqual([]);
  });

  it('loses only addresses that are ours', () => {
    const links = [{ ...bridge, addresses: ['10.0.0.1/24', '192.168.1.1/24'] }, link('eth1', { master: 'br0' })];
    const br0 = (...addresses: string[]) => planBridgesDown([{ name: 'br0', addresses }], facts({ links }));
    expect(br0('10.0.0.1/24')).toMatchObject({
      steps: [{ commands: ['addr del 10.0.0.1/24 dev br0'] }],
      warnings: [],
    });
    expect(br0().steps).toEqual([]);
  });
});

describe('fifty networks go', () => {
  const networks = Array.from({ length: 50 }, (_, index) => network(`br${index}`, { address: `10.0.${index}.1/24` }));
  const bridges = networks.map(({ name }) => link(name, { kind: 'bridge', alias: ALIAS }));
  const dnsmasq = Object.fromEntries(
    networks.map(({ name }, index) => [
      name,
      { conf: name, pid: 100 + index, noted: true, outdated: null, hung: false },
    ]),
  );
  const record = { ...EMPTY_RECORD, networks };
  const down = (links: LinkFact[], values: Partial<HostFacts> = {}) =>
    planHost({ host: record.host, networks: [], hooks: null }, facts({ links, ...values }), record).steps;
  const ip = (links: LinkFact[]) => down(links).flatMap((step) => (step.kind === 'ip' ? [step] : []));

  it('with one program for all bridges, all or none', () => {
    const [step, ...more] = ip(bridges);
    expect(more).toEqual([]);
    expect(step?.commands.filter((line) => line.startsWith('link del'))).toEqual([`link del group ${GOING}`]);
    expect(step?.commands.at(-1)).toBe(`link del group ${GOING}`);
    expect(step?.undo).toEqual(networks.map(({ name }) => `link set dev ${name} group default`));
  });

  it('their daemons side by side: no file in between', () => {
    const kinds = down(bridges, { dnsmasq }).map(({ kind }) => kind);
    expect(kinds.lastIndexOf('dnsmasq') - kinds.indexOf('dnsmasq')).toBe(49);
    expect(kinds.indexOf('file')).toBeGreaterThan(kinds.lastIndexOf('dnsmasq'));
  });

  it('but nothing of others: their bridge, what has a port, what is in our group', () => {
    const theirs = bridges.map((one, index) => (index === 7 ? { ...one, alias: '', addresses: ['10.0.7.1/24'] } : one));
    const [step] = ip([...theirs, link('veth0', { master: 'br8' })]);
    expect(step?.commands.filter((line) => / br[78]( |$)/.test(line))).toEqual(['addr del 10.0.7.1/24 dev br7']);
    const [single] = ip([...bridges, link('eth1', { group: GOING })]);
    expect(single?.commands).toEqual(networks.map(({ name }) => `link del dev ${name}`));
  });

  it('and a group that somebody gave a bridge comes back with it, ours does not', () => {
    const [first, second, ...rest] = bridges as [LinkFact, LinkFact, ...LinkFact[]];
    const [step] = ip([{ ...first, group: '7' }, { ...second, group: GOING }, ...rest]);
    expect(step?.undo.slice(0, 2)).toEqual(['link set dev br0 group 7', 'link set dev br1 group default']);
    const wish = { host: record.host, networks: networks.slice(1, 2), hooks: null };
    const [up] = planHost(wish, facts({ links: [{ ...second, group: GOING }] }), EMPTY_RECORD).steps;
    expect(up).toMatchObject({ kind: 'ip', commands: expect.arrayContaining(['link set dev br1 group default']) });
  });
});

describe('rules in a firewall of somebody else', () => {
  const lines = (...filter: string[]) => filter.map((line) => ({ table: 'filter', line }));
  const chains = (...filter: string[]) =>
    planRules([network()], facts({ iptables: lines(...filter) })).steps.flatMap((step) =>
      step.kind === 'rules' ? step.rules.filter(({ table }) => table === 'filter').map(({ chain }) => chain) : [],
    );
  const [input, forward] = [
    ['INPUT', 'INPUT', 'INPUT'],
    ['FORWARD', 'FORWARD'],
  ];

  it.each([
    [
      'accepts',
      [
        ':INPUT ACCEPT [0:0]',
        ':FORWARD ACCEPT [0:0]',
        '-A INPUT -p tcp -m tcp --sport 22 -j DROP',
        '-A FORWARD -i eth1 -j DROP',
      ],
      [],
    ],
    ['drops by policy', [':INPUT ACCEPT [0:0]', ':FORWARD DROP [0:0]'], forward],
    ['drops what comes in', [':INPUT DROP [0:0]', ':FORWARD ACCEPT [0:0]'], input],
    ['rejects by rule', [':FORWARD ACCEPT [0:0]', '-A FORWARD -j REJECT --reject-with icmp-host-prohibited'], forward],
    ['says why', [':INPUT ACCEPT [0:0]', '-A INPUT -m comment --comment "nobody else, please" -j DROP'], input],
    ["is Docker's", [':FORWARD DROP [0:0]', ':DOCKER-USER - [0:0]', '-A FORWARD -j DOCKER-USER'], forward],
  ])('that %s', (_what, filter, expected) => {
    expect(chains(...filter).sort()).toEqual(expected);
  });

  it('are told from others with a comment like ours', () => {
    const others = '-A FORWARD -s 10.0.0.0/8 -m comment --comment nethooks-like -j ACCEPT';
    const ours = '-A FORWARD -i br7 -m comment --comment nethooks -j ACCEPT';
    const { steps } = planRules([network('br0', { dhcp: false })], facts({ iptables: lines(others, ours) }));
    expect(steps).toMatchObject([
      { action: 'delete', rules: [{ match: '-i br7 -m comment --comment nethooks -j ACCEPT' }] },
    ]);
  });
});

describe("iptables' table mangle", () => {
  const CHAINS = ['PREROUTING', 'POSTROUTING'].map((chain) => `:${chain} ACCEPT [0:0]`);
  const OURS =
    '-A POSTROUTING -o br0 -p udp -m udp --dport 68 -m comment --comment nethooks -j CHECKSUM --checksum-fill';
  const withMangle = (...rules: string[]) =>
    facts({ iptables: [...CHAINS, ...rules].map((line) => ({ table: 'mangle', line })) });
  const removes = (before: HostFacts, mangleMade = true) =>
    planRulesDown(before, { ...EMPTY_RECORD, mangleMade }).some(
      (step) => step.kind === 'rules' && step.mangle === true,
    );

  it.each([
    ['was not there', facts(), true],
    ['was there, with rules or without', withMangle(), false],
  ])('is remembered as ours when it %s', (_what, before, made) => {
    const spec = { host: EMPTY_RECORD.host, networks: [network()], hooks: null };
    const record = recordAfter(planHost(spec, before, EMPTY_RECORD), spec, before, EMPTY_RECORD);
    expect(record.mangleMade).toBe(made);
    const later = withMangle(OURS);
    expect(recordAfter(planHost(spec, later, record), spec, later, record).mangleMade).toBe(made);
  });

  it.each([
    ['goes with our rule', true, [OURS], true],
    ['goes when our rule went before', true, [], true],
    ['stays when it was there before', false, [OURS], false],
    ["stays with somebody else's rule", true, [OURS, '-A PREROUTING -j ACCEPT'], false],
    ["stays with somebody else's chain", true, [OURS, ':THEIRS - [0:0]'], false],
    ["stays with somebody else's policy", true, [OURS, ':FORWARD DROP [0:0]'], false],
  ])('%s', (_what, made, rules, gone) => {
    expect(removes(withMangle(...rules), made)).toBe(gone);
  });

  it('stays when iptables lists nothing of it: somebody has put there what it does not understand', () => {
    expect(removes(facts())).toBe(false);
  });
});

describe('the record while a plan is carried out', () => {
  const record = (values: Partial<HostRecord>): HostRecord => ({ ...EMPTY_RECORD, ...values });

  it('has what was found before the first effect, and every network that is up or may be', () => {
    const before = record({ networks: [network('old'), network('br0')] });
    const after = record({ networks: [network('br0', { domain: 'new' })], ipForwardBefore: '0', found: ['br0 a'] });
    const during = recordDuring(before, after);
    expect(during.networks.map(({ name, domain }) => `${name} ${domain}`)).toEqual(['br0 new', 'old lxc']);
    expect(during).toMatchObject({ ipForwardBefore: '0', found: ['br0 a'] });
  });

  it('keeps what is needed to take the last network down until that is done', () => {
    const before = record({ networks: [network()], ipForwardBefore: '0', mangleMade: true });
    expect(recordDuring(before, record({ ipForwardBefore: '0' }))).toEqual(before);
  });

  it('is the record as it stands where nothing changes', () => {
    const before = record({ networks: [network()], ipForwardBefore: '0', found: ['br0 a'] });
    expect(JSON.stringify(recordDuring(before, before))).toBe(JSON.stringify(before));
  });
});

describe('forwarding', () => {
  const spec = { host: EMPTY_RECORD.host, networks: [network()], hooks: null };
  const none = { ...spec, networks: [] };
  const sysctl = (record: HostRecord, links: LinkFact[]) =>
    planHost(none, facts({ links, ipForward: '1' }), record).steps.filter((step) => step.kind === 'sysctl');
  const docker = link('docker0', { kind: 'bridge' });
  const recorded = (links: LinkFact[]) => {
    const before = facts({ links });
    return recordAfter(planHost(spec, before, EMPTY_RECORD), spec, before, EMPTY_RECORD);
  };

  it('goes back to what it was', () => {
    expect(sysctl(recorded([]), [link('br0', { kind: 'bridge', alias: ALIAS })])).toMatchObject([{ value: '0' }]);
    expect(sysctl(recorded([docker]), [docker])).toMatchObject([{ value: '0' }]);
  });

  it('stays for a bridge that came meanwhile', () => {
    expect(sysctl(recorded([]), [docker])).toEqual([]);
  });

  it('stays when it was on', () => {
    const before = facts({ ipForward: '1' });
    const record = recordAfter(planHost(spec, before, EMPTY_RECORD), spec, before, EMPTY_RECORD);
    expect(sysctl(record, [])).toEqual([]);
  });
});

it.each([
  [
    '/dev/stdin:3:5-8: Error: syntax error, unexpected string\ntcp dprt 80 drop\n    ^^^^\n',
    '2:5-8: syntax error, unexpected string',
  ],
  ['/dev/stdin:5:1-1: Error: syntax error, unexpected end of file\n', '2:1-1: syntax error, unexpected end of file'],
])("the admin's own rules: nft's words, by the lines of the file", (stderr, fault) => {
  expect(faultOf(stderr, 'accept\ntcp dprt 80 drop\n')).toBe(`/etc/nethooks/forward.nft:${fault}`);
});
