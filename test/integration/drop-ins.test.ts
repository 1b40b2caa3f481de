/** Drop-ins for systemd below a root that is hostile: nothing outside of it is written, made or removed, and what is not ours stays. */
import { execFileSync } from 'node:child_process';
import {
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { DropIn } from '../../src/model/step.ts';
import { dropIns } from '../../src/plan/attachment/drop-ins.ts';
import { clearDropIns, writeDropIns } from '../../src/system/drop-ins.ts';

const WANTED: DropIn[] = dropIns({ nameservers: ['10.0.0.1'], search: ['lxc'], options: [] }, ['eth0']);
/** A text that would be taken for ours. */
const OURS = WANTED[0]?.text ?? '';
const RESOLVED = 'etc/systemd/resolved.conf.d';

let base: string;
let root: string;
let outside: string;
let said: string[];
const write = (wanted = WANTED, before: string[] = []) => writeDropIns((line) => said.push(line), root, wanted, before);
const files = (directory = join(root, 'etc')): string[] =>
  (readdirSync(directory, { recursive: true }) as string[]).map((path) => `etc/${path}`).sort();

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'nethooks-drop-ins-'));
  [root, outside] = [join(base, 'root'), join(base, 'outside')];
  said = [];
  for (const path of ['etc/systemd', 'usr/lib/systemd']) mkdirSync(join(root, path), { recursive: true });
  for (const daemon of ['resolved', 'networkd']) writeFileSync(join(root, 'usr/lib/systemd', `systemd-${daemon}`), '');
  mkdirSync(outside);
  writeFileSync(join(outside, 'nethooks.conf'), OURS);
});
afterEach(() => {
  try {
    expect(readdirSync(outside)).toEqual(['nethooks.conf']);
    expect(readFileSync(join(outside, 'nethooks.conf'), 'utf8')).toBe(OURS);
  } finally {
    rmSync(base, { recursive: true });
  }
});

it('come with the directories that they need, and leave with them', () => {
  const before = files();
  const made = write();
  expect(made.filter((path) => path.endsWith('.conf'))).toEqual([
    `${RESOLVED}/nethooks.conf`,
    'etc/systemd/networkd.conf.d/nethooks.conf',
    'etc/systemd/network/eth0.network.d/nethooks.conf',
  ]);
  expect(write(WANTED, made)).toEqual(made);
  clearDropIns(root, made);
  expect([files(), said]).toEqual([before, []]);
});

it('go one by one, and leave directories in which somebody else has something', () => {
  const made = write();
  writeFileSync(join(root, RESOLVED, 'own.conf'), '');
  const left = write(WANTED.slice(1), made);
  expect(left).not.toContain(`${RESOLVED}/nethooks.conf`);
  expect(readdirSync(join(root, RESOLVED))).toEqual(['own.conf']);
  clearDropIns(root, left);
  expect(files()).toEqual(['etc/systemd', RESOLVED, `${RESOLVED}/own.conf`]);
});

it('a directory that was there stays, empty or not', () => {
  mkdirSync(join(root, RESOLVED));
  clearDropIns(root, write());
  expect(files()).toEqual(['etc/systemd', RESOLVED]);
});

it('are there only where the daemon is', () => {
  rmSync(join(root, 'usr/lib/systemd/systemd-networkd'));
  expect(write()).toEqual([RESOLVED, `${RESOLVED}/nethooks.conf`]);
  rmSync(join(root, 'usr'), { recursive: true });
  symlinkSync('/usr', join(root, 'usr')); // where this machine's are
  expect(write()).toEqual([]);
});

it('belong to whom the directory above belongs', () => {
  chownSync(join(root, 'etc/systemd'), 1234, 1235);
  write();
  for (const path of [RESOLVED, `${RESOLVED}/nethooks.conf`])
    expect(statSync(join(root, path))).toMatchObject({ uid: 1234, gid: 1235 });
});

it.each([
  ['the directory leads outside', () => symlinkSync('../../../outside', join(root, RESOLVED))],
  ['the file leads outside', () => symlinkSync('../../../../outside/nethooks.conf', place())],
  ['the file is a fifo', () => execFileSync('mkfifo', [place()])],
  ["the file is somebody else's", () => writeFileSync(place(), '[Resolve]\nDNS=192.0.2.1\n')],
])('where %s, it is left alone, and said', (_, trap) => {
  trap();
  const made = write();
  expect(made).not.toContain(`${RESOLVED}/nethooks.conf`);
  expect(said).toEqual([
    expect.stringMatching(/^\/etc\/systemd\/resolved\.conf\.d\/nethooks\.conf in the container is left/),
  ]);
  clearDropIns(root, [...made, RESOLVED, `${RESOLVED}/nethooks.conf`]);
  expect(existsSync(join(root, 'etc/systemd/networkd.conf.d'))).toBe(false);
});

/** Where resolved's would be. */
function place(): string {
  mkdirSync(join(root, RESOLVED));
  return join(root, RESOLVED, 'nethooks.conf');
}

it('nothing is made where etc or etc/systemd leads outside', () => {
  for (const path of ['etc/systemd', 'etc']) {
    rmSync(join(root, path), { recursive: true });
    symlinkSync(outside, join(root, path));
    expect(write()).toEqual([]);
  }
  expect(said.join()).toContain('etc/systemd is no directory');
});

it('a file that sets KeepConfiguration itself has its way', () => {
  mkdirSync(join(root, 'etc/systemd/network'));
  const own = join(root, 'etc/systemd/network/eth0.network');
  writeFileSync(own, '[Network]\nKeepConfiguration=no\n');
  expect(write().join()).not.toContain('eth0.network.d');
  writeFileSync(own, '[Network]\nDHCP=yes\n');
  const made = write();
  expect(made.join()).toContain('eth0.network.d');
  writeFileSync(own, '[Network]\nKeepConfiguration=no\n');
  expect(write(WANTED, made).join()).not.toContain('eth0.network.d');
});
