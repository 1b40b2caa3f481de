import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startTime } from '../../src/system/process.ts';
import { bundle, RUNTIMES } from '../lab/driver.ts';

/** Takes the lock, adds one to a number that is read long before it is written, and gives the lock back, or dies with it. */
const { path, remove } = bundle(`
import { readFileSync, writeFileSync } from 'node:fs';
import { execUntil } from '#src/system/exec.ts';
import { lockHost } from '#src/system/lock.ts';
const [, , directory, wait, how] = process.argv;
async function add() {
  const release = await lockHost(execUntil(performance.now() + 20000), Number(wait), directory);
  const number = Number(readFileSync(directory + '/number', 'utf8'));
  await new Promise((resolve) => setTimeout(resolve, 20));
  writeFileSync(directory + '/number', String(number + 1));
  if (how === 'die') process.kill(process.pid, 'SIGKILL');
  release();
}
add().catch((error) => console.log(error.message));
`);
afterAll(remove);

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'nethooks-lock-'));
  writeFileSync(join(directory, 'number'), '0');
});
afterEach(() => rmSync(directory, { recursive: true }));

const number = (): number => Number(readFileSync(join(directory, 'number'), 'utf8'));

describe.each(Object.entries(RUNTIMES))('the lock of a host under %s', (_, runtime) => {
  const locking = (wait: number, how = 'release') =>
    new Promise<string>((resolve) => {
      let out = '';
      const child = spawn(runtime, [path, directory, String(wait), how], { stdio: ['ignore', 'pipe', 'inherit'] });
      child.stdout.on('data', (data) => {
        out += data;
      });
      child.once('close', () => resolve(out.trim()));
    });

  it('is had by one after the other, and leaves nothing', async () => {
    expect(await Promise.all(Array.from({ length: 12 }, () => locking(15)))).toEqual(Array(12).fill(''));
    expect(number()).toBe(12);
    expect(readdirSync(directory).sort()).toEqual(['number', 'queue']);
  });

  it('of one that died goes to the next, whoever waits', async () => {
    const answers = await Promise.all(Array.from({ length: 10 }, (_, index) => locking(15, index % 2 ? 'die' : '')));
    expect(answers).toEqual(Array(10).fill(''));
    expect(number()).toBe(10);
  });

  it('of one that goes on working is waited for, and then left', async () => {
    writeFileSync(join(directory, 'lock'), `${process.pid} ${startTime(process.pid)}\n`);
    expect(await locking(0.2)).toBe(`another nethooks is still at work after 0.2 s (${directory}/lock)`);
    expect(number()).toBe(0);
    expect(readdirSync(directory)).toContain('lock');
  });

  it("is not a later process's that has the same pid", async () => {
    writeFileSync(join(directory, 'lock'), `${process.pid} 1\n`);
    expect(await locking(1)).toBe('');
    expect(number()).toBe(1);
  });
});
