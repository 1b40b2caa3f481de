import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync } from 'node:fs';
import initScript from '../../templates/throwaway-host/init.sh.mustache' with { type: 'text' };
import superviseScript from '../../templates/throwaway-host/supervise.sh.mustache' with { type: 'text' };
import { type Enter, enter, type RunOptions, type RunResult, run } from './enter.ts';
import { lifeline } from './lifeline.ts';
import { type Uplink, uplinkLines, uplinks } from './uplinks.ts';

export interface ThrowawayOptions {
  /** Its host name, also in its /etc/hosts. Default: `throwaway`. */
  readonly hostname?: string;
  /** How many interfaces it has to the fake internet, eth0, eth1 … Default: 1. */
  readonly uplinks?: number;
  /** Whether the fake internet answers DNS. Default: no, and names resolve nowhere. */
  readonly dns?: boolean;
  /** How long it may take to come up. Default: 10 000 ms. */
  readonly timeoutMs?: number;
}

/** A copy of this machine to try things on: see {@link startThrowawayHost}. */
export interface ThrowawayHost {
  /** Name of its cgroup on the machine; no other has it. */
  readonly id: string;
  /** Its init, in the machine's numbering. */
  readonly pid: number;
  readonly uplinks: readonly Uplink[];
  /**
   * Runs a command in it, by default in `/`, for 30 s at most, with a small environment of its own.
   * A command that fails is a result like any other; throws {@link TimeoutError}, or if the host is closed.
   */
  run(argv: readonly string[], options?: RunOptions): Promise<RunResult>;
  /** The same in the network namespace of the fake internet, the far side of the uplinks. */
  internet(argv: readonly string[], options?: RunOptions): Promise<RunResult>;
  /** The argv that enters it, for whoever starts the process himself (a shell, something in the background). */
  enter(argv: readonly string[], options?: { cwd?: string; internet?: boolean }): Enter;
  /** Ends every process in it and waits until nothing is left. Can be called twice. */
  close(): Promise<void>;
}

let counter = 0;

/**
 * Starts a throwaway host: the machine's files below an overlay whose writes go to memory, with mount, network, PID, IPC, UTS
 * and cgroup namespaces (namespaces(7)) of its own, and a fake internet behind its uplinks. LXC works in it. The machine's network
 * namespace is not touched at any moment: the veth pairs are made inside.
 *
 * Everything lives as long as its init, and init as long as the pipe that this process holds: when this process ends, be it by
 * SIGKILL, the kernel removes the lot.
 *
 * @throws Error with what the scripts wrote, if it does not come up. Needs root.
 */
export async function startThrowawayHost(options: ThrowawayOptions = {}): Promise<ThrowawayHost> {
  const id = `nethooks-${process.pid}-${++counter}`;
  const links = uplinks(options.uplinks ?? 1);
  const line = await lifeline();
  const supervisor = spawn('unshare', ['--mount', 'sh', '-c', 'eval "$NETHOOKS_SUPERVISE"', 'throwaway-host'], {
    // A session of its own: Ctrl-C in the terminal must not take it down before it has cleaned up.
    detached: true,
    stdio: [line.far, 'pipe', 'pipe'],
    env: {
      PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      NETHOOKS_SUPERVISE: superviseScript,
      NETHOOKS_INIT: initScript,
      NETHOOKS_ID: id,
      NETHOOKS_HOSTNAME: options.hostname ?? 'throwaway',
      NETHOOKS_UPLINKS: uplinkLines(links),
      NETHOOKS_DNS: options.dns ? '1' : '',
    },
  });
  closeSync(line.far);
  const ended = new Promise<void>((resolve) => {
    supervisor.once('exit', () => resolve()).once('error', () => resolve());
  });
  let cut = false;
  const end = async (): Promise<void> => {
    supervisor.ref();
    if (!cut) closeSync(line.near);
    cut = true;
    await ended;
  };
  const pid = await ready(supervisor, options.timeoutMs ?? 10_000).catch(async (error: unknown) => {
    await end();
    throw error;
  });
  // A host that nobody closed must not keep this process alive: it goes with it.
  supervisor.unref();
  supervisor.stdout?.destroy();
  supervisor.stderr?.destroy();

  let open = true;
  void ended.then(() => {
    open = false;
  });
  const target = { id, pid };
  const guarded = async (argv: readonly string[], o: RunOptions, internet: boolean): Promise<RunResult> => {
    if (!open) throw new Error(`throwaway host ${id} is closed: ${argv.join(' ')}`);
    return run(target, argv, o, internet);
  };
  return {
    id,
    pid,
    uplinks: links,
    run: (argv, o = {}) => guarded(argv, o, false),
    internet: (argv, o = {}) => guarded(argv, o, true),
    enter: (argv, o = {}) => enter(target, argv, o.cwd ?? '/', o.internet ?? false),
    close: async () => {
      open = false;
      await end();
    },
  };
}

/** Init's PID, once it says that the host can be used; throws with what it wrote if it ends before, or is late. */
function ready(supervisor: ChildProcess, timeoutMs: number): Promise<number> {
  return new Promise((resolve, reject) => {
    let out = '';
    let err = '';
    const fail = (why: string) =>
      reject(new Error(`throwaway host: ${why}: ${err.trim() || out.trim() || 'no message'}`));
    const timer = setTimeout(() => fail(`not up after ${timeoutMs} ms`), timeoutMs);
    supervisor.stderr?.on('data', (data) => {
      err += data;
    });
    supervisor.stdout?.on('data', (data) => {
      out += data;
      const pid = /^ready (\d+)\n/m.exec(out)?.[1];
      if (pid === undefined) return;
      clearTimeout(timer);
      resolve(Number(pid));
    });
    supervisor.once('error', (error) => fail(error.message));
    supervisor.once('close', () => {
      clearTimeout(timer);
      fail('did not come up');
    });
  });
}
