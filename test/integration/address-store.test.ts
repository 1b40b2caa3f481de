import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { listAddresses, releaseAddress, reserveAddress } from '../../src/store/addresses.ts';
import { bundle, RUNTIMES } from '../lab/driver.ts';

const HOST_LOCAL = '/usr/lib/cni/host-local';
const PROCESSES = 24;

let driver: { path: string; remove: () => void };
let dataDir: string;

interface Handle {
  go: () => void;
  kill: () => void;
  /** What it printed, when it has ended well. */
  done: Promise<string>;
}
const started: Handle[] = [];

/**
 * argv: DATADIR FROM TO NAME COUNT [release]. Waits until stdin closes, so that many begin at once; then reserves for COUNT holders,
 * and with `release` gives every second one back and reserves for as many others.
 */
const DRIVER = `
import { readFileSync } from 'node:fs';
import { releaseAddress, reserveAddress } from '#src/store/addresses.ts';
const [dataDir, from, to, name, count, release] = process.argv.slice(2);
const store = { dataDir, network: 'br0' };
const reserve = (id) => [id, reserveAddress(store, [{ from, to }], { id, ifname: 'eth0' }, { skip: ['10.0.0.1'] }).address];
readFileSync(0);
let held = [];
for (let i = 0; i < Number(count); i++) {
  held.push(reserve(name + '-' + i));
  if (release && i % 2) {
    const [id, address] = held.shift();
    if (releaseAddress(store, { id }, address)[0] !== address) throw new Error('lost ' + id + ' ' + address);
  }
}
process.stdout.write(JSON.stringify(held));
`;

beforeAll(() => {
  driver = bundle(DRIVER);
});
afterAll(() => driver?.remove());
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'nethooks-store-'));
});
afterEach(async () => {
  for (const { kill } of started) kill();
  await Promise.allSettled(started.splice(0).map(({ done }) => done));
  rmSync(dataDir, { recursive: true, force: true });
});

/** A process that has started and waits for `go`. */
function start(command: string, args: string[], input = '', env: Record<string, string> = {}): Handle {
  const child = spawn(command, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
    timeout: 25_000,
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (data) => {
    stdout += data;
  });
  child.stderr.on('data', (data) => {
    stderr += data;
  });
  const done = new Promise<string>((resolve, reject) => {
    child.on('close', (code) =>
      code === 0 ? resolve(stdout) : reject(new Error(`${command} ${args}: ${code} ${stdout}${stderr}`)),
    );
  });
  const handle: Handle = { go: () => child.stdin.end(input), kill: () => child.kill('SIGKILL'), done };
  started.push(handle);
  return handle;
}

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function begin(processes: Handle[]): Promise<void> {
  await sleep(400); // so that all of them have loaded
  for (const { go } of processes) go();
}

async function atOnce(processes: Handle[]): Promise<string[]> {
  await begin(processes);
  return Promise.all(processes.map(({ done }) => done));
}

const runtime = (index: number) => (index % 2 ? RUNTIMES.bun : RUNTIMES.node);
const reserving = (index: number, count: number, ...words: string[]) =>
  start(runtime(index), [driver.path, dataDir, '10.0.0.1', '10.0.3.255', `c${index}`, `${count}`, ...words]);
const store = () => ({ dataDir, network: 'br0' });
const onDisk = () => Object.fromEntries(listAddresses(store()).map(({ address, holder }) => [holder.id, address]));
const leftovers = () =>
  readdirSync(join(dataDir, 'br0')).filter((name) => !/^10\.|^last_reserved_ip\.0$|^lock$/.test(name));

