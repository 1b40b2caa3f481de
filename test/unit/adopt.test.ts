import { describe, expect, it } from 'vitest';
import {
  type AdoptSpec,
  adopted,
  hookWords,
  type Mode,
  modeOf,
  originalOf,
  overridingLine,
  parseMode,
  regainingLine,
  shares,
} from '../../src/frontend/lxc/adopt.ts';
import { setKey } from '../../src/plan/ini-edit.ts';
import { withBlock } from '../../src/plan/marked-block.ts';

const HOOKS = '/usr/lib/nethooks/lxc';
const OURS = ['start-host', 'post-stop', 'clone', 'destroy'].map((hook) => `lxc.hook.${hook} = ${HOOKS}/${hook}`);
const networks = [
  { name: 'br0', subnet: '10.0.0.0/24' },
  { name: 'br1', subnet: '10.1.0.0/24' },
];
const spec = (mode: Mode | null = null, more: Partial<AdoptSpec> = {}): AdoptSpec => ({
  mode,
  fallback: 'br0',
  networks,
  nics: {},
  hooks: HOOKS,
  include: null,
  netAdmin: false,
  ...more,
});
const bridge = (network: string | null = null): Mode => ({ kind: 'bridge', network });
const lines = (text: string, asked: AdoptSpec, read: (path: string) => string | null = () => null): string[] =>
  adopted(text, asked, read).slice(text.length).split('\n').slice(1, -2);

const veth = (...more: string[]): string => ['lxc.net.0.type = veth', ...more, ''].join('\n');
const VERSION = 'lxc.hook.version = 1';

