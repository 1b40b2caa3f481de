import { describe, expect, it } from 'vitest';
import { nicsOf, withIncludes } from '../../src/frontend/lxc/lxc-config.ts';
import { lastValue, listedValues, parseLxcConfig, readLxcConfig } from '../../src/model/lxc-config.ts';
import { environmentIn } from '../../src/plan/attachment/link-env.ts';

const nics = (...lines: string[]) => nicsOf(parseLxcConfig(lines.join('\n')));
const nic = (...lines: string[]) => nics('lxc.net.0.type = veth', ...lines)[0];
const names = (...lines: string[]) => nics(...lines).map(({ index, name }) => [index, name]);

// Everything here, apart from the keys before 2.1, was compared with what LXC 5.0.2 itself makes of the same lines.
describe('a device', () => {
  it('has what its lines say', () => {
    const lines = [
      'lxc.net.0.link = br0',
      'lxc.net.0.flags = up',
      'lxc.net.0.name = lan0',
      'lxc.net.0.hwaddr = 00:16:3E:01:02:03',
      'lxc.net.0.ipv4.address = 10.0.0.7/24',
      'lxc.net.0.ipv4.address = 10.0.1.7/16 10.0.255.255',
      'lxc.net.0.ipv4.gateway = auto',
      'lxc.net.0.mtu = 1400',
    ];
    expect(nic(...lines)).toEqual({
      index: 0,
      type: 'veth',
      link: 'br0',
      up: true,
      name: 'lan0',
      hwaddr: '00:16:3e:01:02:03',
      addresses: ['10.0.0.7/24', '10.0.1.7/16'],
      gateway: 'auto',
      mtu: 1400,
    });
  });

  it('has no key for what no line says', () => {
    expect(nic()).toEqual({ index: 0, type: 'veth', name: 'eth0', addresses: [], up: false });
  });

  it('is up whatever its flags are', () => expect(nic('lxc.net.0.flags = down')?.up).toBe(true));
  it('has a name and a link cut to what the kernel takes', () => {
    expect(nic('lxc.net.0.name = abcdefghijklmnopq')?.name).toBe('abcdefghijklmno');
  });

  it.each([
    ['AA:bb:cc:dd:EE:ff', 'aa:bb:cc:dd:ee:ff'],
    ['a:b:c:d:e:2', '0a:0b:0c:0d:0e:02'],
    ['0200000000aB', '02:00:00:00:00:ab'],
    ['00:16:3e:xx:xx:xx', undefined],
    ['00:16:3e:00:00:0X', undefined],
    ['zz', undefined],
    ['', undefined],
  ])('with hwaddr %j has %j', (value, hwaddr) => expect(nic(`lxc.net.0.hwaddr = ${value}`)?.hwaddr).toBe(hwaddr));

  it.each([
    ['10.77.0.5', '10.77.0.5/8'],
    ['10.77.0.130', '10.77.0.130/16'],
    ['10.77.0.200', '10.77.0.200/24'],
    ['10.77.0.7/24 10.77.0.255', '10.77.0.7/24'],
    ['10.77.0.7/32', '10.77.0.7/32'],
  ])('with ipv4.address %j has %j', (value, address) => {
    expect(nic(`lxc.net.0.ipv4.address = ${value}`)?.addresses).toEqual([address]);
  });

  it.each(['10.77.0.9/33', '10.77.0', 'x', '10.77.0.9/', 'fd00::1/64'])('does not get the address %j', (value) => {
    expect(nic(`lxc.net.0.ipv4.address = ${value}`)?.addresses).toEqual([]);
  });
});

