import { describe, expect, it } from 'vitest';
import { NethooksError } from '../../src/errors.ts';
import { CLOSED, type NetworkConfig } from '../../src/model/config.ts';
import type { HostFacts, LinkFact } from '../../src/model/facts.ts';
import { elementsAbout, elementsOf, type Policy } from '../../src/model/policy.ts';
import { parseExpose, parsePortSpec } from '../../src/model/ports.ts';
import { linkTo } from '../../src/plan/attachment/link.ts';
import { exposedPorts, type PublishSpec, wantedPorts } from '../../src/plan/attachment/publish.ts';
import { antispoofWarnings } from '../../src/plan/host/antispoof.ts';
import { planFirewall, planFirewallDown } from '../../src/plan/host/firewall.ts';
import { planIsolation } from '../../src/plan/host/isolation.ts';
import { parseListing, TABLE } from '../../src/plan/host/nft-listing.ts';
import { forgetConnections, parseTracked, translatedTo } from '../../src/system/connections.ts';
import type { Exec } from '../../src/system/exec.ts';

const spec = (publish: string[], rest: Partial<PublishSpec> = {}): PublishSpec => ({
  publish: publish.map(parsePortSpec),
  expose: [],
  publishAll: false,
  publishAddress: '0.0.0.0',
  ...rest,
});
/** `ADDRESS:HOST-PORTS -> CONTAINER-PORT/PROTOCOL`. */
const asked = (publish: string[], rest: Partial<PublishSpec> = {}) =>
  wantedPorts(spec(publish, rest)).map(
    ({ hostAddress, hostPorts, containerPort, protocol }) =>
      `${hostAddress ?? '*'}:${hostPorts?.join() ?? '?'} -> ${containerPort}/${protocol}`,
  );

describe('wantedPorts', () => {
  it.each<[string[], string[]]>([
    [['8080:80'], ['*:8080 -> 80/tcp']],
    [['80'], ['*:? -> 80/tcp']],
    [['192.0.2.2::80/udp'], ['192.0.2.2:? -> 80/udp']],
    [['8000-8001:90-91'], ['*:8000 -> 90/tcp', '*:8001 -> 91/tcp']],
    [['8000-8002:90'], ['*:8000,8001,8002 -> 90/tcp']],
    [['90-91'], ['*:? -> 90/tcp', '*:? -> 91/tcp']],
    [
      ['53:53', '53:53/udp'],
      ['*:53 -> 53/tcp', '*:53 -> 53/udp'],
    ],
    [
      ['127.0.0.1:80:80', '192.0.2.2:80:81'],
      ['127.0.0.1:80 -> 80/tcp', '192.0.2.2:80 -> 81/tcp'],
    ],
  ])('%j', (publish, wanted) => {
    expect(asked(publish)).toEqual(wanted);
  });

  it('publish-all adds what is exposed and not published yet', () => {
    const expose = ['80', '81', '53/udp', '81'].flatMap(parseExpose);
    expect(asked(['8080:80'], { expose, publishAll: true })).toEqual([
      '*:8080 -> 80/tcp',
      '*:? -> 81/tcp',
      '*:? -> 53/udp',
    ]);
    expect(exposedPorts(spec(['8080:80'], { expose }))).toHaveLength(3);
  });

  it("the host's publish-address stands in where none is said, 0.0.0.0 says all", () => {
    const expose = parseExpose('82');
    expect(asked(['80', '0.0.0.0::81'], { publishAddress: '127.0.0.1', publishAll: true, expose })).toEqual([
      '127.0.0.1:? -> 80/tcp',
      '*:? -> 81/tcp',
      '127.0.0.1:? -> 82/tcp',
    ]);
  });

  it.each([
    [['[::1]:80:80'], 'publish [::1]:80:80: IPv6 is not supported yet'],
    [['8080:80', '8080:81'], 'publish 8080:81: host port 8080/tcp is asked for twice, by 8080:80 too'],
    [['8080:80', '127.0.0.1:8080:81'], 'publish 127.0.0.1:8080:81: host port 8080/tcp is asked for twice'],
    [['8000-8005:8000-8005', '8003:80'], 'publish 8003:80: host port 8003/tcp is asked for twice'],
  ])('refuses %j', (publish, words) => {
    expect(() => asked(publish)).toThrow(words);
  });
});