describe('many processes at once', () => {
  it('never get the same address, and each gets what the disk says', async () => {
    const outputs = await atOnce(Array.from({ length: PROCESSES }, (_, index) => reserving(index, 20)));
    const held = Object.fromEntries(outputs.flatMap((output) => JSON.parse(output) as [string, string][]));
    expect(Object.keys(held)).toHaveLength(PROCESSES * 20);
    expect(new Set(Object.values(held)).size).toBe(PROCESSES * 20);
    expect(onDisk()).toEqual(held);
    expect(leftovers()).toEqual([]);
  });

  it('may release at the same time', async () => {
    const outputs = await atOnce(Array.from({ length: PROCESSES }, (_, index) => reserving(index, 30, 'release')));
    const held = Object.fromEntries(outputs.flatMap((output) => JSON.parse(output) as [string, string][]));
    expect(new Set(Object.values(held)).size).toBe(PROCESSES * 15);
    expect(onDisk()).toEqual(held);
    expect(leftovers()).toEqual([]);
  });

  it('share a range to its last address, and not one further', async () => {
    const args = (index: number) => [driver.path, dataDir, '10.0.0.2', '10.0.0.13', `c${index}`, '1'];
    const processes = Array.from({ length: 16 }, (_, index) => start(runtime(index), args(index)));
    await begin(processes);
    const results = await Promise.allSettled(processes.map(({ done }) => done));
    const failed = results.filter((result) => result.status === 'rejected').map((result) => String(result.reason));
    expect(failed).toHaveLength(4);
    for (const message of failed) expect(message).toMatch(/no free address in network br0/);
    expect(new Set(Object.values(onDisk())).size).toBe(12);
  });

  it('give one holder one address when they come one after the other', () => {
    const first = reserveAddress(store(), [{ from: '10.0.0.2', to: '10.0.0.9' }], { id: 'web', ifname: 'eth0' }, {});
    for (let turn = 0; turn < 20; turn++) {
      expect(
        reserveAddress(store(), [{ from: '10.0.0.2', to: '10.0.0.9' }], { id: 'web', ifname: 'eth0' }, {}).address,
      ).toBe(first.address);
    }
  });

  it('that are killed leave whole reservations only', async () => {
    const processes = Array.from({ length: 8 }, (_, index) => reserving(index, 100_000));
    await begin(processes);
    await sleep(150);
    for (const { kill } of processes) kill();
    await Promise.allSettled(processes.map(({ done }) => done));
    const files = readdirSync(join(dataDir, 'br0')).filter((name) => name.startsWith('10.'));
    expect(files.length).toBeGreaterThan(8);
    expect(listAddresses(store())).toHaveLength(files.length);
    expect(leftovers().every((name) => name.startsWith('.nethooks-'))).toBe(true);
  });
});

describe("together with CNI's own host-local", () => {
  const config = () =>
    JSON.stringify({
      cniVersion: '0.4.0',
      name: 'br0',
      ipam: {
        type: 'host-local',
        dataDir,
        ranges: [[{ subnet: '10.0.0.0/22', rangeStart: '10.0.0.2', rangeEnd: '10.0.3.254', gateway: '10.0.0.1' }]],
      },
    });
  const hostLocal = (command: string, id: string) =>
    start(HOST_LOCAL, [], config(), {
      CNI_COMMAND: command,
      CNI_CONTAINERID: id,
      CNI_NETNS: '/dummy',
      CNI_IFNAME: 'eth0',
      CNI_PATH: '/usr/lib/cni',
    });
  const addressIn = (result: string) =>
    (JSON.parse(result) as { ips: [{ address: string }] }).ips[0].address.split('/')[0];

  it('is installed', () => expect(existsSync(HOST_LOCAL), 'apt install containernetworking-plugins').toBe(true));

  it('shares one range without collisions', async () => {
    const theirs = Array.from({ length: 40 }, (_, index) => hostLocal('ADD', `cni${index}`));
    const ours = Array.from({ length: 10 }, (_, index) => reserving(index, 20, 'release'));
    const outputs = await atOnce([...ours, ...theirs]);
    const held = Object.fromEntries(outputs.slice(0, 10).flatMap((output) => JSON.parse(output) as [string, string][]));
    for (const [index, output] of outputs.slice(10).entries()) held[`cni${index}`] = addressIn(output) as string;
    expect(new Set(Object.values(held)).size).toBe(10 * 10 + 40);
    expect(onDisk()).toEqual(held);

    await atOnce(Array.from({ length: 40 }, (_, index) => hostLocal('DEL', `cni${index}`)));
    expect(Object.keys(onDisk())).toHaveLength(100);
    expect(leftovers()).toEqual([]);
  });

  it('releases and goes on where the other one stopped', async () => {
    const ranges = [{ from: '10.0.0.2', to: '10.0.3.254' }];
    const [first] = await atOnce([hostLocal('ADD', 'cni')]);
    expect(addressIn(first as string)).toBe('10.0.0.2');
    expect(reserveAddress(store(), ranges, { id: 'lxc', ifname: 'eth0' }, {}).address).toBe('10.0.0.3');
    const [next] = await atOnce([hostLocal('ADD', 'cni2')]);
    expect(addressIn(next as string)).toBe('10.0.0.4');
    expect(reserveAddress(store(), ranges, { id: 'cni', ifname: 'eth0' }, {})).toEqual({
      address: '10.0.0.2',
      fresh: false,
    });
    expect(releaseAddress(store(), { id: 'cni', ifname: 'eth0' })).toEqual(['10.0.0.2']);
    await atOnce([hostLocal('DEL', 'lxc')]);
    expect(onDisk()).toEqual({ cni2: '10.0.0.4' });
  });
});
