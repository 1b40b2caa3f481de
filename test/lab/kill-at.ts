/** Ends `nethooks setup` and `teardown` with SIGKILL at any change that they make. */
import { expect } from 'vitest';
import type { ThrowawayHost } from '../../src/demo/throwaway.ts';
import { must, sh, writeFile } from './host.ts';

/** For a host with a release in /root/release (installation.ts). */
export const prepareKills = (host: ThrowawayHost): Promise<void> => writeFile(host, '/root/kill-at.cjs', KILL_AT);

/** A command of the build for node, whose calls of the file system can be watched. */
export const nodeBuild = (...words: string[]): string[] => [
  'node',
  '--require',
  '/root/kill-at.cjs',
  '/root/release/dist/nethooks.cjs',
  ...words,
];

/** How many changes a run makes, once for all. */
export async function changesOf(host: ThrowawayHost, ...command: string[]): Promise<number> {
  await must(host, nodeBuild(...command), { env: { KILL_COUNT: '/root/changes' } });
  return Number(await sh(host, 'cat /root/changes; rm /root/changes'));
}

/** Runs it, and ends it at one of its changes. */
export async function killed(host: ThrowawayHost, command: string | readonly string[], at: string): Promise<void> {
  const { code, stderr } = await host.run(nodeBuild(...[command].flat()), { env: { KILL_AT: at } });
  expect({ code, stderr }).toEqual({ code: 137, stderr: '' });
}

/**
 * Ends the process with SIGKILL in the middle of its KILL_AT-th change to the file system, or before it starts its next program;
 * with KILL_COUNT it writes into that file how many there were.
 */
const KILL_AT = `
const fs = require('node:fs');
const child = require('node:child_process');
const at = Number(process.env.KILL_AT ?? 0);
const { writeFileSync, truncateSync, readdirSync, rmSync, statSync, copyFileSync } = fs;
let changes = 0;
const watch = (module, name, half) => {
  const real = module[name];
  module[name] = (...args) => {
    if (++changes === at) {
      try { half(...args); } catch {}
      process.kill(process.pid, 'SIGKILL');
      for (;;);
    }
    return real(...args);
  };
};
watch(fs, 'writeFileSync', (path, data, options) => writeFileSync(path, data.slice(0, data.length / 2), options));
watch(fs, 'copyFileSync', (from, to, mode) => { copyFileSync(from, to, mode); truncateSync(to, statSync(to).size / 2); });
watch(fs, 'rmSync', (path) => rmSync(path + '/' + readdirSync(path)[0], { recursive: true }));
for (const name of ['mkdirSync', 'renameSync', 'chmodSync', 'rmdirSync', 'linkSync', 'unlinkSync']) watch(fs, name, () => {});
for (const name of ['spawnSync', 'spawn']) watch(child, name, () => {});
if (process.env.KILL_COUNT) process.on('exit', () => writeFileSync(process.env.KILL_COUNT, String(changes)));
`;
