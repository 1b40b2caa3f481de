import { fileURLToPath } from 'node:url';
import type { ThrowawayHost, ThrowawayOptions } from '../../src/demo/throwaway.ts';
import { parseEvents } from '../../src/model/event.ts';
import { addNamespaces, installCni } from './cni.ts';
import { labHost, must, writeFile } from './host.ts';
import { createContainers } from './lxc.ts';

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

/** One network, br0, with the address that install.sh writes. */
export const BR0 = '[network.br0]\naddress = 10.0.0.1/24\n';

export interface InstalledHostOptions extends ThrowawayOptions, InstallOptions {
  /** LXC containers that are made after the installation, with `containerConfig` in their configuration. */
  readonly containers?: readonly string[];
  readonly containerConfig?: string;
  /** Whether our CNI plugins are put beside the stock ones. */
  readonly cni?: boolean;
  /** Named network namespaces, for CNI and `nethooks attach`. */
  readonly namespaces?: readonly string[];
}

/** A throwaway host on which nethooks is installed and runs. See {@link labHost} for its end. */
export async function installedHost(options: InstalledHostOptions = {}): Promise<ThrowawayHost> {
  const host = await labHost(options);
  await installNethooks(host, options);
  if (options.cni) await installCni(host);
  await createContainers(host, options.containers ?? [], options.containerConfig);
  await addNamespaces(host, options.namespaces ?? []);
  return host;
}

/** What tests of containers do all the time, on the host that their file has when it is called. */
export function commandsOn(host: () => ThrowawayHost) {
  return {
    start: (name: string) => must(host(), ['lxc-start', '-n', name]),
    /** Kills it. This returns before its post-stop hook has run. */
    stop: (name: string) => must(host(), ['lxc-stop', '-k', '-n', name]),
    /** The IPv4 address of a name, as any program of the host looks it up; empty where there is none. */
    resolved: async (name: string) => (await host().run(['getent', 'ahostsv4', name])).stdout.split(/\s+/)[0] ?? '',
    /** What hooks had to say, or why they failed, a line for each, behind its time and what it is about; empty where that is nothing. */
    hookLog: () => hookLog(host()),
    /** `nethooks up`, with this configuration from now on. */
    up: async (ini?: string) => {
      if (ini !== undefined) await writeConfig(host(), ini);
      return must(host(), ['nethooks', 'up']);
    },
  };
}

/** Everything in the log of which somebody has to know. */
export async function hookLog(host: Pick<ThrowawayHost, 'run'>): Promise<string> {
  const events = parseEvents((await host.run(['cat', '/var/log/nethooks/hooks.log'])).stdout);
  return events
    .flatMap(({ at, event, about, input, said, error }) => {
      // Whoever calls a command sees why it fails.
      const why = error === null || input.env.PWD !== undefined ? [] : error.split('\n');
      return [...said, ...why].map((line) => `${at} ${`${event} ${about}`.trim()}: ${line}\n`);
    })
    .join('');
}

/** Writes /etc/nethooks/nethooks.ini. */
export function writeConfig(host: ThrowawayHost, ini: string): Promise<void> {
  return writeFile(host, '/etc/nethooks/nethooks.ini', ini);
}
