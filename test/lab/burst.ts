/** Many containers started at the same moment, as by lxc-autostart after a boot, or by an orchestrator. */
import { fileURLToPath } from 'node:url';
import type { ThrowawayHost } from '../../src/demo/throwaway.ts';
import { cniOnNetwork, script } from './lifecycle.ts';

const FUNCTIONS = fileURLToPath(new URL('./burst.sh', import.meta.url));

export type Kind = 'LXC' | 'CNI';

/** A number of containers that start and stop together. */
export interface Crowd {
  readonly kind: Kind;
  readonly size: number;
  /** Whether each publishes a port: 10001 and on. */
  readonly ports: boolean;
}

/** What came of it. */
export interface Burst {
  /** One line for each that did not end with 0, or said something. */
  readonly refused: string[];
  /** ms from the release of all to the end of the last. */
  readonly elapsed: number;
}

const call = (host: ThrowawayHost, crowd: Crowd, what: string): Promise<string> =>
  script(host, `. ${FUNCTIONS}\n${what}`, [], {
    env: {
      kind: crowd.kind,
      size: String(crowd.size),
      ports: String(crowd.ports),
      CNI_CONFIG: cniOnNetwork(crowd.ports ? 10000 : undefined),
    },
    timeoutMs: 300_000,
  });

/** Makes what a runtime has made before it calls us: namespaces, for LXC with interfaces and processes. */
export const prepare = (host: ThrowawayHost, crowd: Crowd): Promise<string> => call(host, crowd, 'prepare');

/** Takes away what is gone when a runtime calls us at the end; with CNI that is nothing yet. */
export const vanish = (host: ThrowawayHost, crowd: Crowd): Promise<string> => call(host, crowd, 'vanish');

/** Removes the namespaces. */
export const clear = (host: ThrowawayHost, crowd: Crowd): Promise<string> => call(host, crowd, 'clear');

/** start-host or ADD for all, at once. */
export const startAll = (host: ThrowawayHost, crowd: Crowd): Promise<Burst> => burst(host, crowd, 'start_one');

/** post-stop or DEL for all, at once. */
export const stopAll = (host: ThrowawayHost, crowd: Crowd): Promise<Burst> => burst(host, crowd, 'stop_one');

async function burst(host: ThrowawayHost, crowd: Crowd, work: string): Promise<Burst> {
  const lines = (await call(host, crowd, `at_once ${work}`)).trim().split('\n');
  return { elapsed: Number(lines.pop()), refused: lines };
}

/** Keeps the processors busy until the returned function is called. */
export async function busyLoops(host: ThrowawayHost, count: number): Promise<() => Promise<void>> {
  const loops = await script(
    host,
    'for _ in $(seq "$1"); do (setsid sh -c "while :; do :; done" </dev/null >/dev/null 2>&1 & echo $!); done',
    [String(count)],
  );
  const pids = loops.trim().split('\n');
  return async () => {
    await script(host, 'kill "$@"', pids);
  };
}
