import { execFileSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { NethooksError } from '../../src/errors.ts';
import { listAddresses, type ReserveOptions, releaseAddress, reserveAddress } from '../../src/store/addresses.ts';
import { abandonedReservations } from '../../src/system/reservation-file.ts';

let dataDir: string;
let store: { dataDir: string; network: string };
let directory: string;
const ranges = [{ from: '10.0.0.2', to: '10.0.0.5' }];
const holder = (id: string, ifname = 'eth0') => ({ id, ifname });
const reserve = (id: string, options = {}) => reserveAddress(store, ranges, holder(id), options);
const put = (name: string, content: string) => {
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, name), content);
};

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'nethooks-store-'));
  store = { dataDir, network: 'br0' };
  directory = join(dataDir, 'br0');
});
afterEach(() => rmSync(dataDir, { recursive: true, force: true }));

describe('the layout', () => {
  it("is host-local's", () => {
    expect(reserve('web')).toEqual({ address: '10.0.0.2', fresh: true });
    expect(readFileSync(join(directory, '10.0.0.2'), 'utf8')).toBe('web\r\neth0');
    expect(readFileSync(join(directory, 'last_reserved_ip.0'), 'utf8')).toBe('10.0.0.2');
    expect(statSync(join(directory, '10.0.0.2')).mode & 0o777).toBe(0o600);
    expect(readdirSync(directory).sort()).toEqual(['10.0.0.2', 'last_reserved_ip.0']);
  });

  it.each(['web', 'web\n', 'web\r\neth0', 'web\neth0\n', '  web\r\neth0 \n'])(
    'reads %j as the holder web',
    (content) => {
      put('10.0.0.4', content);
      expect(reserve('web')).toEqual({ address: '10.0.0.4', fresh: false });
      expect(releaseAddress(store, holder('web'))).toEqual(['10.0.0.4']);
    },
  );
});

describe('sticky addresses', () => {
  it('are the same on every call, with and without a hint', () => {
    reserve('other');
    expect(reserve('web').address).toBe('10.0.0.3');
    expect(reserve('web')).toEqual({ address: '10.0.0.3', fresh: false });
    expect(reserve('web', { hint: '10.0.0.3' })).toEqual({ address: '10.0.0.3', fresh: false });
    expect(reserve('web', { hint: '10.0.0.2' })).toEqual({ address: '10.0.0.3', fresh: false });
  });

  it('belong to an interface, not only to a container', () => {
    expect(reserveAddress(store, ranges, holder('web', 'eth0'), {}).address).toBe('10.0.0.2');
    expect(reserveAddress(store, ranges, holder('web', 'eth1'), {}).address).toBe('10.0.0.3');
  });

  it('are given up for one in the ranges when the ranges have moved', () => {
    put('10.9.9.9', 'web\r\neth0');
    expect(reserve('web', { hint: '10.9.9.9' })).toEqual({ address: '10.0.0.2', fresh: true });
  });

  it("are given up when the bridge has taken the holder's address", () => {
    reserve('web');
    expect(reserve('web', { skip: ['10.0.0.2'], hint: '10.0.0.2' })).toEqual({ address: '10.0.0.3', fresh: true });
  });

  it.each(['', '../../etc/passwd', 'x', '10.0.0.300', '::1'])('ignore %j as a hint', (hint) => {
    expect(reserve('web', { hint })).toEqual({ address: '10.0.0.2', fresh: true });
    expect(releaseAddress(store, holder('web'), hint)).toEqual(['10.0.0.2']);
  });
});

describe('round robin', () => {
  it('goes on after the last address, wraps, and skips', () => {
    const given = ['a', 'b', 'c'].map((id) => reserve(id, { skip: ['10.0.0.4'] }).address);
    expect(given).toEqual(['10.0.0.2', '10.0.0.3', '10.0.0.5']);
    releaseAddress(store, holder('b'));
    releaseAddress(store, holder('a'));
    expect(reserve('d', { skip: ['10.0.0.4'] }).address).toBe('10.0.0.2');
    expect(reserve('e', { skip: ['10.0.0.4'] }).address).toBe('10.0.0.3');
  });

  it('does not give a released address to the next one', () => {
    reserve('a');
    releaseAddress(store, holder('a'));
    expect(reserve('b').address).toBe('10.0.0.3');
  });

  it.each(['', 'garbage', '10.0.0.77', '999.0.0.3', '10.0.0.3\n10.0.0.4'])(
    'starts over when the last is %j',
    (last) => {
      put('last_reserved_ip.0', last);
      expect(reserve('a').address).toBe('10.0.0.2');
    },
  );

  it('crosses from one range into the next and back', () => {
    const two = [
      { from: '10.0.0.10', to: '10.0.0.11' },
      { from: '10.0.0.2', to: '10.0.0.3' },
    ];
    put('last_reserved_ip.0', '10.0.0.3');
    const given = ['a', 'b', 'c', 'd'].map((id) => reserveAddress(store, two, holder(id), {}).address);
    expect(given).toEqual(['10.0.0.10', '10.0.0.11', '10.0.0.2', '10.0.0.3']);
  });

  it('counts beyond 2^31 and ends at the last address there is', () => {
    const high = [{ from: '255.255.255.254', to: '255.255.255.255' }];
    expect(reserveAddress(store, high, holder('a'), {}).address).toBe('255.255.255.254');
    expect(reserveAddress(store, high, holder('b'), {}).address).toBe('255.255.255.255');
    expect(() => reserveAddress(store, high, holder('c'), {})).toThrow(/no free address/);
  });

  it('goes on when its memory cannot be written', () => {
    mkdirSync(join(directory, 'last_reserved_ip.0'), { recursive: true });
    expect(reserve('a').address).toBe('10.0.0.2');
    expect(reserve('b').address).toBe('10.0.0.3');
  });
});

