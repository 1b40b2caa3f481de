import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { NetworkConfig } from '../../src/model/config.ts';
import { FIREWALLD_DIRECT } from '../../src/model/paths.ts';
import type { RulesStep } from '../../src/model/step.ts';
import { foreignDrops } from '../../src/plan/host/filters/foreign.ts';
import { planFirewalld } from '../../src/plan/host/firewalld.ts';
import { parseRuleset } from '../../src/plan/host/nft-listing.ts';
import { checksumRule, planRules } from '../../src/plan/host/rules.ts';
import { facts, network } from './host-facts.ts';

const listing = (name: string): string => readFileSync(new URL(`listings/${name}`, import.meta.url), 'utf8');

/** What iptables-save would print after the steps. */
function applied(lines: string[], steps: RulesStep[]): string[] {
  const after = [...lines];
  for (const { action, rules } of steps)
    for (const { chain, match, number = 1, table } of rules) {
      if (table !== 'filter') continue;
      const inChain = after.flatMap((line, at) => (line.startsWith(`-A ${chain} `) ? [at] : []));
      const rule = `-A ${chain} ${match}`;
      if (action === 'delete') after.splice(after.indexOf(rule), 1);
      else after.splice(inChain[number - 1] ?? (inChain.at(-1) ?? after.length - 1) + 1, 0, rule);
    }
  return after;
}

