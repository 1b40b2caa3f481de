import { constants } from 'node:os';
import { execa } from 'execa';
import enterScript from '../../templates/throwaway-host/enter.sh.mustache' with { type: 'text' };

export interface RunOptions {
  /** Its standard input; without it, /dev/null. */
  readonly input?: string;
  /** Default: 30 000 ms. */
  readonly timeoutMs?: number;
  /** Added to the small environment that every command gets. */
  readonly env?: Readonly<Record<string, string>>;
  /** Default: `/`. */
  readonly cwd?: string;
}

export interface RunResult {
  /** Exit status; 128 + the signal's number if a signal ended it, as in sh. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** What to start, and in which environment (nothing is inherited). */
export interface Enter {
  readonly file: string;
  readonly args: string[];
  readonly env: Record<string, string>;
}

/** A command took too long; its process group was killed. */
export class TimeoutError extends Error {
  override name = 'TimeoutError';
}

/** The host to enter: its init's PID on the machine, and its id, to tell it from a process that got the same PID later. */
interface Target {
  readonly id: string;
  readonly pid: number;
}

const environment = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  HOME: '/root',
  LANG: 'C.UTF-8',
  TERM: 'dumb',
  // With a socket as its stdin, as node makes them, bash takes itself for a login over the network and reads ~/.bashrc.
  SHLVL: '1',
};

/**
 * The argv that runs `argv` in the host, or on the far side of its uplinks; the network namespace of that is init's fd 9.
 * @param stdin `pipe` puts a pipe in between; by default the command gets what the caller gives
 */
export function enter(
  target: Target,
  argv: readonly string[],
  cwd: string,
  internet: boolean,
  stdin: 'pipe' | '' = '',
): Enter {
  const net = internet ? `/proc/${target.pid}/fd/9` : '';
  return {
    file: 'sh',
    args: ['-c', enterScript, 'enter', String(target.pid), target.id, net, cwd, stdin, ...argv],
    env: { ...environment },
  };
}

/**
 * Runs a command in the host and waits for its end and for its output's end.
 * @throws TimeoutError, with what it wrote so far.
 */
export async function run(
  target: Target,
  argv: readonly string[],
  options: RunOptions,
  internet: boolean,
): Promise<RunResult> {
  const { file, args, env } = enter(
    target,
    argv,
    options.cwd ?? '/',
    internet,
    options.input === undefined ? '' : 'pipe',
  );
  const timeoutMs = options.timeoutMs ?? 30_000;
  const child = execa(file, args, {
    env: { ...env, ...options.env },
    extendEnv: false,
    ...(options.input === undefined ? { stdin: 'ignore' } : { input: options.input }),
    reject: false,
    stripFinalNewline: false,
    detached: true, // a process group of its own, so that a timeout reaches more than nsenter
    cleanup: true,
  });
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    if (child.pid !== undefined) kill(child.pid);
    // A daemon that it started may still hold the pipes.
    child.stdout.destroy();
    child.stderr.destroy();
  }, timeoutMs);
  const result = await child;
  clearTimeout(timer);
  if (late) {
    throw new TimeoutError(`still running after ${timeoutMs} ms: ${argv.join(' ')}\n${result.stdout}${result.stderr}`);
  }
  const signal = result.signal === undefined ? 0 : constants.signals[result.signal];
  return { code: result.exitCode ?? 128 + signal, stdout: result.stdout, stderr: result.stderr };
}

function kill(group: number): void {
  try {
    process.kill(-group, 'SIGKILL');
  } catch {
    // It has just ended.
  }
}
