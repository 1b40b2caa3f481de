/** Names of machines that are on a network by DHCP alone: which they may have, and what the shim starts for them. */
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { resolve } from '../../src/config/resolve.ts';
import { attachmentId, fileNameOf, ownerOf } from '../../src/model/attachment.ts';
import { nameByDhcp } from '../../src/plan/attachment/dhcp-names.ts';

describe('the name that a machine asks for', () => {
  it.each([
    ['vm', 'vm'],
    ['VM', 'vm'],
    ['my_vm', 'my-vm'],
    ['vm.example.org', 'vm'],
    ['vm.lxc', 'vm'],
    ['a'.repeat(63), 'a'.repeat(63)],
  ])('%s gives %s', (asked, name) => expect(nameByDhcp(asked, 'host.example')).toBe(name));

  it.each([
    ...['', '.', '.lxc', '-vm', 'vm-', '../etc', 'a b', 'a\nb', 'vm;reboot', 'vm@home', 'ü', 'a'.repeat(64)],
    ...[
      'wpad',
      'WPAD',
      'wpad.lxc',
      'localhost',
      'isatap',
      'gateway',
      '_gateway',
      'host',
      'HOST.other',
      'ip6-localhost',
    ],
  ])('%j gives none', (asked) => expect(nameByDhcp(asked, 'host.example')).toBeNull());
});

describe('dhcp-names', () => {
  const namesWith = (keys: object) =>
    resolve({ network: { br0: { address: '10.0.0.1/24', ...keys } } }).networks[0]?.dhcpNames;
  it.each([
    [{}, true],
    [{ 'dhcp-names': 'false' }, false],
    [{ icc: 'false' }, false],
    [{ icc: 'false', 'dhcp-names': 'true' }, true],
    [{ dhcp: 'false' }, false],
    [{ dns: 'false' }, false],
  ])('%j: %s', (keys, expected) => expect(namesWith(keys)).toBe(expected));

  it('that is neither true nor false is refused', () => {
    const { faults } = resolve({ network: { br0: { address: '10.0.0.1/24', 'dhcp-names': 'maybe' } } });
    expect(faults).toMatchObject([{ key: 'dhcp-names', value: 'maybe', message: expect.stringContaining('true') }]);
  });
});

it('its id is read back as it was written, and its file is nobody else’s', () => {
  const owner = { kind: 'dhcp', address: '10.0.0.5' } as const;
  expect(ownerOf(attachmentId(owner))).toEqual(owner);
  expect(ownerOf('dhcp/../x')).toBeNull();
  expect(ownerOf('dhcp/web')).toBeNull();
  expect(fileNameOf(owner)).toBe('dhcp@10.0.0.5');
});

describe('the shim', () => {
  let directory: string;
  const path = (name: string) => join(directory, name);
  const write = (name: string, text = ''): void => {
    mkdirSync(dirname(path(name)), { recursive: true });
    writeFileSync(path(name), text);
  };
  /** What it starts the runtime with; null where it does not. */
  function call(event: string, name?: string): string | null {
    rmSync(path('calls'), { force: true });
    const result = spawnSync(path('dhcp-script'), [event, '02:00:00:00:00:01', '10.0.0.150'], {
      env: { PATH: '/usr/bin:/bin', ...(name === undefined ? {} : { DNSMASQ_SUPPLIED_HOSTNAME: name }) },
      encoding: 'utf8',
    });
    expect(result).toMatchObject({ status: 0, stdout: '', stderr: '' });
    return existsSync(path('calls')) ? readFileSync(path('calls'), 'utf8') : null;
  }

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'nethooks-dhcp-script-'));
    for (const source of ['dhcp-script', 'lxc/guard'])
      write(
        source,
        readFileSync(join('hooks', source), 'utf8').replaceAll(
          /\/(usr\/lib|run|var\/lib|var\/log)\/nethooks/g,
          directory,
        ),
      );
    write('nethooks', `#!/bin/sh\nprintf '[%s]' "$@" >>${path('calls')}\n`);
    for (const name of ['dhcp-script', 'nethooks']) chmodSync(path(name), 0o755);
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  const noted = () => write('dhcp-names/10.0.0.150', '02:00:00:00:00:01 vm\n');

  it('starts the runtime for a machine that names itself, and hands the name over as it is', () => {
    expect(call('add', 'vm')).toBe('[hook][lease][add][02:00:00:00:00:01][10.0.0.150][vm]');
    expect(call('old', '$(reboot); "*"')).toBe('[hook][lease][old][02:00:00:00:00:01][10.0.0.150][$(reboot); "*"]');
  });

  it('starts nothing for containers of ours, for machines without a name, and for other events', () => {
    for (const event of ['add', 'old', 'del', 'tftp', 'init']) expect(call(event)).toBeNull();
    expect(call('arp-add', 'vm')).toBeNull();
    write('macs/br0/02:00:00:00:00:02');
    expect(call('add', 'vm')).not.toBeNull();
    write('macs/br1/02:00:00:00:00:01');
    for (const event of ['add', 'old']) expect(call(event, 'vm')).toBeNull();
  });

  it('starts nothing for a machine that has its name, and does for one whose name is not there, or another', () => {
    noted();
    expect(call('old')).not.toBeNull();
    write('names/lxc/dhcp@10.0.0.150');
    expect(call('old')).toBeNull();
    expect(call('old', 'vm')).toBeNull();
    expect(call('old', 'other')).toContain('[other]');
    write('dhcp-names/10.0.0.150', '02:00:00:00:00:09 vm\n');
    expect(call('add', 'vm')).not.toBeNull();
  });

  it('ends a lease only where a name is noted, also of a machine whose MAC a container has now', () => {
    noted();
    write('macs/br0/02:00:00:00:00:01');
    expect(call('del')).toContain('[del]');
  });
});