describe('rules of ours beside those of others in iptables', () => {
  const networks = [network('br0')];
  const saved = (lines: string[]) => facts({ iptables: lines.map((line) => ({ table: 'filter', line })) });
  const plan = (lines: string[], nets: NetworkConfig[] = networks) => {
    const { steps, warnings } = planRules(nets, saved(lines));
    const rules = steps.filter((step) => step.kind === 'rules');
    return { after: applied(lines, rules), warnings, rules };
  };
  /** A chain's rules in short: ours without the tag, of the others what they jump to. */
  const chain = (name: string, lines: string[]): string[] =>
    lines
      .filter((line) => line.startsWith(`-A ${name} `))
      .map((line) => line.slice(`-A ${name} `.length).replace(' -m comment --comment nethooks', ''));

  const ufw = listing('ufw.txt').trimEnd().split('\n');

  it("ufw: in front of what refuses, behind the admin's own rules; what ufw lets through needs none", () => {
    const { after, warnings } = plan(ufw);
    expect(chain('INPUT', after)).toEqual([
      '-j ufw-before-input',
      // DHCP is refused by a rule of ufw-after-input.
      '-i br0 -p udp -m udp --dport 67 -j ACCEPT',
      '-j ufw-after-input',
      '-j ufw-reject-input',
      '-j ufw-track-input',
      '-i br0 -p udp -m udp --dport 53 -j ACCEPT',
      '-i br0 -p tcp -m tcp --dport 53 -j ACCEPT',
    ]);
    expect(chain('FORWARD', after)).toEqual([
      '-j ufw-before-forward',
      '-j ufw-after-forward',
      '-j ufw-reject-forward',
      '-j ufw-track-forward',
      // `ufw deny 8080`, for published ports.
      '-o br0 -p tcp -m conntrack --ctstate DNAT --ctorigdstport 8080 --ctdir ORIGINAL -j DROP',
      '-o br0 -p udp -m conntrack --ctstate DNAT --ctorigdstport 8080 --ctdir ORIGINAL -j DROP',
      '-i br0 -j ACCEPT',
      '-o br0 -m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT',
    ]);
    expect(warnings).toEqual([]);
    expect(plan(after).rules.filter(({ action }) => action !== 'append')).toEqual([]);
  });

  it('what its own settings let through needs no rule', () => {
    const allowed = [
      '-A ufw-user-input -i br0 -p udp -m udp --dport 67 -j ACCEPT',
      '-A ufw-user-input -i br0 -p udp -m udp --dport 53 -j ACCEPT',
      '-A ufw-user-input -i br0 -p tcp -m tcp --dport 53 -j ACCEPT',
      '-A ufw-user-forward -i br0 -j ACCEPT',
      '-A ufw-user-forward -d 10.0.0.0/24 -i eth0 -o br0 -j ACCEPT',
    ];
    const { after } = plan([...ufw.filter((line) => !line.includes('8080')), ...allowed]);
    expect(after.filter((line) => line.includes('nethooks'))).toEqual([]);
  });

  it.each([
    ['a rule behind which they are lost', '-A FORWARD -j REJECT --reject-with icmp-port-unreachable'],
    ['a chain that refuses everything', '-A FORWARD -j refuse'],
    ['a rule that only new connections meet', '-A FORWARD -m conntrack --ctstate NEW -j DROP'],
  ])('go in front of %s', (_what, refusal) => {
    const lines = [':FORWARD ACCEPT [0:0]', ':refuse - [0:0]', '-A FORWARD -s 192.0.2.7/32 -j DROP', refusal];
    const { after } = plan([...lines, '-A refuse -j DROP']);
    const forward = chain('FORWARD', after);
    expect(forward[0]).toBe('-s 192.0.2.7/32 -j DROP');
    expect(forward.at(-1)).toBe(refusal.slice('-A FORWARD '.length));
    expect(forward).toContain('-i br0 -j ACCEPT');
  });

  it.each([
    ['asks for another interface', '-A FORWARD -i eth7 -j DROP'],
    ['asks for any other', '-A FORWARD ! -i br0 ! -o br0 -j DROP'],
    ['asks for other addresses', '-A FORWARD -d 192.168.0.0/16 -j DROP'],
    ['asks for what is not understood', '-A FORWARD -m set --match-set banned src -j DROP'],
    ['only counts', '-A FORWARD -j LOG --log-prefix "DROP "'],
    ['leads to one that returns', '-A FORWARD -j back'],
  ])('are not needed for a rule that %s', (_what, rule) => {
    const lines = [
      ':INPUT ACCEPT [0:0]',
      ':FORWARD ACCEPT [0:0]',
      ':back - [0:0]',
      rule,
      '-A back -j RETURN',
      '-A back -j DROP',
    ];
    expect(plan(lines).after).toEqual(lines);
  });

  it('a refusal that names the bridge or its addresses stands, and is said', () => {
    const meant = '-A FORWARD -i br0 -j DROP';
    const { after, warnings } = plan([':FORWARD ACCEPT [0:0]', meant]);
    expect(after).toEqual([':FORWARD ACCEPT [0:0]', meant]);
    expect(warnings).toEqual(["iptables' chain FORWARD drops what containers of br0 begin, by a rule that means it"]);
  });

  it("follow the admin's rules: one that comes behind ours stands in front of them next time", () => {
    const before = plan([':FORWARD DROP [0:0]']).after;
    const denied = '-A FORWARD -d 198.51.100.9/32 -j DROP';
    const { after } = plan([...before, denied]);
    expect(chain('FORWARD', after)[0]).toBe(denied.slice('-A FORWARD '.length));
    expect(after).toHaveLength(before.length + 1);
  });

  it('what is let through before a refusal by port is let through for published ports as well', () => {
    const lines = [
      ':INPUT ACCEPT [0:0]',
      ':FORWARD ACCEPT [0:0]',
      '-A INPUT -s 192.0.2.0/24 -p tcp -m tcp --dport 8080 -j ACCEPT',
      '-A INPUT -p tcp -m multiport --dports 8080,9000 -j REJECT',
      '-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT',
      '-A INPUT -p tcp -m tcp --dport 0:65535 -j DROP',
    ];
    expect(chain('FORWARD', plan(lines).after)).toEqual([
      '-s 192.0.2.0/24 -o br0 -p tcp -m conntrack --ctstate DNAT --ctorigdstport 8080 --ctdir ORIGINAL -j ACCEPT',
      '-o br0 -p tcp -m conntrack --ctstate DNAT --ctorigdstport 8080 --ctdir ORIGINAL -j DROP',
      '-o br0 -p tcp -m conntrack --ctstate DNAT --ctorigdstport 9000 --ctdir ORIGINAL -j DROP',
    ]);
  });
});

