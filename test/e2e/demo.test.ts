import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { execa } from 'execa';
import { expect, it } from 'vitest';
import { whatIsMissing } from '../../src/demo/requirements.ts';
import { assertNothingLeft, describeLab, machineState } from '../lab/lab.ts';

const BUILDS: Record<string, readonly [string, ...string[]]> = {
  'the compiled executable': [resolve('dist/nethooks')],
  'the script for node': [process.execPath, resolve('dist/nethooks.cjs')],
};

describeLab('nethooks demo', () => {
  for (const [name, [file, ...args]] of Object.entries(BUILDS)) {
    it(`shows the main job with ${name}, and leaves nothing`, async () => {
      const before = await machineState();
      const demo = execa(file, [...args, 'demo'], { reject: false });
      const { exitCode, stdout, stderr } = await demo;
      expect(exitCode, `${stdout}\n${stderr}`).toBe(0);
      for (const line of [
        /^\$ \.\/install\.sh --no-apt/m,
        /^64 bytes from .*10\.0\.0\.2\b/m,
        /^10\.0\.0\.3 +web\.lxc$/m,
        /^you come from 192\.0\.2\.2$/m,
        /ip saddr @subnets goto leave/,
        /^nothing to change$/m,
        /^\$ getent hosts test\.lxc .*, exit status 2\n\n# All of it in \d/m,
      ]) {
        expect(stdout).toMatch(line);
      }
      await assertNothingLeft(before, demo.pid);
    });

    for (const [signal, code] of [
      ['SIGINT', 130],
      ['SIGTERM', 143],
      ['SIGKILL', null],
    ] as const) {
      it(`leaves nothing after ${signal} with ${name}`, async () => {
        const before = await machineState();
        const demo = spawn(file, [...args, 'demo'], { stdio: ['ignore', 'pipe', 'inherit'] });
        const ended = new Promise((done) => demo.once('exit', done));
        await new Promise<void>((begun) => {
          // In the middle: a container runs.
          demo.stdout.on('data', (data) => String(data).includes('lxc-start test') && begun());
        });
        demo.kill(signal);
        expect(await ended).toBe(code);
        await assertNothingLeft(before, demo.pid);
      });
    }
  }

  it('fails with the step, its command and its output', async () => {
    // A checkout whose install.sh does not work.
    const directory = mkdtempSync(join(tmpdir(), 'nethooks-demo-'));
    try {
      cpSync('dist/nethooks.cjs', join(directory, 'dist/nethooks.cjs'));
      writeFileSync(join(directory, 'install.sh'), '#!/bin/sh\necho trying\necho no luck >&2\nexit 7\n', {
        mode: 0o755,
      });
      const { exitCode, stderr } = await execa(process.execPath, [join(directory, 'dist/nethooks.cjs'), 'demo'], {
        reject: false,
      });
      expect(exitCode).toBe(1);
      expect(stderr).toMatch(
        /^nethooks: demo: this step failed, exit status 7 instead of 0:\n\$ \.\/install\.sh .*\ntrying\nno luck$/,
      );
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

it('says in one line what the demo needs', () => {
  expect(whatIsMissing(0, () => true)).toBeUndefined();
  expect(whatIsMissing(1000, () => true)).toMatch(/^needs root .*sudo$/);
  expect(whatIsMissing(0, (program) => !program.startsWith('lxc') && program !== 'busybox')).toBe(
    'needs lxc-start, busybox: apt install lxc busybox-static',
  );
});
