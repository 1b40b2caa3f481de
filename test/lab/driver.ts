/** Runs a piece of our source in processes of its own: under the runtimes that we ship for, many at once, killable. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const BUN = resolve('node_modules/bun/bin/bun.exe');

/** The runtimes, by name: what to put before the path of a script. */
export const RUNTIMES: Record<'node' | 'bun', string> = { node: process.execPath, bun: BUN };

/**
 * A script for both runtimes, bundled from TypeScript whose imports begin with `#src/`. `remove` deletes it.
 * @param target whose built-in modules it uses; those of node are in Bun, too
 */
export function bundle(source: string, target: 'node' | 'bun' = 'node'): { path: string; remove: () => void } {
  const directory = mkdtempSync(join(tmpdir(), 'nethooks-driver-'));
  const [entry, path] = [join(directory, 'entry.ts'), join(directory, 'driver.cjs')];
  writeFileSync(entry, source.replaceAll('#src/', `${resolve('src')}/`));
  execFileSync(BUN, ['build', entry, `--target=${target}`, '--format=cjs', `--outfile=${path}`], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  return { path, remove: () => rmSync(directory, { recursive: true, force: true }) };
}