describe('a line', () => {
  it.each([
    ['lxc.net.0.link=br0', 'br0'],
    ['\t  lxc.net.0.link \t =  br0 \t', 'br0'],
    ['lxc.net.0.link = "br0"', 'br0'],
    ["lxc.net.0.link = 'br0'", 'br0'],
    ['lxc.net.0.link = "br0', '"br0'],
    [`lxc.net.0.link = "br0'`, `"br0'`],
    ['lxc.net.0.link = br0 # not a comment', 'br0 # not a com'],
    ['lxc.net.0.link = a=b', 'a=b'],
    ['lxc.net.00.link = br0', 'br0'],
    ['lxc.net.0.link = br0\r', 'br0'],
    ['# lxc.net.0.link = br0', undefined],
    ['  #lxc.net.0.link = br0', undefined],
    ['x lxc.net.0.link = br0', undefined],
    ['LXC.net.0.link = br0', undefined],
    ['lxc.net.0.link', undefined],
    ['lxc.net.x.link = br0', undefined],
    ['lxc.net.0.nope = br0', undefined],
    ['lxc.net.0 = br0', undefined],
    ['lxc.netfoo.0.link = br0', undefined],
  ])('%j makes the link %j', (line, link) => expect(nic(line)?.link).toBe(link));

  it('overrides an earlier one', () => {
    expect(nic('lxc.net.0.link = br0', 'lxc.net.0.link = br1')?.link).toBe('br1');
  });

  it('with an empty value takes an earlier one back', () => {
    const set = [
      'link = br0',
      'flags = up',
      'ipv4.address = 10.0.0.7/24',
      'name = x',
      'ipv4.gateway = dev',
      'hwaddr = 2:0:0:0:0:1',
    ];
    const clear = set.map((line) => `lxc.net.0.${line.split(' ')[0]} =`);
    expect(nic(...set.map((line) => `lxc.net.0.${line}`), ...clear)).toEqual(nic());
  });

  it('with the type forgets what came before it', () => {
    expect(nics('lxc.net.0.link = br0', 'lxc.net.0.hwaddr = 2:0:0:0:0:1', 'lxc.net.0.type = veth')).toEqual(
      nics('lxc.net.0.type = veth'),
    );
  });

  it('clears one device, or all', () => {
    const two = ['lxc.net.0.type = veth', 'lxc.net.1.type = veth'];
    expect(names(...two, 'lxc.net.0 =')).toEqual([[1, 'eth0']]);
    expect(names(...two, 'lxc.net =', 'lxc.net.3.type = veth')).toEqual([[3, 'eth0']]);
    expect(names(...two, 'lxc.net = x')).toHaveLength(2); // LXC refuses to start
    expect(names('lxc.net.7.link =')).toEqual([]);
  });
});

describe('a value', () => {
  const settings = (...lines: string[]) => parseLxcConfig(lines.join('\r\n'));

  it('is the last one, or none once it is taken back', () => {
    expect(lastValue(settings('lxc.uts.name = a', "lxc.uts.name = 'b'"), 'lxc.uts.name')).toBe('b');
    expect(lastValue(settings('lxc.uts.name = a', 'lxc.uts.name ='), 'lxc.uts.name')).toBeNull();
    expect(lastValue([], 'lxc.uts.name')).toBeNull();
  });

  it('of a list is each, behind the last line that clears it', () => {
    const hooks = (...lines: string[]) => listedValues(settings(...lines), 'lxc.hook.clone');
    expect(hooks('lxc.hook.clone = /a', 'lxc.hook.clone = "/b c"')).toEqual(['/a', '/b c']);
    expect(hooks('lxc.hook.clone = /a', 'lxc.hook.clone = ""', 'lxc.hook.clone = /b')).toEqual(['/b']);
    expect(hooks('lxc.hook.clone = /a', 'lxc.hook =', 'lxc.hook.destroy =')).toEqual([]);
    expect(hooks('lxc.hook.clone = /a', 'lxc.hook.destroy =', 'lxc.hook.clon =')).toEqual(['/a']);
  });

  it('of the environment is a variable', () => {
    const lines = [
      'lxc.environment = A=1',
      'lxc.environment = "B=two words"',
      'lxc.environment = C="kept"',
      'lxc.environment = A=2=3',
      'lxc.environment = HANDED_ON',
      'lxc.environment = EMPTY=',
    ];
    expect(environmentIn(settings(...lines))).toEqual({ A: '2=3', B: 'two words', C: '"kept"', EMPTY: '' });
    expect(environmentIn(settings(...lines, 'lxc.environment =', 'lxc.environment = Z=1'))).toEqual({ Z: '1' });
  });
});

describe('names in the container', () => {
  const veth = (index: number, name?: string) => [
    `lxc.net.${index}.type = veth`,
    ...(name ? [`lxc.net.${index}.name = ${name}`] : []),
  ];

  it.each([
    [
      'by number, not by line',
      [...veth(1), ...veth(0)],
      [
        [0, 'eth0'],
        [1, 'eth1'],
      ],
    ],
    [
      'around a given name',
      [...veth(1), ...veth(0), ...veth(2, 'eth0')],
      [
        [0, 'eth1'],
        [1, 'eth2'],
        [2, 'eth0'],
      ],
    ],
    [
      'with gaps',
      [...veth(5), ...veth(12, 'eth1'), ...veth(13)],
      [
        [5, 'eth0'],
        [12, 'eth1'],
        [13, 'eth2'],
      ],
    ],
    [
      'from a pattern',
      [...veth(0, 'lan1'), ...veth(1, 'lan%d'), ...veth(2, 'eth%d')],
      [
        [0, 'lan1'],
        [1, 'lan0'],
        [2, 'eth0'],
      ],
    ],
    [
      'kept by a moved interface',
      ['lxc.net.0.type = phys', 'lxc.net.0.link = vp0', 'lxc.net.1.type = macvlan'],
      [
        [0, 'vp0'],
        [1, 'eth0'],
      ],
    ],
    [
      'without the loopback',
      ['lxc.net.0.type = empty', ...veth(1)],
      [
        [0, 'lo'],
        [1, 'eth0'],
      ],
    ],
    [
      'without a device',
      ['lxc.net.0.type = none', ...veth(1)],
      [
        [0, ''],
        [1, 'eth0'],
      ],
    ],
  ])('are given %s', (_, lines, expected) => expect(names(...lines)).toEqual(expected));
});