describe('linkTo', () => {
  const child = (...places: [string, string][]) => ({
    name: 'db',
    places: places.map(([network, address]) => ({ network, address })),
    exposed: parseExpose('5432'),
  });
  const parent = [
    { network: 'br0', address: '10.0.0.2' },
    { network: 'br1', address: '10.1.0.2' },
  ];
  it('goes over a network of both, else between their first addresses, else nowhere', () => {
    expect(linkTo(parent, child(['br1', '10.1.0.3']), 'x')).toMatchObject({ from: '10.1.0.2', to: '10.1.0.3' });
    expect(linkTo(parent, child(['br2', '10.2.0.3']), 'x')).toMatchObject({ from: '10.0.0.2', to: '10.2.0.3' });
    expect(linkTo(parent, child(), 'x')).toBeNull();
    expect(linkTo([], child(['br0', '10.0.0.3']), 'x')).toBeNull();
  });
});

const policy: Policy = {
  network: 'br0',
  address: '10.0.0.2',
  port: null,
  isolated: [],
  publish: [
    { protocol: 'tcp', hostAddress: null, hostPort: 8080, containerPort: 80 },
    { protocol: 'udp', hostAddress: '127.0.0.1', hostPort: 53, containerPort: 5353 },
  ],
  links: ['db', 'database'].map((alias) => ({
    container: 'db',
    alias,
    from: '10.0.0.2',
    to: '10.0.0.3',
    ports: parseExpose('5432'),
  })),
  exposed: [],
  masquerade: [],
};

it('elementsOf: what nft prints; two aliases are one permission', () => {
  expect(elementsOf(policy)).toEqual({
    published: ['tcp . 8080 : 10.0.0.2 . 80'],
    published_at: ['127.0.0.1 . udp . 53 : 10.0.0.2 . 5353'],
    links: ['10.0.0.2 . 10.0.0.3 . tcp . 5432'],
    limited: [],
    publish_from: [],
    confined: [],
    egress: [],
    egress_ports: [],
    sources: [],
    masqueraded: [],
    masqueraded6: [],
    local: [],
    local6: [],
    ports: [],
    port_macs: [],
    senders: [],
    apart: [],
    taken_macs: [],
    taken: [],
  });
  const sender = { port: 12, mac: '02:6e:0a:00:00:02', addresses: ['10.0.0.2', '10.0.0.9'] };
  const sent = {
    ports: ['12'],
    port_macs: ['12 . 02:6e:0a:00:00:02'],
    senders: ['12 . 02:6e:0a:00:00:02 . 10.0.0.2', '12 . 02:6e:0a:00:00:02 . 10.0.0.9'],
  };
  expect(elementsOf({ ...policy, senders: [{ ...sender, apart: false }] })).toMatchObject({
    ...sent,
    apart: [],
    taken: [],
  });
  const apart = elementsOf({ ...policy, senders: [{ ...sender, apart: true }] });
  expect(apart).toMatchObject({ ...sent, apart: ['12'], taken_macs: [sender.mac], taken: sender.addresses });
  // With an address goes the port that sends with it.
  expect(elementsAbout(['10.0.0.9'], apart)).toMatchObject({ ...sent, apart: ['12'], published: [] });
  expect(elementsAbout(['10.0.0.7'], apart)).toEqual(elementsOf());
  expect(elementsOf({ ...policy, source: { from: ['10.0.0.2'], to: '192.0.2.9' } })).toMatchObject({
    sources: ['10.0.0.2 : 192.0.2.9'],
  });
  const to = [
    { subnet: '192.0.2.0/24', port: 443 },
    { subnet: '198.51.100.1/32', port: null },
  ];
  expect(elementsOf({ ...policy, egress: { from: ['10.0.0.2', '10.1.0.2'], to } })).toMatchObject({
    confined: ['10.0.0.2', '10.1.0.2'],
    egress: ['10.0.0.2 . 198.51.100.1', '10.1.0.2 . 198.51.100.1'],
    egress_ports: [
      '10.0.0.2 . 192.0.2.0/24 . tcp . 443',
      '10.0.0.2 . 192.0.2.0/24 . udp . 443',
      '10.1.0.2 . 192.0.2.0/24 . tcp . 443',
      '10.1.0.2 . 192.0.2.0/24 . udp . 443',
    ],
  });
  expect(elementsOf({ ...policy, publishFrom: ['192.0.2.0/24', '198.51.100.1/32'] })).toMatchObject({
    limited: ['10.0.0.2'],
    publish_from: ['10.0.0.2 . 192.0.2.0/24', '10.0.0.2 . 198.51.100.1'],
  });
});

