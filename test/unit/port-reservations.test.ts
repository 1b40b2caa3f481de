import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { parsePortSpec } from '../../src/model/ports.ts';
import { wantedPorts } from '../../src/plan/attachment/publish.ts';
import { listPorts, type PortOptions, releasePorts, reservePorts } from '../../src/store/ports.ts';
import { isAlive, startTime } from '../../src/system/process.ts';

/** How much is asked of the file system: one for each call, and one for each entry of a directory that is listed. */
const asked = vi.hoisted(() => ({ count: 0 }));
vi.mock('node:fs', async (original) => {
  const fs = await original<typeof import('node:fs')>();
  const counted = Object.entries(fs).map(([name, value]) => {
    if (!name.endsWith('Sync')) return [name, value];
    return [
      name,
      (...args: unknown[]) => {
        const result = (value as (...args: unknown[]) => unknown)(...args);
        asked.count += Array.isArray(result) ? result.length : 1;
        return result;
      },
    ];
  });
  return Object.fromEntries(counted);
});

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'nethooks-ports-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

/** Ports that nothing on this machine is likely to have. */
const RANGE = { from: 21_000, to: 21_009 };
const reserve = (container: string, publish: string[], options: PortOptions = {}) =>
  reservePorts(
    container,
    wantedPorts({ publish: publish.map(parsePortSpec), expose: [], publishAll: false, publishAddress: '0.0.0.0' }),
    RANGE,
    { directory, ...options },
  );
const ports = (container: string, publish: string[]) => reserve(container, publish).published.map((p) => p.hostPort);

/** Runs `use` while this process listens on a port of 127.0.0.1. */
async function listening(use: (port: number) => Promise<void>): Promise<void> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    await use((server.address() as { port: number }).port);
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
}

describe('host ports', () => {
  it('are one file each, and the same for who has them already', () => {
    const { published, fresh } = reserve('lxc/web', ['21080:80', '127.0.0.1:21081:81/udp']);
    expect(readdirSync(directory).sort()).toEqual(['tcp-21080', 'udp-21081']);
    expect(fresh).toHaveLength(2);
    expect(reserve('lxc/web', ['21080:80'])).toEqual({ published: [published[0]], fresh: [] });
    releasePorts('lxc/web', published, directory);
    expect(readdirSync(directory)).toEqual([]);
  });

  it.each([
    ['21080:80', '21080:80', 'publish 21080:80: host port 0.0.0.0:21080/tcp is in use by container web'],
    ['21080:80', '127.0.0.1:21080:80', 'host port 127.0.0.1:21080/tcp is in use by container web'],
    ['127.0.0.1:21080:80', '21080:80', 'host port 0.0.0.0:21080/tcp is in use by container web'],
    ['21080-21081:80-81', '21081:80', 'in use by container web'],
  ])('%s excludes %s', (first, second, words) => {
    reserve('lxc/web', [first]);
    const before = readdirSync(directory);
    expect(() => reserve('lxc/db', ['21090:90', second])).toThrow(words);
    expect(readdirSync(directory)).toEqual(before); // all or none
  });

  it('of different protocols or addresses go together', () => {
    reserve('lxc/web', ['21080:80', '127.0.0.1:21081:81']);
    reserve('lxc/db', ['21080:80/udp', '127.0.0.2:21081:81']);
    expect(
      listPorts(directory)
        .map(({ container }) => container)
        .sort(),
    ).toEqual(['lxc/db', 'lxc/db', 'lxc/web', 'lxc/web']);
  });

  it('given away are only the own', () => {
    const { published } = reserve('lxc/web', ['21080:80']);
    releasePorts('lxc/db', published, directory);
    expect(listPorts(directory)).toHaveLength(1);
  });

  it('to choose from: the first that is free', () => {
    expect(ports('lxc/web', ['21020-21022:80'])).toEqual([21_020]);
    expect(ports('lxc/db', ['21020-21022:80'])).toEqual([21_021]);
    // One that has only that choice goes first.
    expect(ports('lxc/own', ['21022-21023:80', '21022:81'])).toEqual([21_023, 21_022]);
  });

  it('that nobody chose come from the range, differ, and run out', () => {
    const taken = Array.from({ length: 10 }, (_, index) => ports(`lxc/c${index}`, ['80'])[0] as number);
    expect([...taken].sort()).toEqual(Array.from({ length: 10 }, (_, index) => RANGE.from + index));
    expect(() => reserve('lxc/late', ['80'])).toThrow('publish 80: no host port is free of the ephemeral range');
  });

  it('that nobody chose come back, with memory and, while free, without', () => {
    const first = reserve('lxc/web', ['80', '81']);
    releasePorts('lxc/web', first.published, directory);
    expect(reserve('lxc/web', ['80', '81']).published).toEqual(first.published);
    releasePorts('lxc/web', first.published, directory);
    const elsewhere = first.published.map((one, index) => ({ ...one, hostPort: 21_004 + index }));
    expect(reserve('lxc/web', ['80', '81'], { remembered: elsewhere }).published).toEqual(elsewhere);
  });

  it('in use by a process are refused, naming it', async () => {
    await listening(async (port) => {
      expect(() => reserve('lxc/web', [`${port}:80`])).toThrow(
        new RegExp(`host port 0\\.0\\.0\\.0:${port}/tcp is in use by \\S.*\\(pid ${process.pid}\\)`),
      );
      expect(() => reserve('lxc/web', [`127.0.0.1:${port}:80`])).toThrow(`pid ${process.pid}`);
      expect(ports('lxc/web', [`127.0.0.2:${port}:80`, `${port}:80/udp`])).toEqual([port, port]);
      expect(ports('lxc/db', [`${port}-65535:80`])[0]).not.toBe(port);
    });
  });

  it("in use by the container's own runtime are no conflict; another container's are", async () => {
    await listening(async (port) => {
      const asked: number[] = [];
      const isOwn = (pid: number) => {
        asked.push(pid);
        return pid === process.pid;
      };
      expect(reserve('lxc/web', ['21080:80'], { isOwn }).published).toHaveLength(1);
      expect(asked).toEqual([]); // nothing is busy, nobody is looked for
      expect(reserve('lxc/web', [`${port}:80`], { isOwn }).published).toMatchObject([{ hostPort: port }]);
      expect(asked).toContain(process.pid);
      expect(() => reserve('lxc/db', [`${port}:80`], { isOwn })).toThrow('in use by container web');
      expect(() => reserve('lxc/web', [`${port}:80`], { isOwn: () => false })).toThrow(`(pid ${process.pid})`);
    });
  });

  it('cost as much each, whether they are few or a thousand with another thousand beside them', () => {
    const cost = (container: string, publish: string, count: number) => {
      asked.count = 0;
      expect(ports(container, [publish])).toHaveLength(count);
      return asked.count / count;
    };
    const few = cost('lxc/few', '21900-21909:1000-1009', 10);
    expect(cost('lxc/web', '22000-22999:1000-1999', 1000)).toBeLessThan(2 * few);
    expect(cost('lxc/db', '23000-23999:1000-1999', 1000)).toBeLessThan(2 * few);
  });
});

describe('a process', () => {
  it('is the same while pid and start are', () => {
    const started = startTime(process.pid);
    expect(started).toMatch(/^\d+$/);
    expect(isAlive({ pid: process.pid, started })).toBe(true);
    expect(isAlive({ pid: process.pid, started: '1' })).toBe(false);
    expect(isAlive({ pid: process.pid, started: null })).toBe(true);
    expect(isAlive({ pid: 2 ** 22 + 1, started })).toBe(false);
  });
});