describe('an LXC configuration', () => {
  it.each([
    [
      'another bridge',
      veth('lxc.net.0.link = lxcbr0', 'lxc.net.0.flags = up'),
      spec(),
      ['lxc.net.0.link = br0', VERSION, ...OURS],
    ],
    ['one of ours, without hooks', veth('lxc.net.0.link = br1', 'lxc.net.0.flags = up'), spec(), [VERSION, ...OURS]],
    ['one that is down', veth('lxc.net.0.link = br1'), spec(), ['lxc.net.0.flags = up', VERSION, ...OURS]],
    [
      'none at all',
      'lxc.uts.name = x\n',
      spec(),
      ['lxc.net.0.type = veth', 'lxc.net.0.link = br0', 'lxc.net.0.flags = up', VERSION, ...OURS],
    ],
    ['no veth is left alone', 'lxc.net.0.type = phys\nlxc.net.0.link = eth1\n', spec(), [VERSION, ...OURS]],
    [
      'no veth, but asked for',
      'lxc.net.0.type = empty\n',
      spec(bridge()),
      ['lxc.net.0.type = veth', 'lxc.net.0.link = br0', 'lxc.net.0.flags = up', VERSION, ...OURS],
    ],
    [
      'other hooks keep their version',
      veth('lxc.net.0.link = br0', 'lxc.net.0.flags = up', 'lxc.hook.mount = /x'),
      spec(),
      OURS,
    ],
    [
      'a named network',
      veth('lxc.net.0.link = br0', 'lxc.net.0.flags = up', ...OURS),
      spec(bridge('br1')),
      ['lxc.net.0.link = br1'],
    ],
    ['none', veth('lxc.net.0.link = br0', ...OURS), spec({ kind: 'none' }), ['lxc.net =', 'lxc.net.0.type = empty']],
    [
      "the host's",
      veth('lxc.net.0.link = br0', ...OURS),
      spec({ kind: 'host' }),
      ['lxc.net =', 'lxc.net.0.type = none', 'lxc.cap.drop = net_admin'],
    ],
    [
      "another container's",
      veth(...OURS),
      spec({ kind: 'container', name: 'db' }),
      [
        'lxc.net =',
        'lxc.namespace.share.net = db',
        'lxc.cap.drop = net_admin',
        `lxc.hook.pre-start = ${HOOKS}/pre-start`,
      ],
    ],
    [
      'no longer shared',
      veth('lxc.net.0.link = br0', 'lxc.net.0.flags = up', 'lxc.namespace.share.net = db', ...OURS),
      spec(bridge()),
      ['lxc.namespace.share.net ='],
    ],
    [
      'shared, and nothing said about that',
      veth('lxc.net.0.link = lxcbr0', 'lxc.namespace.share.net = "db"', ...OURS),
      spec(),
      [],
    ],
    [
      'a further interface',
      veth('lxc.net.0.link = br0', 'lxc.net.0.flags = up', ...OURS),
      spec(null, { nics: { 1: 'br1' } }),
      ['lxc.net.1.type = veth', 'lxc.net.1.link = br1', 'lxc.net.1.flags = up'],
    ],
    [
      "addresses of another network's",
      veth(
        'lxc.net.0.link = lxcbr0',
        'lxc.net.0.flags = up',
        'lxc.net.0.ipv4.address = 192.168.1.5/24',
        'lxc.net.0.ipv4.gateway = auto',
        ...OURS,
      ),
      spec(),
      ['lxc.net.0.link = br0', 'lxc.net.0.ipv4.address =', 'lxc.net.0.ipv4.gateway ='],
    ],
    [
      'an environment',
      veth('lxc.net.0.link = br0', 'lxc.net.0.flags = up', ...OURS),
      spec(null, { include: '/x.conf' }),
      ['lxc.include = /x.conf'],
    ],
  ])('%s', (_what, text, asked, expected) => {
    expect(lines(text, asked)).toEqual(expected);
  });

  it('that lacks nothing stays as it is', () => {
    const text = veth('lxc.net.0.link = br0', 'lxc.net.0.flags = up', ...OURS.map((line) => `${line} --publish 80:80`));
    expect(adopted(text, spec(), () => null)).toBe(text);
  });

  it('may have our hooks from an include', () => {
    const text = veth('lxc.net.0.link = br0', 'lxc.net.0.flags = up', 'lxc.include = /common');
    expect(adopted(text, spec(), (path) => (path === '/common' ? OURS.join('\n') : null))).toBe(text);
  });

  it.each(['lxc.network.type = veth\n', 'lxc.uts.name = x\r\n\t lxc.network.type = veth\r\n'])(
    'of LXC before 2.1 is refused: %j',
    (text) => {
      expect(() => adopted(text, spec(), () => null)).toThrow('lxc-update-config');
    },
  );

  it.each([
    ['quoted', (line: string) => line.replace(/ = (.*)/, ' = "$1"')],
    ['in single quotes', (line: string) => line.replace(/ = (.*)/, " = '$1'")],
    ['with a carriage return', (line: string) => `${line}\r`],
    ['indented, without blanks around =', (line: string) => `\t${line.replace(' = ', '=')}`],
  ])('may have its lines %s', (_how, written) => {
    const all = ['lxc.net.0.type = veth', 'lxc.net.0.link = br0', 'lxc.net.0.flags = up', ...OURS];
    const text = `${all.map(written).join('\n')}\n`;
    expect(adopted(text, spec(), () => null)).toBe(text);
    const included = `${written('lxc.include = /common')}\n`;
    expect(adopted(included, spec(), (path) => (path === '/common' ? text : null))).toBe(included);
    const share = `${written('lxc.namespace.share.net = db')}\n`;
    expect(shares(share, () => null)).toBe('db');
    expect(shares(`${share}${written('lxc.namespace.share.net = ')}\n`, () => null)).toBeNull();
    expect(hookWords(`${written(`${OURS[0]} -p 80:80`)}\n`, () => null)).toEqual(['-p', '80:80']);
  });

  it('has no hook of ours when a later line has cleared it, as an empty value does', () => {
    const text = veth('lxc.net.0.link = br0', 'lxc.net.0.flags = up', ...OURS, 'lxc.hook.post-stop =');
    expect(lines(text, spec())).toEqual([OURS[1]]);
    expect(lines(`${text}lxc.hook =\n`, spec())).toEqual([VERSION, ...OURS]);
    expect(hookWords(`${OURS[0]} -p 80:80\nlxc.hook.start-host =\n${OURS[0]} -p 81:81\n`, () => null)).toEqual([
      '-p',
      '81:81',
    ]);
  });

  it.each([
    veth('lxc.net.0.link = lxcbr0'),
    'lxc.uts.name = x',
    '',
    withBlock(veth(), ['lxc.net.0.link = br0', ...OURS]),
    `${withBlock(veth(), OURS)}lxc.tty.max = 1\n`,
    veth('lxc.net.0.link = lxcbr0').replaceAll('\n', '\r\n'),
    'lxc.uts.name = x\r\nlxc.tty.max = 1',
    `${withBlock(veth(), OURS)}lxc.tty.max = 1\n`.replaceAll('\n', '\r\n'),
  ])('%j comes back byte for byte, and a second time changes nothing', (text) => {
    for (const mode of [
      bridge('br1'),
      { kind: 'none' },
      { kind: 'host' },
      { kind: 'container', name: 'db' },
    ] as Mode[]) {
      const after = adopted(text, spec(mode), () => null);
      expect(after).not.toBe(text);
      expect(originalOf(after, text)).toBe(text);
      expect(modeOf(after, text)).toEqual(mode);
      expect(adopted(originalOf(after, text), spec(modeOf(after, text)), () => null)).toBe(after);
      expect(originalOf(`${after}\nlxc.tty.max = 4\n`, text)).toContain('lxc.tty.max = 4');
      expect(modeOf(originalOf(`${after}\nlxc.tty.max = 4\n`, text), text)).toBeNull();
    }
  });

  it.each([
    ['bridge', bridge()],
    ['bridge:br1', bridge('br1')],
    ['br1', bridge('br1')],
    ['none', { kind: 'none' }],
    ['host', { kind: 'host' }],
    ['container:db', { kind: 'container', name: 'db' }],
  ])('--net %s', (text, mode) => {
    expect(parseMode(text, ['br0', 'br1'])).toEqual(mode);
  });

  it.each(['', 'br9', 'bridge:br9', 'bridge:', 'none:x', 'container', 'container:../x', 'a:b:c'])(
    '--net %j is refused',
    (text) => {
      expect(() => parseMode(text, ['br0', 'br1'])).toThrow(
        'allowed: bridge, bridge:NETWORK (br0, br1), none, host, container:NAME',
      );
    },
  );

  it('has the words of its hook line as the shell splits them', () => {
    const text = `lxc.hook.start-host = ${HOOKS}/start-host -p 80:80 --hostname "a b" --dns='192.0.2.1'\n`;
    expect(hookWords(text, () => null)).toEqual(
      ['-p', '80:80', '--hostname', 'a b', "--dns='192.0.2.1'"].map((word) => word.replaceAll("'", '')),
    );
    expect(hookWords('lxc.hook.start-host = /other -p 80\n', () => null)).toBeNull();
  });
});