const network = (name: string, index: number, icc = true) =>
  ({ ...CLOSED, name, subnet: `10.${index}.0.0/24`, uplinks: '*', masquerade: true, icc }) as unknown as NetworkConfig;
const bridge = (name: string, filtersBridged: boolean, alias = 'nethooks') =>
  ({ name, alias, filtersBridged, up: true }) as LinkFact;
const facts = (rest: Partial<HostFacts>) =>
  ({
    links: [],
    nft: null,
    antispoof: { supported: true, noted: {} },
    attached: [],
    bridgeNetfilter: true,
    policies: [],
    unsure: [],
    localnet: { on: [], noted: [] },
    ...rest,
  }) as unknown as HostFacts;
const script = (networks: NetworkConfig[], given: Partial<HostFacts>): string =>
  planFirewall(networks, facts(given))
    .map((step) => (step.kind === 'nft' ? step.script : ''))
    .join('');

describe('the table', () => {
  const fresh = script([network('br0', 0)], {});
  it('has the same rules with a thousand ports and links as with none', () => {
    const many = Array.from({ length: 1000 }, (_, index) => ({
      ...policy,
      publish: [{ protocol: 'tcp' as const, hostAddress: null, hostPort: 10_000 + index, containerPort: 80 }],
      links: [{ ...(policy.links[0] as Policy['links'][0]), from: `10.0.${index >> 8}.${index & 255}` }],
    }));
    const rules = (text: string) => text.split('\n').filter((line) => line.startsWith('add rule'));
    const full = script([network('br0', 0)], { policies: many });
    expect(rules(full)).toEqual(rules(fresh));
    expect(full).toContain('tcp . 10999 : 10.0.0.2 . 80');
  });

  it("puts back what running containers lack, drops what is nobody's, and other networks' containers", () => {
    const listing = `table inet nethooks {
\tmap published {
\t\ttype inet_proto . inet_service : ipv4_addr . inet_service
\t\telements = { tcp . 9 : 10.0.0.9 . 9,
\t\t\t     tcp . 8080 : 10.0.0.2 . 80 }
\t}
}`;
    const text = script([network('br0', 0)], {
      nft: listing,
      policies: [policy, { ...policy, network: 'br9', address: '10.9.0.9' }],
    });
    expect(text).toContain(`delete element ${TABLE} published { tcp . 9 : 10.0.0.9 . 9 }`);
    expect(text).not.toContain(`add element ${TABLE} published {`);
    expect(text).not.toContain('10.9.0.9');
    expect(text).toContain(`add element ${TABLE} links { 10.0.0.2 . 10.0.0.3 . tcp . 5432 }`);
  });

  it('knows its rules in the words of older versions of nft', () => {
    const rules = (words: string) =>
      `\tchain output {\n\t\ttype nat hook output priority -100; policy accept;\n\t\t${words}\n\t}\n`;
    const old = parseListing(
      rules('fib daddr type local dnat ip addr . port to meta l4proto . th dport map @published'),
    );
    expect(old).toEqual(parseListing(rules('fib daddr type local dnat ip to meta l4proto . th dport map @published')));
    expect(fresh).toContain('dnat ip addr . port to'); // which all of them read
  });
});