describe('keys before LXC 2.1', () => {
  it('begin a device with each type', () => {
    const found = nics(
      'lxc.network.type = veth',
      'lxc.network.flags = up',
      'lxc.network.link = br0',
      'lxc.network.ipv4 = 10.0.0.7/24',
      'lxc.network.ipv4.gateway = 10.0.0.1',
      'lxc.network.type = macvlan',
      'lxc.network.link = eth1',
      'lxc.network.0.name = first',
    );
    expect(found).toEqual([
      { index: 0, type: 'veth', up: true, link: 'br0', addresses: ['10.0.0.7/24'], gateway: '10.0.0.1', name: 'first' },
      { index: 1, type: 'macvlan', up: false, link: 'eth1', addresses: [], name: 'eth0' },
    ]);
  });

  it.each(['lxc.network =', 'lxc.network.type ='])('are cleared by %j', (line) => {
    expect(names('lxc.network.type = veth', 'lxc.network.type = veth', line, 'lxc.network.type = veth')).toEqual([
      [0, 'eth0'],
    ]);
  });

  it('mean nothing before the first type', () =>
    expect(nics('lxc.network.link = br0', 'lxc.network.3.link = br0')).toEqual([]));
});

describe('includes', () => {
  const files: Record<string, string> = {
    '/a.conf': 'lxc.net.0.link = a\nlxc.include = /b.conf\n',
    '/b.conf': 'lxc.net.0.hwaddr = 2:0:0:0:0:b\nlxc.net.0.link = b',
    '/loop.conf': 'lxc.include = /loop.conf\nlxc.net.0.link = loop',
    'relative.conf': 'lxc.net.0.link = relative',
  };
  const read = (path: string) => files[path] ?? null;
  const link = (...lines: string[]) => withIncludes(['lxc.net.0.type = veth', ...lines].join('\n'), read)[0]?.link;

  it('are settings like any other, with what they bring behind them', () => {
    const text = 'lxc.include = "/b.conf"\r\nlxc.include = \'/b c.conf\'\r\nlxc.include =\r\n#lxc.include = /d';
    expect(parseLxcConfig(text).map(({ value }) => value)).toEqual(['/b.conf', '/b c.conf', '']);
    expect(readLxcConfig(text, read).map(({ key, value }) => `${key} ${value}`)).toEqual([
      'lxc.include /b.conf',
      'lxc.net.0.hwaddr 2:0:0:0:0:b',
      'lxc.net.0.link b',
      'lxc.include /b c.conf',
      'lxc.include ',
    ]);
  });

  it('count where they stand', () => {
    expect(link('lxc.include = /a.conf')).toBe('b');
    expect(link('lxc.net.0.link = first', 'lxc.include = /a.conf')).toBe('b');
    expect(link('lxc.include = /a.conf', 'lxc.net.0.link = last')).toBe('last');
  });

  it('may say that the container has no devices of its own, and take that back', () => {
    const shared = { ...files, '/share.conf': "lxc.namespace.share.net = 'db'\r\n" };
    const own = (text: string) => withIncludes(text, (path) => (shared as typeof files)[path] ?? null).length;
    const text = 'lxc.include = /share.conf\nlxc.net.0.type = veth\n';
    expect(own(text)).toBe(0);
    expect(own(`${text}lxc.namespace.share.net =\n`)).toBe(1);
  });

  it('end when they go in circles, are missing or relative', () => {
    expect(link('lxc.include = /loop.conf')).toBe('loop');
    expect(link('lxc.net.0.link = br0', 'lxc.include = /missing', 'lxc.include = relative.conf')).toBe('br0');
  });

  it.each([
    ['long', `lxc.include = /big\nlxc.include = /big\n${'#'.repeat(100_000)}`, 100],
    ['many', 'lxc.include = /big\n'.repeat(5000), 300],
    ['full of blanks', `lxc.x${' '.repeat(100_000)}\nlxc.x = a${' '.repeat(100_000)}b\nlxc.include = /big\n`, 100],
  ])('end when they are too %s', (_, text, limit) => {
    let reads = 0;
    withIncludes(text, () => {
      reads += 1;
      return text;
    });
    expect(reads).toBeLessThan(limit);
  });
});
