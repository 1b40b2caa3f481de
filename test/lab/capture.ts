import { execa } from 'execa';
import type { ThrowawayHost } from '../../src/demo/throwaway.ts';
import { must } from './host.ts';
import { containerPid } from './lxc.ts';

export interface Capture {
  /** Ends it and returns what tcpdump printed, one or more lines per packet. */
  stop(): Promise<string>;
}

/** Where to listen: by default in the host. */
export interface CaptureOptions {
  readonly internet?: boolean;
  /** In this container's network namespace. */
  readonly container?: string;
}

/**
 * Starts tcpdump in the host and returns when it listens. `args` are its own: `['-i', 'br0', '-vv', 'udp port 67']`; names are
 * not looked up, packets appear at once. Needs the package tcpdump.
 */
export async function capture(
  host: ThrowawayHost,
  args: readonly string[],
  options: CaptureOptions = {},
): Promise<Capture> {
  const inside =
    options.container === undefined
      ? []
      : ['nsenter', '--net', '--target', String(await containerPid(host, options.container)), '--'];
  // It says its PID in the host, so that it alone can be ended: nsenter would not pass a signal on.
  const argv = [
    ...inside,
    'sh',
    '-c',
    'echo "pid $$" >&2; exec "$@"',
    'sh',
    'tcpdump',
    '-l',
    '-n',
    '--immediate-mode',
    ...args,
  ];
  const { file, args: words, env } = host.enter(argv, { internet: options.internet ?? false });
  const child = execa(file, words, { env, extendEnv: false, stdin: 'ignore', reject: false });
  let heard = '';
  await new Promise<void>((resolve, reject) => {
    child.stderr.on('data', (data) => {
      heard += data;
      if (heard.includes('listening on')) resolve();
    });
    child.once('exit', () => reject(new Error(`tcpdump: ${heard.trim()}`)));
  });
  return {
    stop: async () => {
      // Packets that were sent just before this must still arrive; the kernel hands them over in order, but not at once.
      await new Promise((resolve) => setTimeout(resolve, 100));
      await must(host, ['kill', '-INT', /^pid (\d+)/m.exec(heard)?.[1] ?? '']);
      return (await child).stdout;
    },
  };
}