describe('antispoof', () => {
  const checking = { ...network('br0', 0, false), antispoof: true };
  const attached = (count: number): HostFacts['attached'] =>
    Array.from({ length: count }, (_, index) => [
      {
        driver: 'none',
        network: 'br0',
        port: 10 + index,
        mac: 'AA:00:00:00:00:01',
        addresses: [`10.0.${index >> 8}.${index & 255}/16`],
      },
    ]) as unknown as HostFacts['attached'];
  const noted = { supported: true, noted: { br0: 'apart' } } as const;

  it('is a second table with the same rules for a thousand containers as for none; where nobody asks for it, it is not there', () => {
    const rules = (text: string) => text.split('\n').filter((line) => line.startsWith('add rule bridge'));
    const [none, full] = [script([checking], {}), script([checking], { attached: attached(1000) })];
    expect(rules(none).length).toBeGreaterThan(10);
    expect(rules(full)).toEqual(rules(none));
    expect(full).toContain('1009 . aa:00:00:00:00:01 . 10.0.3.231');
    expect(script([network('br0', 0, false)], { attached: attached(10) })).not.toContain('bridge nethooks');
  });

  it('is noted for hooks, and taken back with the network, but for a bridge that containers are still on', () => {
    const steps = (networks: NetworkConfig[], more: Partial<HostFacts>) =>
      planFirewall(networks, facts(more)).flatMap((step) => (step.kind === 'file' ? [[step.path, step.content]] : []));
    const note = '/run/nethooks/antispoof/br0';
    expect(steps([checking], {})).toEqual([[note, 'apart']]);
    expect(steps([{ ...checking, icc: true }], {})).toEqual([[note, 'own']]);
    expect(steps([network('br0', 0)], { antispoof: noted })).toEqual([[note, null]]);
    const nft = 'table bridge nethooks {\n}\n';
    expect(script([network('br0', 0)], { antispoof: noted, nft })).toContain('delete table bridge nethooks');
    const down = (links: LinkFact[]) =>
      planFirewallDown(facts({ nft, antispoof: noted, links, attached: attached(1) }));
    expect(JSON.stringify(down([{ name: 'veth0', master: 'br0' } as LinkFact]))).toMatch(
      /10 \. aa:00:00:00:00:01 \. 10\.0\.0\.0/,
    );
    expect(down([])).toMatchObject([
      { script: expect.stringContaining('delete table bridge nethooks') },
      { path: note },
    ]);
  });

  it('is a warning where nft cannot do it, and nothing else', () => {
    const unsupported = { antispoof: { supported: false, noted: {} } };
    expect(script([checking], unsupported)).not.toContain('bridge nethooks');
    expect(antispoofWarnings([checking], facts(unsupported))).toEqual([
      expect.stringContaining('network br0: its containers can'),
    ]);
    expect(antispoofWarnings([network('br1', 1)], facts(unsupported))).toEqual([]);
  });
});

it('source: one map for networks, one for containers, in front of masquerading', () => {
  const text = script([{ ...network('br0', 0), source: '192.0.2.9' }], {
    policies: [{ ...policy, source: { from: ['10.0.0.2'], to: '192.0.2.10' } }],
  });
  expect(text).toContain(`add element ${TABLE} network_sources { 10.0.0.0/24 : 192.0.2.9 }`);
  expect(text).toContain(`add element ${TABLE} sources { 10.0.0.2 : 192.0.2.10 }`);
  expect(text).toMatch(
    /leave snat ip to ip saddr map @sources\n.*leave snat ip to ip saddr map @network_sources\n.*leave masquerade/,
  );
});

describe('planIsolation', () => {
  it.each<[string, NetworkConfig, LinkFact[], boolean, unknown[]]>([
    ['nothing with icc', network('br0', 0), [bridge('br0', false)], true, []],
    ['nothing when done', network('br0', 0, false), [bridge('br0', true)], true, []],
    [
      'the bridge hands packets over',
      network('br0', 0, false),
      [bridge('br0', false)],
      true,
      [
        {
          kind: 'ip',
          commands: ['link set dev br0 type bridge nf_call_iptables 1 nf_call_ip6tables 1'],
          undo: ['link set dev br0 type bridge nf_call_iptables 0 nf_call_ip6tables 0'],
        },
      ],
    ],
    [
      'the module first; a bridge that is made now goes when it is taken back',
      network('br0', 0, false),
      [],
      false,
      [
        { kind: 'bridge-netfilter' },
        { kind: 'ip', commands: ['link set dev br0 type bridge nf_call_iptables 1 nf_call_ip6tables 1'], undo: [] },
      ],
    ],
    [
      'back to unseen',
      network('br0', 0),
      [bridge('br0', true)],
      true,
      [
        {
          kind: 'ip',
          commands: ['link set dev br0 type bridge nf_call_iptables 0 nf_call_ip6tables 0'],
          undo: ['link set dev br0 type bridge nf_call_iptables 1 nf_call_ip6tables 1'],
        },
      ],
    ],
    ["not on somebody else's bridge", network('br0', 0), [bridge('br0', true, '')], true, []],
  ])('%s', (_, wanted, links, bridgeNetfilter, steps) => {
    expect(planIsolation([wanted], facts({ links, bridgeNetfilter }))).toEqual(steps);
  });
});

