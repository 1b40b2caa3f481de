/** In which order steps are carried out and taken back; programs are stand-ins that tell when they begin and end. */
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import type { DirectoryStep, FileStep, Step } from '../../src/model/step.ts';
import { applySteps, applyUntilFailure } from '../../src/system/apply.ts';
import { type Exec, execUntil, wordsOf } from '../../src/system/exec.ts';

/** Whether systemd is PID 1, as sd_booted(3) finds out: the test decides, not the machine it runs on. */
const init = vi.hoisted(() => ({ systemd: false }));
vi.mock('node:fs', async (original) => {
  const fs = await original<typeof import('node:fs')>();
  return { ...fs, existsSync: (path: string) => (path === '/run/systemd/system' ? init.systemd : fs.existsSync(path)) };
});

let directory: string;
let events: string[];
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'nethooks-apply-'));
  events = [];
});
afterEach(() => rmSync(directory, { recursive: true }));

const ip = (name: string): Step => ({ kind: 'ip', commands: [name], undo: [`no ${name}`] });
const nft = (name: string): Step => ({ kind: 'nft', script: name, undo: `no ${name}` });
const rules: Step = { kind: 'rules', action: 'append', rules: [{ table: 'mangle', chain: 'POSTROUTING', match: 'x' }] };
const daemon = (action: 'start' | 'stop', network: string): Step => ({
  kind: 'dnsmasq',
  action,
  network: `unit-test-${network}`,
  directories: [],
});
const file = (name: string, content: string | null): FileStep => ({
  kind: 'file',
  path: join(directory, name),
  before: content === null ? 'old' : null,
  content,
});
const text = (name: string): string => readFileSync(join(directory, name), 'utf8');

/** What each program does is its first word; how many ms it takes is up to the test. Programs that are run to their end do nothing. */
function exec(takes: Record<string, number>, failing: string[] = []): Exec {
  const start: Exec['start'] = async (command, _args, { input } = {}) => {
    const what = input?.startsWith('*') ? (input.split('\n')[1] as string) : (input?.trim() ?? command);
    events.push(`+ ${what}`);
    await new Promise((resolve) => setTimeout(resolve, takes[command] ?? 0));
    events.push(`- ${what}`);
    return failing.includes(what) ? { code: 1, stdout: '', stderr: 'broken' } : { code: 0, stdout: '', stderr: '' };
  };
  const prepare = () => Promise.reject(new Error('nothing here is prepared'));
  return Object.assign(() => ({ code: 0, stdout: '', stderr: '' }), { start, prepare: () => prepare });
}

const applying = (with_: Exec, steps: Step[]) =>
  applySteps({ exec: with_, log: (line) => events.push(line), wait: true }, steps);

// Loaded with the first step that needs it, which takes vitest longer than the steps here take.
beforeAll(() => import('../../src/system/apply-host.ts'));

describe.each([
  ['dnsmasq', false],
  ['systemctl', true],
])('steps, where %s starts a daemon,', (program, systemd) => {
  beforeEach(() => {
    init.systemd = systemd;
  });

  it('are side by side where they do not need each other: the daemon waits for the bridge, not for the rules', async () => {
    await applying(exec({ ip: 20, nft: 60, 'iptables-restore': 20, [program]: 40 }), [
      ip('bridge'),
      file('conf', 'new'),
      daemon('start', 'a'),
      nft('table'),
      rules,
      file('resolv.conf', 'ours'),
    ]);
    const at = (event: string) => events.indexOf(event);
    expect(at('+ table')).toBeLessThan(at('- bridge'));
    expect(at(`+ ${program}`)).toBeGreaterThan(at('- bridge'));
    expect(at(`+ ${program}`)).toBeLessThan(at('- table'));
    expect(at('+ -A POSTROUTING x')).toBeGreaterThan(at('- table'));
    expect(text('resolv.conf')).toBe('ours');
  });

  it('a daemon starts with its new configuration, also while a network goes', async () => {
    writeFileSync(join(directory, 'gone'), 'old');
    let conf = '';
    const looking = exec({});
    const { start } = looking;
    looking.start = (command, args, ...rest) => {
      if (command === program && args[0] !== 'stop') conf = text('conf');
      return start(command, args, ...rest);
    };
    await applying(looking, [daemon('stop', 'gone'), file('gone', null), file('conf', 'new'), daemon('start', 'a')]);
    expect(conf).toBe('new');
  });

  it('daemons of several networks stop side by side, and their files go after them', async () => {
    writeFileSync(join(directory, 'conf'), 'old');
    const stops = ['a', 'b', 'c'].map((network) => daemon('stop', network));
    await applying(exec({ systemctl: 20, ip: 0 }), [...stops, file('conf', null), ip('del')]);
    const stopped = systemd ? [...Array(3).fill('+ systemctl'), ...Array(3).fill('- systemctl')] : [];
    expect(events).toEqual([...stopped, '+ del', '- del']);
    expect(() => text('conf')).toThrow('ENOENT');
  });

  it('a file that others are sent by comes last', async () => {
    const steps = [nft('table'), daemon('start', 'a'), file('resolv.conf', 'ours')];
    await expect(applying(exec({ nft: 20 }, ['table']), steps)).rejects.toThrow('nft -f -: broken');
    expect(() => text('resolv.conf')).toThrow('ENOENT');
  });
});