describe("tables of nft that are somebody else's", () => {
  /** As `nft --json list ruleset` prints a table with one base chain. */
  const table = (hook: string, policy: string, exprs: object[][], more: object[] = [], family = 'inet') =>
    JSON.stringify({
      nftables: [
        { metainfo: {} },
        { table: { family, name: 'filter' } },
        { chain: { family, table: 'filter', name: hook, type: 'filter', hook, prio: 0, policy } },
        ...more,
        ...exprs.map((expr) => ({ rule: { family, table: 'filter', chain: hook, expr } })),
      ],
    });
  const drops = (others: string, values: Partial<NetworkConfig> = {}) =>
    foreignDrops([network('br0', values)], facts({ others }));
  const match = (left: object, right: unknown, op = '==') => ({ match: { op, left, right } });
  const meta = (key: string) => ({ meta: { key } });
  const payload = (protocol: string, field: string) => ({ payload: { protocol, field } });
  const [accept, drop] = [{ accept: null }, { drop: null }];
  const established = match({ ct: { key: 'state' } }, ['established', 'related'], 'in');

  it('that drop by policy are said, with the lines that they need', () => {
    expect(drops(table('forward', 'drop', [[established, accept]]))).toEqual([
      'table inet filter, chain forward drops what containers of br0 begin, answers and published ports of br0; no other table can let ' +
        'it through. Add to that chain: iifname "br0" accept; oifname "br0" ct state established,related accept; ' +
        'oifname "br0" ct status dnat accept',
    ]);
  });

  it.each([
    [
      'those lines',
      [
        [match(meta('iifname'), 'br0'), accept],
        [match({ ct: { key: 'status' } }, 'dnat', 'in'), accept],
        [established, accept],
      ],
    ],
    [
      'a name with a star',
      [
        [match(meta('iifname'), 'br*'), accept],
        [match(meta('oifname'), 'br*'), accept],
      ],
    ],
    [
      'a set',
      [
        [match(meta('iifname'), { set: ['br0', 'lo'] }), accept],
        [match(meta('oifname'), '@ours'), accept],
      ],
    ],
    [
      'addresses',
      [
        [match(payload('ip', 'saddr'), { prefix: { addr: '10.0.0.0', len: 8 } }), accept],
        [match(payload('ip', 'daddr'), { prefix: { addr: '10.0.0.0', len: 24 } }), accept],
      ],
    ],
    [
      'a verdict map',
      [
        [
          {
            vmap: {
              key: meta('iifname'),
              data: {
                set: [
                  ['br0', accept],
                  ['eth0', { jump: { target: 'in' } }],
                ],
              },
            },
          },
        ],
      ],
    ],
  ])('that let it through by %s are not', (_what, exprs) => {
    const more = [
      { set: { family: 'inet', table: 'filter', name: 'ours', type: 'ifname', elem: ['br0'] } },
      { chain: { family: 'inet', table: 'filter', name: 'in' } },
      { rule: { family: 'inet', table: 'filter', chain: 'in', expr: [match(meta('oifname'), 'br0'), accept] } },
    ];
    expect(drops(table('forward', 'drop', exprs, more))).toEqual([]);
  });

  it.each([
    ['other ports', [[match(payload('tcp', 'dport'), { set: [22, 53] }), accept]], 'DNS of br0, DHCP of br0'],
    ['a range', [[match(payload('udp', 'dport'), { range: [50, 70] }), accept]], 'DNS over TCP of br0'],
    [
      'IPv6',
      [
        [match(meta('nfproto'), 'ipv6'), accept],
        [match(payload('ip6', 'saddr'), 'fe80::1'), accept],
      ],
      'DNS of br0, DNS over TCP of br0, DHCP of br0',
    ],
  ])('input that lets only %s through', (_what, exprs, what) => {
    const [warning = ''] = drops(table('input', 'drop', exprs));
    expect(warning).toContain(`chain input drops ${what};`);
  });

  it('a rule of which not everything is understood decides nothing', () => {
    expect(
      drops(
        table('forward', 'accept', [
          [{ xt: null }, drop],
          [match(payload('ip', 'dscp'), 8), drop],
          [{ limit: {} }, drop],
        ]),
      ),
    ).toEqual([]);
  });

  it("a bridge's own hooks", () => {
    expect(drops(table('forward', 'drop', [], [], 'bridge'), { icc: true })[0]).toContain('meta ibrname "br0" accept');
    expect(drops(table('forward', 'drop', [], [], 'bridge'), { icc: false })).toEqual([]);
  });

  it('are asked about only where they may drop something', () => {
    const own = 'table inet nethooks {\n\tset bridges {\n\t\ttype ifname\n\t}\n}\n';
    const harmless =
      'table inet lxc {\n\tchain forward {\n\t\ttype filter hook forward priority filter; policy accept;\n\t\taccept\n\t}\n}\n';
    expect(parseRuleset(harmless + own)).toEqual({ own, zoned: null, dropping: [] });
    expect(parseRuleset(own + harmless.replace('policy accept', 'policy drop')).dropping).toEqual(['inet lxc']);
  });
});