describe("CAP_NET_ADMIN on the host's network", () => {
  const host = ['lxc.net =', 'lxc.net.0.type = none'];

  it.each([
    ['is dropped', 'lxc.cap.drop = sys_time mac_admin', ['lxc.cap.drop = net_admin']],
    ['is dropped already', 'lxc.cap.drop = sys_time net_admin', []],
    ['is dropped by number', 'lxc.cap.drop = 12', []],
    [
      'is dropped again',
      'lxc.cap.drop = net_admin\nlxc.cap.drop =\nlxc.cap.drop = sys_time',
      ['lxc.cap.drop = net_admin'],
    ],
    [
      'is not kept',
      'lxc.cap.keep = chown net_admin\nlxc.cap.keep = kill',
      ['lxc.cap.keep =', 'lxc.cap.keep = chown kill'],
    ],
    ['is not kept, nor is another', 'lxc.cap.keep = net_admin', ['lxc.cap.keep =', 'lxc.cap.keep = none']],
    ['was not kept', 'lxc.cap.keep = net_admin none chown', []],
    ['means nothing in a user namespace', 'lxc.idmap = u 0 100000 65536', []],
  ])('%s', (_what, text, expected) => {
    expect(lines(veth(text, ...OURS), spec({ kind: 'host' }))).toEqual([...host, ...expected]);
  });

  it('stays where the container is to have it, or has a network of its own', () => {
    expect(lines(veth(...OURS), spec({ kind: 'host' }, { netAdmin: true }))).toEqual(host);
    expect(lines(veth(...OURS), spec({ kind: 'none' }))).toEqual(['lxc.net =', 'lxc.net.0.type = empty']);
  });

  it.each([
    ['lxc.cap.drop =', { fromEnd: 1, text: 'lxc.cap.drop =' }],
    ['lxc.cap.drop = sys_time', null],
  ])('behind our block: %s', (line, expected) => {
    const text = adopted(veth(...OURS), spec({ kind: 'host' }), () => null);
    expect(regainingLine(`${text}${line}\n`, () => null)).toEqual(expected);
  });
});

