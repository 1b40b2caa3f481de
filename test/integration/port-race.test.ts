import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { bundle, RUNTIMES } from '../lab/driver.ts';

const { path, remove } = bundle(`
import { readFileSync } from 'node:fs';
import { parsePortSpec } from '#src/model/ports.ts';
import { wantedPorts } from '#src/plan/attachment/publish.ts';
import { reservePorts } from '#src/store/ports.ts';
const [, , directory, container, ...publish] = process.argv;
const wanted = wantedPorts({ publish: publish.map(parsePortSpec), expose: [], publishAll: false, publishAddress: '0.0.0.0' });
process.stdout.write('ready\\n');
readFileSync(0); // until all of them are ready
try {
  const { published } = reservePorts(container, wanted, { from: 24000, to: 24015 }, { directory });
  console.log(published.map(({ hostPort }) => hostPort).join());
} catch (error) {
  console.log('refused: ' + error.message);
}
`);
afterAll(remove);

/** Runs many at the same moment; what each printed. */
async function race(runtime: string, directory: string, asks: string[][]): Promise<string[]> {
  const racers = asks.map((publish, index) => {
    const child = spawn(runtime, [path, directory, `lxc/c${index}`, ...publish], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    let out = '';
    child.stdout.on('data', (data) => {
      out += data;
    });
    const ready = new Promise((resolve) => child.stdout.once('data', resolve));
    const said = new Promise<string>((resolve) =>
      child.once('close', () => resolve(out.replace('ready\n', '').trim())),
    );
    return { child, ready, said };
  });
  await Promise.all(racers.map(({ ready }) => ready));
  for (const { child } of racers) child.stdin.end();
  return Promise.all(racers.map(({ said }) => said));
}

describe.each(Object.entries(RUNTIMES))('host ports under %s', (_, runtime) => {
  const directory = mkdtempSync(join(tmpdir(), 'nethooks-race-'));
  afterAll(() => rmSync(directory, { recursive: true }));

  it('one port for eight who want it: one gets it', async () => {
    const answers = await race(runtime, directory, Array(8).fill(['24100:80']));
    expect(answers.filter((answer) => answer === '24100')).toHaveLength(1);
    expect(
      answers.filter((answer) => /^refused: .*24100\/tcp is (in use|being taken) by container c\d/.test(answer)),
    ).toHaveLength(7);
    expect(readdirSync(`${directory}/tcp-24100`)).toEqual(['0.0.0.0']);
  });

  it('one at all addresses against seven at one each: never both', async () => {
    for (let round = 0; round < 5; round++) {
      const port = 24200 + round;
      const asks = Array.from({ length: 8 }, (_, index) => [
        index === 0 ? `${port}:80` : `127.0.0.${index}:${port}:80`,
      ]);
      await race(runtime, directory, asks);
      const held = readdirSync(`${directory}/tcp-${port}`);
      if (held.includes('0.0.0.0')) expect(held).toHaveLength(1);
      expect(held.length).toBeGreaterThan(0);
    }
  });

  it('sixteen ports that nobody chose, for eight with two each', async () => {
    const answers = await race(runtime, directory, Array(8).fill(['80', '81']));
    expect(new Set(answers.flatMap((answer) => answer.split(','))).size).toBe(16);
  });
});