describe('an address of an earlier range', () => {
  const dynamic = { from: '10.0.0.100', to: '10.0.0.200' };
  const now = (options: ReserveOptions) =>
    reserveAddress(store, [{ from: '10.0.0.210', to: '10.0.0.220' }], holder('web'), options);

  it("stays its holder's, but where somebody else gives addresses out", () => {
    reserve('web');
    expect(now({ hint: '10.0.0.2', dynamic })).toEqual({ address: '10.0.0.2', fresh: false });
    expect(now({ hint: '10.0.0.2', dynamic: null })).toEqual({ address: '10.0.0.2', fresh: false });
    expect(now({ hint: '10.0.0.2', dynamic: { from: '10.0.0.2', to: '10.0.0.200' } })).toEqual({
      address: '10.0.0.210',
      fresh: true,
    });
  });

  it("is nobody's for the asking", () => {
    reserve('other');
    expect(now({ hint: '10.0.0.2', dynamic }).address).toBe('10.0.0.210');
    expect(now({ hint: '10.0.0.3', dynamic }).address).toBe('10.0.0.210');
  });

  it('is not kept where nobody asks for that, as host-local does', () => {
    reserve('web');
    expect(now({ hint: '10.0.0.2' }).address).toBe('10.0.0.210');
  });
});

