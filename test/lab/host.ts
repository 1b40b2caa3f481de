import { afterAll } from 'vitest';
import type { RunOptions } from '../../src/demo/enter.ts';
import { startThrowawayHost, type ThrowawayHost, type ThrowawayOptions } from '../../src/demo/throwaway.ts';
import { expectGone } from './machine.ts';

const hosts: ThrowawayHost[] = [];

/**
 * Starts a throwaway host for the test file that calls this. It is closed after the file's last test, if the test does not close
 * it before, and then nothing of it may be left on the machine, or the file fails.
 */
export async function labHost(options: ThrowawayOptions = {}): Promise<ThrowawayHost> {
  const host = await startThrowawayHost(options);
  hosts.push(host);
  return host;
}

afterAll(async () => {
  await Promise.all(hosts.map((host) => host.close()));
  await expectGone(hosts.map((host) => host.id));
});

/**
 * Runs a shell script in the host; `$1` … are `args`. Returns what it printed to standard output.
 * @throws Error with everything it printed, if its exit status is not 0. It runs under `set -eu`.
 */
export async function sh(
  host: ThrowawayHost,
  script: string,
  args: readonly string[] = [],
  options: RunOptions = {},
): Promise<string> {
  return must(host, ['sh', '-euc', script, 'sh', ...args], options);
}

/** The same for one command, without a shell. */
export async function must(host: ThrowawayHost, argv: readonly string[], options: RunOptions = {}): Promise<string> {
  const { code, stdout, stderr } = await host.run(argv, options);
  if (code !== 0) throw new Error(`exit status ${code}: ${argv.join(' ')}\n${stdout}${stderr}`);
  return stdout;
}

/** Writes a file in the host, with its directory. */
export async function writeFile(host: ThrowawayHost, path: string, text: string, mode = '644'): Promise<void> {
  await must(host, ['install', '-D', '-m', mode, '/dev/stdin', path], { input: text });
}