describe('files of an installation', () => {
  const path = (name: string): string => join(directory, name);
  const put = (changes: Partial<FileStep>): FileStep => ({
    kind: 'file',
    path: path('file'),
    before: null,
    content: 'new',
    mode: 0o755,
    ...changes,
  });
  const none = exec({});

  it('have the permissions that the step says, and what a killed run left unfinished is overwritten', async () => {
    writeFileSync(path('file.new'), 'half');
    await applying(none, [put({})]);
    expect([text('file'), statSync(path('file')).mode & 0o777, existsSync(path('file.new'))]).toEqual([
      'new',
      0o755,
      false,
    ]);
  });

  it('are made from other files, with or without changes', async () => {
    writeFileSync(path('source'), '#!/usr/bin/env node\n/usr/lib and /usr/lib\n');
    await applying(none, [
      put({ path: path('same'), content: { from: path('source') }, mode: 0o644 }),
      put({ path: path('edited'), content: { from: path('source'), replace: { text: '/usr/lib', by: '/lib' } } }),
      put({ path: path('script'), content: { from: path('source'), firstLine: '#!/bin/node' } }),
    ]);
    expect(['same', 'edited', 'script'].map(text)).toEqual([
      '#!/usr/bin/env node\n/usr/lib and /usr/lib\n',
      '#!/usr/bin/env node\n/lib and /lib\n',
      '#!/bin/node\n/usr/lib and /usr/lib\n',
    ]);
    expect(statSync(path('same')).mode & 0o777).toBe(0o644);
  });

  it('replace what is kept as it was, and a copy that is there is not made again', async () => {
    writeFileSync(path('file'), 'theirs', { mode: 0o600 });
    utimesSync(path('file'), 1, 1);
    const real = execUntil(performance.now() + 10_000);
    const backup = path('kept/file');
    await applying(real, [put({ backup })]);
    await applying(real, [put({ backup, content: 'newer' })]);
    expect([text('file'), text('kept/file')]).toEqual(['newer', 'theirs']);
    await applying(real, [put({ content: { from: backup, exact: true } })]);
    const { mode, mtimeMs } = statSync(path('file'));
    expect([text('file'), mode & 0o777, mtimeMs]).toEqual(['theirs', 0o600, 1000]);
    symlinkSync('/nowhere', path('link'));
    await applying(real, [put({ path: path('link'), backup: path('kept/link') })]);
    expect([text('link'), readlinkSync(path('kept/link'))]).toEqual(['new', '/nowhere']);
  });

  it('are taken back with all else, or stay where a later step fails, as the caller wants it', async () => {
    const real = execUntil(performance.now() + 10_000);
    const steps = (): Step[] => {
      writeFileSync(path('file'), 'theirs');
      return [
        { kind: 'directory', path: path('a/b'), action: 'make' },
        put({ path: path('a/b/made') }),
        put({ backup: path('kept/file') }),
        put({ path: path('file/impossible') }),
        put({ path: path('later') }),
      ];
    };
    const how = { exec: real, log: () => undefined, wait: true };
    await expect(applySteps(how, steps())).rejects.toThrow(/ENOTDIR|EEXIST/);
    expect(text('file')).toBe('theirs');
    expect(existsSync(path('a/b'))).toBe(false);
    await expect(applyUntilFailure(how, steps())).rejects.toThrow(/ENOTDIR|EEXIST/);
    expect([text('file'), text('a/b/made'), existsSync(path('later'))]).toEqual(['new', 'new', false]);
  });

  it('directories go when they are empty, or with all that is in them but for some', async () => {
    const change = (name: string, action: DirectoryStep['action'], except?: string[]): Step => ({
      kind: 'directory',
      path: path(name),
      action,
      ...(except && { except }),
    });
    await applying(none, [change('full', 'make'), put({ path: path('full/a') }), put({ path: path('full/b') })]);
    await applying(none, [change('full', 'remove'), change('missing', 'remove'), change('missing', 'purge')]);
    await applying(none, [change('full', 'purge', ['b'])]);
    expect(readdirSync(path('full'))).toEqual(['b']);
    await applying(none, [change('full', 'purge')]);
    expect(existsSync(path('full'))).toBe(false);
  });
});

describe('a step that fails', () => {
  it('has what still runs come to its end, and takes back what was begun, last first', async () => {
    const steps = [ip('bridge'), file('conf', 'new'), nft('table'), rules, daemon('start', 'a')];
    await expect(applying(exec({ ip: 10, nft: 40 }, ['bridge']), steps)).rejects.toThrow('ip -batch -: broken');
    expect(events).toEqual([
      '+ bridge',
      '+ table',
      '- bridge',
      '- table',
      '+ no table',
      '- no table',
      '+ no bridge',
      '- no bridge',
    ]);
    expect(() => text('conf')).toThrow('ENOENT');
  });

  it('is the one that is told of, and that it cannot be taken back is no news', async () => {
    const failing = ['table', 'no table', 'no bridge'];
    const steps = [ip('bridge'), nft('table')];
    await expect(applying(exec({ nft: 20 }, failing), steps)).rejects.toThrow('nft -f -: broken');
    expect(events.filter((line) => /taken back/.test(line))).toEqual([
      'not taken back: ip bridge: ip -batch -: broken',
    ]);
  });
});

it.each([
  ['RTNETLINK answers: File exists\nCommand failed -:2\n', 'File exists'],
  ['Error: Nexthop has invalid gateway.\nCommand failed -:3\n', 'Nexthop has invalid gateway.'],
  ['Cannot find device "eth9"\nCommand failed -:1\n', 'Cannot find device "eth9"'],
  [
    '/dev/stdin:1:2-9: Error: Could not process rule: No such file or directory\nadd element x\n^^^^^^^^\n',
    'Could not process rule: No such file or directory',
  ],
  ['one\ntwo\n', 'one; two'],
  ['', 'exit status 2'],
])('what a program said in %j is %s', (stderr, words) => {
  expect(wordsOf({ code: 2, stderr, stdout: '' })).toBe(words);
});
