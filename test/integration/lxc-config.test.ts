import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type LxcNic, nicsOf } from '../../src/frontend/lxc/lxc-config.ts';
import { lastValue, listedValues, parseLxcConfig } from '../../src/model/lxc-config.ts';

let base: string;
const rootfs = () => join(base, 'c/rootfs');

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'nethooks-lxc-'));
  for (const directory of ['bin', 'etc', 'proc', 'dev', 'sys'])
    mkdirSync(join(rootfs(), directory), { recursive: true });
  copyFileSync('/bin/busybox', join(rootfs(), 'bin/busybox'));
  writeFileSync(join(rootfs(), 'bin/init'), '#!/bin/busybox sh\n/bin/busybox ip -o link > /seen\n', { mode: 0o755 });
});
afterEach(() => rmSync(base, { recursive: true, force: true }));

function configure(...lines: string[]): LxcNic[] {
  const text = ['lxc.uts.name = c', ...lines, ''].join('\n');
  writeFileSync(join(base, 'c/config'), text);
  return nicsOf(parseLxcConfig(text));
}

/** What LXC itself reads: the value of a key, several values one per line; empty when there is no such device. */
function lxcInfo(key: string): string {
  const out = execFileSync('lxc-info', ['-P', base, '-n', 'c', '-c', key], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const value = out.replace(/^[^=]*=/, '').trim();
  return value === '(null)' ? '' : value;
}

/** The interfaces of a container that was really started with these lines, in a network namespace of the test's own. */
function startedNames(...lines: string[]): string[] {
  const nics = configure(
    `lxc.rootfs.path = dir:${rootfs()}`,
    'lxc.apparmor.profile = unconfined',
    'lxc.init.cmd = /bin/init',
    ...lines,
  );
  execFileSync('unshare', ['-m', '-n', '--propagation', 'private', 'lxc-start', '-P', base, '-n', 'c', '-F'], {
    timeout: 20_000,
  });
  const seen = readFileSync(join(rootfs(), 'seen'), 'utf8').matchAll(/^\d+: ([^:@]+)/gm);
  const names = [...seen].map(([, name]) => name as string).filter((name) => name !== 'lo');
  expect(names.sort()).toEqual(
    nics
      .map(({ name }) => name)
      .filter((name) => name !== 'lo' && name !== '')
      .sort(),
  );
  return nics.map(({ name }) => name);
}

const veth = (index: number, name?: string) => [
  `lxc.net.${index}.type = veth`,
  ...(name === undefined ? [] : [`lxc.net.${index}.name = ${name}`]),
];

describe('the LXC that is installed', () => {
  it.each([
    [['lxc.net.0.link = br0', 'lxc.net.0.hwaddr = 00:16:3E:01:02:03', 'lxc.net.0.flags = up', 'lxc.net.0.name = lan0']],
    [['  lxc.net.0.link\t=  "br0"  ', "lxc.net.0.name='x'"]],
    [['lxc.net.0.link = "br0', 'lxc.net.0.name = abcdefghijklmnopq']],
    [['lxc.net.0.link = br0 # no comment', '#lxc.net.0.name = x', ' # lxc.net.0.flags = up']],
    [['lxc.net.0.link = br0', 'lxc.net.0.link = br1', 'lxc.net.0.flags = down']],
    [['lxc.net.0.link = br0', 'lxc.net.0.flags = up', 'lxc.net.0.link =', 'lxc.net.0.flags =']],
    [['lxc.net.0.link = br0', 'lxc.net.0.name = x', 'lxc.net.0.type = veth']],
    [['lxc.net.0.link = br0', 'lxc.net =', 'lxc.net.0.type = veth']],
    [['lxc.net.0.link = br0', 'lxc.net.0 =', 'lxc.net.0.type = macvlan']],
    [['lxc.net.00.link = br0\rlxc.net.0.name = y', 'LXC.net.0.link = z', 'garbage']],
    [
      [
        'lxc.net.0.ipv4.address = 10.77.0.5',
        'lxc.net.0.ipv4.address = 10.77.0.130',
        'lxc.net.0.ipv4.address = 10.77.0.200',
      ],
    ],
    [['lxc.net.0.ipv4.address = 10.77.0.5/20 10.77.15.255', 'lxc.net.0.ipv4.gateway = auto']],
    [['lxc.net.0.ipv4.address = 10.77.0.5/20', 'lxc.net.0.ipv4.address =', 'lxc.net.0.ipv4.gateway = 10.77.0.1']],
  ])('reads %j as we do', (lines) => {
    const [nic] = configure('lxc.net.0.type = veth', ...lines);
    expect(nic?.type).toBe(lxcInfo('lxc.net.0.type'));
    expect(nic?.link ?? '').toBe(lxcInfo('lxc.net.0.link'));
    expect(nic?.hwaddr ?? '').toBe(lxcInfo('lxc.net.0.hwaddr').toLowerCase());
    expect(nic?.up ? 'up' : '').toBe(lxcInfo('lxc.net.0.flags'));
    expect(nic?.addresses.join('\n')).toBe(lxcInfo('lxc.net.0.ipv4.address'));
    expect(nic?.gateway ?? '').toBe(lxcInfo('lxc.net.0.ipv4.gateway'));
    const name = lxcInfo('lxc.net.0.name');
    if (name !== '') expect(nic?.name).toBe(name);
  });

  it.each([
    [['lxc.hook.clone = /a', 'lxc.hook.clone="/b c"', "lxc.environment = 'A=1 2'", 'lxc.environment = B="x"']],
    [['lxc.hook.clone = "/a\'', '\tlxc.namespace.share.net = "db" ', '# lxc.hook.clone = /c', 'x lxc.hook.clone = /d']],
    [
      [
        'lxc.hook.clone = /a',
        'lxc.hook.clone =',
        'lxc.hook.clone = /b',
        'lxc.namespace.share.net = db',
        'lxc.namespace.share.net =',
      ],
    ],
    [['lxc.hook.clone = /a', 'lxc.hook.destroy = /b', 'lxc.hook =', 'lxc.environment = A=1', 'lxc.environment =']],
    [
      [
        'lxc.hook.clone = /a # no comment',
        'lxc.environment = A=1=2',
        'lxc.namespace.share.net = db\rlxc.hook.clone = /b',
      ],
    ],
  ])('reads settings as we do, also with CRLF: %j', (lines) => {
    const text = ['lxc.uts.name = c', ...lines, ''].join('\r\n');
    writeFileSync(join(base, 'c/config'), text);
    const settings = parseLxcConfig(text);
    for (const key of ['lxc.hook.clone', 'lxc.environment'])
      expect(listedValues(settings, key).join('\n')).toBe(lxcInfo(key));
    expect(lastValue(settings, 'lxc.namespace.share.net') ?? '').toBe(lxcInfo('lxc.namespace.share.net'));
  });

  it('forgets a device that is cleared, as we do', () => {
    expect(
      configure('lxc.net.0.type = veth', 'lxc.net.1.type = veth', 'lxc.net.0 =').map(({ index }) => index),
    ).toEqual([1]);
    expect([lxcInfo('lxc.net.0.type'), lxcInfo('lxc.net.1.type')]).toEqual(['', 'veth']);
  });

  it.each([
    [
      [...veth(1), ...veth(0)],
      ['eth0', 'eth1'],
    ],
    [
      [...veth(1), ...veth(0), ...veth(2, 'eth0')],
      ['eth1', 'eth2', 'eth0'],
    ],
    [
      [...veth(0, 'lan1'), ...veth(1, 'lan%d'), ...veth(5), ...veth(12, 'eth1'), ...veth(13)],
      ['lan1', 'lan0', 'eth0', 'eth1', 'eth2'],
    ],
    [
      [...veth(0, 'abcdefghijklmnopq'), ...veth(1, 'eth%d')],
      ['abcdefghijklmno', 'eth0'],
    ],
    [
      ['lxc.net.0.type = empty', ...veth(1)],
      ['lo', 'eth0'],
    ],
  ])('gives the names that we expect: %j', (lines, expected) => expect(startedNames(...lines)).toEqual(expected));
});