describe('what goes down while containers run', () => {
  const listing = 'table inet nethooks {\n\tset isolated {\n\t\ttype ifname\n\t\telements = { "br0" }\n\t}\n';
  const port = { name: 'veth0', master: 'br0' } as LinkFact;
  const down = (links: LinkFact[], rest: Partial<HostFacts> = {}) =>
    planFirewallDown(facts({ nft: listing, links, ...rest })).map((step) =>
      step.kind === 'nft' ? step.script : step.kind === 'ip' ? step.commands.join() : `${step.kind}`,
    );

  it('stays apart, and is forgotten with the last of them', () => {
    expect(down([bridge('br0', true), port]).join()).not.toContain('delete');
    expect(down([bridge('br0', true), port]).join()).toContain('add chain inet nethooks forward');
    expect(down([bridge('br0', true)])).toEqual([`add table ${TABLE}\ndelete table ${TABLE}\n`]);
  });

  it("and other networks stay do not make them meet; somebody else's bridge is left as it was", () => {
    expect(script([network('br1', 1)], { nft: listing, links: [bridge('br0', true), port] })).not.toContain('delete');
    expect(script([network('br1', 1)], { nft: listing, links: [bridge('br0', true)] })).toContain(
      `delete element ${TABLE} isolated { "br0" }`,
    );
    expect(down([bridge('br0', true, '')])).toContain(
      'link set dev br0 type bridge nf_call_iptables 0 nf_call_ip6tables 0',
    );
  });

  it('gives route_localnet back on a bridge that stays', () => {
    expect(down([bridge('br0', false)], { localnet: { on: ['br0'], noted: ['br0'] } })).toEqual([
      expect.any(String),
      'sysctl',
      'file',
    ]);
    expect(down([], { localnet: { on: [], noted: ['br0'] } })).toEqual([expect.any(String), 'file']);
    expect(script([network('br0', 0)], { localnet: { on: ['br0'], noted: ['br0'] } })).toBe(
      script([network('br0', 0)], {}),
    );
  });
});

it('without conntrack, connections last and that is said', () => {
  const said: string[] = [];
  const exec = Object.assign(
    () => {
      throw new NethooksError('conntrack is not installed');
    },
    { start: () => Promise.reject() },
  );
  forgetConnections(exec as unknown as Exec, policy, null, (line) => said.push(line));
  expect(said).toEqual([expect.stringContaining('may last until they time out: conntrack is not installed')]);
});

it('parseTracked reads what conntrack prints', () => {
  const listing = `tcp      6 431999 ESTABLISHED src=192.0.2.1 dst=192.0.2.2 sport=4000 dport=8080 src=10.0.0.2 dst=192.0.2.1 sport=80 dport=4000 [ASSURED] mark=0 use=1
udp      17 29 src=192.0.2.1 dst=192.0.2.2 sport=4001 dport=53 [UNREPLIED] src=10.0.0.2 dst=192.0.2.1 sport=5353 dport=4001 mark=0 use=1
icmp     1 29 src=192.0.2.1 dst=192.0.2.2 type=8 code=0 id=1 src=192.0.2.2 dst=192.0.2.1 type=0 code=0 id=1 mark=0 use=1
`;
  expect(parseTracked(listing).map((t) => [t.protocol, t.destinationPort, t.replySource, t.replySourcePort])).toEqual([
    ['tcp', 8080, '10.0.0.2', 80],
    ['udp', 53, '10.0.0.2', 5353],
  ]);
  const outward = 'src=10.0.0.3 dst=192.0.2.1 type=8 code=0 id=1 src=192.0.2.1 dst=192.0.2.9 type=0 code=0 id=1 mark=0';
  expect(translatedTo(`${listing}icmp 1 29 ${outward}\nicmp 1 28 ${outward}\n`)).toEqual(['192.0.2.9']);
});