describe('firewalld', () => {
  const networks = [network('br0')];
  const files = (steps: ReturnType<typeof planFirewalld>): Record<string, string | null> =>
    Object.fromEntries(
      steps.flatMap((step) => (step.kind === 'file' ? [[step.path, step.content as string | null]] : [])),
    );
  const kinds = (steps: ReturnType<typeof planFirewalld>) => steps.map(({ kind }) => kind);

  const [family, name] = ['inet', 'firewalld'];
  const rejecting = JSON.stringify({
    nftables: [
      {
        chain: { family, table: name, name: 'filter_INPUT', type: 'filter', hook: 'input', prio: 10, policy: 'accept' },
      },
      { rule: { family, table: name, chain: 'filter_INPUT', expr: [{ reject: {} }] } },
    ],
  });

  it('is not spoken of where it is not installed', () => {
    expect(planFirewalld(networks, facts())).toEqual([]);
  });

  it('has our files when it starts; while it runs it is told to read them', () => {
    const stopped = planFirewalld(networks, facts({ firewalld: { zoned: null } }));
    expect(kinds(stopped)).toEqual(['file', 'file']);
    expect(kinds(planFirewalld(networks, facts({ firewalld: { zoned: [] } })))).toEqual(['file', 'file', 'neighbour']);
    const there = { files: files(stopped) };
    expect(planFirewalld(networks, facts({ ...there, firewalld: { zoned: ['br0'] } }))).toEqual([]);
    // Somebody took the interface out.
    const taken = { ...there, firewalld: { zoned: [] } };
    expect(kinds(planFirewalld(networks, facts({ ...taken, others: rejecting })))).toEqual(['neighbour']);
    // Where nothing is dropped there is no reason, however its rules are made.
    expect(planFirewalld(networks, facts(taken))).toEqual([]);
  });

  it('that drops although the bridge is in the zone has been told to: it is said, and not told to read its files each time', () => {
    const zoned = { firewalld: { zoned: ['br0'] }, others: rejecting };
    expect(planFirewalld(networks, facts({ ...zoned, files: files(planFirewalld(networks, facts(zoned))) }))).toEqual(
      [],
    );
    expect(foreignDrops(networks, facts(zoned))).toEqual([
      'firewalld drops DNS of br0, DNS over TCP of br0, DHCP of br0, by rules of its own',
    ]);
    expect(foreignDrops(networks, facts({ ...zoned, firewalld: { zoned: [] } }))).toEqual([]);
  });

  it.each(['', ' # progname firewalld'])('is seen by its table, however nft prints that: {%s', (owner) => {
    const chain = '\tchain filter_INPUT_ZONES {\n\t\tiifname "br0" goto filter_IN_nethooks\n\t}\n';
    expect(parseRuleset(`table inet firewalld {${owner}\n\tflags owner\n\n${chain}}\n`).zoned).toEqual(['br0']);
  });

  it("keeps the admin's direct rules as they are, and goes without a trace", () => {
    const theirs =
      '<?xml version="1.0" encoding="utf-8"?>\n<direct>\n  <rule ipv="ipv4" table="filter" chain="INPUT" priority="0">-j ACCEPT</rule>\n</direct>\n';
    const firewalld = { zoned: null };
    const with_ = files(planFirewalld(networks, facts({ firewalld, files: { [FIREWALLD_DIRECT]: theirs } })));
    expect(with_[FIREWALLD_DIRECT]).toBe(
      theirs.replace(
        '</direct>',
        `  <rule ipv="ipv4" table="mangle" chain="POSTROUTING" priority="0">${checksumRule('br0').match}</rule>\n</direct>`,
      ),
    );
    expect(files(planFirewalld([], facts({ firewalld, files: with_ })))[FIREWALLD_DIRECT]).toBe(theirs);
    const alone = files(planFirewalld(networks, facts({ firewalld })));
    expect(Object.values(files(planFirewalld([], facts({ firewalld, files: alone }))))).toEqual([null, null]);
  });

  it('lets others begin only where a network is routed or trusts an interface', () => {
    const routed = planFirewalld([network('br0', { routed: true })], facts({ firewalld: { zoned: null } }));
    expect(Object.keys(files(routed))).toContain('/etc/firewalld/policies/nethooks-in.xml');
  });
});
