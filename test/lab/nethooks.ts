import { fileURLToPath } from 'node:url';
import type { ThrowawayHost } from '../../src/demo/throwaway.ts';
import { must, writeFile } from './host.ts';

const CHECKOUT = fileURLToPath(new URL('../..', import.meta.url));

export interface InstallOptions {
  /** Which build; default: bun. */
  readonly runtime?: 'bun' | 'node';
  /** The configuration to install with; by default install.sh writes one. */
  readonly config?: string;
}

/** Installs nethooks in the host as a newcomer does, and returns what install.sh printed. */
export async function installNethooks(host: ThrowawayHost, options: InstallOptions = {}): Promise<string> {
  if (options.config !== undefined) await writeConfig(host, options.config);
  const argv = ['./install.sh', '--no-apt', '--runtime', options.runtime ?? 'bun'];
  return must(host, argv, { cwd: CHECKOUT, timeoutMs: 60_000 });
}

/** Writes /etc/nethooks/nethooks.ini. */
export function writeConfig(host: ThrowawayHost, ini: string): Promise<void> {
  return writeFile(host, '/etc/nethooks/nethooks.ini', ini);
}