describe('a static address', () => {
  it('may lie outside the ranges and is the same on every call', () => {
    expect(reserve('web', { wanted: '10.0.0.200' })).toEqual({ address: '10.0.0.200', fresh: true });
    expect(reserve('web', { wanted: '10.0.0.200' })).toEqual({ address: '10.0.0.200', fresh: false });
  });

  it('leaves the former address of the holder until that is released', () => {
    reserve('web');
    reserve('web', { wanted: '10.0.0.200' });
    expect(releaseAddress(store, holder('web'), '10.0.0.2')).toEqual(['10.0.0.2']);
    expect(listAddresses(store).map(({ address }) => address)).toEqual(['10.0.0.200']);
  });

  it('names the holder who has it', () => {
    reserve('db', { wanted: '10.0.0.9' });
    expect(() => reserve('web', { wanted: '10.0.0.9' })).toThrow(
      /10\.0\.0\.9 of network br0 is held by db eth0; .*br0\/10\.0\.0\.9/,
    );
    put('10.0.0.8', '');
    expect(() => reserve('web', { wanted: '10.0.0.8' })).toThrow(/held by somebody unknown/);
  });

  it.each(['10.0.0', '10.0.0.256', '010.0.0.1', '::1', 'x', '', '10.0.0.1/24', '../10.0.0.9'])(
    '%j is refused',
    (wanted) => {
      expect(() => reserve('web', { wanted })).toThrow(NethooksError);
      expect(() => reserve('web', { wanted: '10.0.0.1', skip: ['10.0.0.1'] })).toThrow(/the host's own/);
    },
  );
});

describe('an exhausted range', () => {
  it('says what is full, and how to get out', () => {
    for (const id of ['a', 'b', 'c']) reserve(id);
    put('10.0.0.5', '');
    const message =
      /no free address in network br0: all of 10\.0\.0\.2-10\.0\.0\.5 is in use, 4 held \(1 by files that name no holder\); .*br0$/;
    expect(() => reserve('d')).toThrow(message);
    expect(readdirSync(directory)).toHaveLength(5); // no temporary file is left
  });

  it('has room again after a release', () => {
    for (const id of ['a', 'b', 'c', 'd']) reserve(id);
    releaseAddress(store, { id: 'c' });
    expect(reserve('e')).toEqual({ address: '10.0.0.4', fresh: true });
  });
});

describe('release', () => {
  it("gives back all of the holder's addresses, or those of one interface", () => {
    reserveAddress(store, ranges, holder('web', 'eth0'), {});
    reserveAddress(store, ranges, holder('web', 'eth1'), {});
    reserveAddress(store, ranges, holder('web', 'eth2'), {});
    put('fd00::5', 'web\r\neth2');
    expect(releaseAddress(store, holder('web', 'eth1'))).toEqual(['10.0.0.3']);
    expect(releaseAddress(store, { id: 'web' }).sort()).toEqual(['10.0.0.2', '10.0.0.4', 'fd00::5']);
    expect(releaseAddress(store, { id: 'web' })).toEqual([]);
  });

  it("never gives back somebody else's address", () => {
    reserve('new');
    expect(releaseAddress(store, holder('old'), '10.0.0.2')).toEqual([]);
    expect(releaseAddress(store, { id: 'ne' })).toEqual([]);
    expect(listAddresses(store)).toHaveLength(1);
  });

  it('of a network that never was is no error', () => {
    expect(releaseAddress(store, { id: 'web' })).toEqual([]);
    expect(listAddresses(store)).toEqual([]);
  });
});

describe('what else lies in the directory', () => {
  it('is not listed, and nothing blocks on it', () => {
    reserve('web');
    put('lock', '');
    put('10.0.0.300', 'x\r\neth0');
    put('10.0.0.30', 'x'.repeat(5000));
    put('10.0.0.31', 'a\r\nb\r\nc');
    put('10.0.0.32', '\0\0\0');
    put('notes.txt', 'web\r\neth0');
    put('10.0.0.3', ''); // host-local between create and write
    mkdirSync(join(directory, '10.0.0.33'));
    symlinkSync('/etc/passwd', join(directory, '10.0.0.34'));
    execFileSync('mkfifo', [join(directory, '10.0.0.35')]);
    expect(listAddresses(store).map(({ address, holder }) => [address, holder])).toEqual([['10.0.0.2', holder('web')]]);
    expect(reserve('new').address).toBe('10.0.0.4');
    expect(() => reserve('new', { wanted: '10.0.0.35' })).toThrow(/somebody unknown/);
  });

  it('says when an address was reserved', () => {
    const before = Date.now();
    reserve('web');
    const [entry] = listAddresses(store);
    expect(entry?.reservedAt).toBeGreaterThan(before - 1000);
    expect(entry?.reservedAt).toBeLessThan(Date.now() + 1000);
  });

  it('is tidied when a killed process left it a while ago', () => {
    put('.nethooks-1-1-old', 'web\r\neth0');
    reserve('a');
    expect(readdirSync(directory)).toContain('.nethooks-1-1-old'); // may belong to a process at work
    vi.spyOn(Date, 'now').mockReturnValue(Date.now() + 61_000);
    reserve('b');
    expect(readdirSync(directory)).not.toContain('.nethooks-1-1-old');
    vi.restoreAllMocks();
  });
});

it("knows a killed process's temporary file by its pid in our PID namespace only: others share the directory", () => {
  const namespace = /\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0];
  const gone = `.nethooks-4194305-${namespace}-1-x`;
  put(gone, 'web\r\neth0');
  put(`.nethooks-${process.pid}-${namespace}-1-x`, 'web\r\neth0');
  put('.nethooks-4194305-1-1-x', 'web\r\neth0');
  put('.nethooks-4194305-1-x', 'web\r\neth0'); // as an earlier version called them
  expect(abandonedReservations(directory)).toEqual([join(directory, gone)]);
});

it.each(['', '.', '..', '../x', 'a/b', 'a b', '-x', 'a\n'])('refuses the network name %j', (network) => {
  expect(() => reserveAddress({ dataDir, network }, ranges, holder('web'), {})).toThrow(NethooksError);
  expect(() => releaseAddress({ dataDir, network }, { id: 'web' })).toThrow(NethooksError);
});

it.each([
  ['', 'eth0'],
  ['web', ''],
  ['web\r\nx', 'eth0'],
  [' web', 'eth0'],
  ['web', 'eth0\0'],
  ['x'.repeat(1100), 'eth0'],
])('refuses the holder %j %j', (id, ifname) => {
  expect(() => reserveAddress(store, ranges, { id, ifname }, {})).toThrow(/not a holder/);
});

it.each([
  ['10.0.0.5', '10.0.0.2'],
  ['x', '10.0.0.2'],
  ['10.0.0.2', '10.0.0.400'],
])('refuses the range %s-%s', (from, to) => {
  expect(() => reserveAddress(store, [{ from, to }], holder('web'), {})).toThrow(/not a range/);
});