describe('a key in an INI text', () => {
  it.each([
    ['', '', 'a', '1', 'a = 1\n'],
    ['', '', 'a', null, ''],
    ['a = 1\n', '', 'a', null, ''],
    ['; c\na = 1\nb = 2\n', '', 'a', '3', '; c\na = 3\nb = 2\n'],
    ['a[] = 1\nb = 2\na[] = 3\n', '', 'a', ['4'], 'a[] = 4\nb = 2\n'],
    ['a  =  1\n', '', 'a', '1', 'a  =  1\n'],
    ['b = 1\n\n[net.1]\na = 5\n', '', 'a', '1', 'b = 1\na = 1\n\n[net.1]\na = 5\n'],
    ['b = 1\n[net.1]\na = 5\n', 'net.1', 'a', null, 'b = 1\n[net.1]\n'],
    ['b = 1\n', 'net.1', 'a', '5', 'b = 1\n\n[net.1]\na = 5\n'],
    ['[net.1]\na = 5\n', '', 'b', '1', 'b = 1\n[net.1]\na = 5\n'],
    ['ab = 1\n', '', 'a', '2', 'ab = 1\na = 2\n'],
    ['a = 1', '', 'b', '2', 'a = 1\nb = 2\n'],
  ])('%j: [%s] %s = %j', (text, section, key, value, expected) => {
    expect(setKey(text, section, key, value)).toBe(expected);
    expect(setKey(expected, section, key, value)).toBe(expected);
  });
});

describe('lines behind our block', () => {
  const template = withBlock(
    '',
    veth('lxc.net.0.link = br0', 'lxc.net.0.flags = up', VERSION, ...OURS)
      .trim()
      .split('\n'),
  );
  const asked = (text: string, mode: Mode | null = null) =>
    overridingLine(
      adopted(text, spec(mode), () => null),
      text,
      () => null,
    );

  it.each([
    ['lxc.net.0.link = lxcbr0', null],
    ['lxc.uts.name = x\nlxc.net.0.link = lxcbr0\n', bridge('br1')],
    ['lxc.net.0.type = veth\nlxc.net.0.link = br0', bridge('br1')],
    ['lxc.net.0.link = br0', { kind: 'none' }],
    ['lxc.net =', bridge('br1')],
    ['lxc.net.0 =', bridge('br1')],
    ['lxc.namespace.share.net = db', bridge('br1')],
  ] as [string, Mode | null][])('%j is named when %j is asked for', (line, mode) => {
    const { fromEnd, text } = asked(`${template}${line}`, mode) ?? expect.fail('nothing is named');
    const after = adopted(`${template}${line}`, spec(mode), () => null).split('\n');
    expect(after[after.length - 1 - fromEnd]).toBe(text);
    expect(line).toContain(text);
    expect(text).toContain('=');
  });

  it.each([
    ['', null],
    ['lxc.net.0.link = br1', null],
    ['lxc.net.0.ipv4.address = 10.0.0.7/24\nlxc.net.0.hwaddr = 00:16:3e:00:00:01', bridge('br1')],
    ['lxc.net.0.type = empty', null],
    ['lxc.net.1.type = veth\nlxc.net.1.link = lxcbr0', bridge('br1')],
    ['lxc.net.0.link = br1', bridge('br1')],
    ['# lxc.net.0.link = lxcbr0', bridge('br1')],
  ] as [string, Mode | null][])('%j is right when %j is asked for', (line, mode) => {
    expect(asked(`${template}${line}`, mode)).toBe(null);
  });
});
