/** Starting programs with Bun's own functions (https://bun.com/docs/api/spawn); spawn.ts says what is promised. */
import { type Ended, type Launch, MAX_BYTES, type Program, type Stdio, tooLate } from './spawn.ts';

interface BunOptions {
  cmd: string[];
  env: Readonly<Record<string, string>>;
  cwd: string;
  stdio: ('pipe' | 'ignore' | Uint8Array | number)[];
  timeout?: number;
  killSignal?: 'SIGKILL';
  maxBuffer?: number;
}

interface Sink {
  write(text: string): unknown;
  flush(): unknown;
  end(): unknown;
}

declare const Bun: {
  /** Throws ENOENT. */
  spawnSync(options: BunOptions): {
    exitCode: number | null;
    exitedDueToTimeout?: boolean;
    stdout: Buffer;
    stderr: Buffer;
  };
  spawn(options: BunOptions): {
    /** 128 and the number of the signal, where one ended it. */
    exited: Promise<number>;
    exitCode: number | null;
    /** All three may throw or reject with EPIPE. */
    stdin: Sink | undefined;
    kill(signal: 'SIGKILL'): void;
    ref(): void;
    unref(): void;
  };
};

/** @throws Error with `code`: ENOENT, or ETIMEDOUT after `timeout` ms */
export function run({ command, args, env, fd }: Launch, input: string | undefined, timeout: number): Ended {
  const { exitCode, stdout, stderr, exitedDueToTimeout } = Bun.spawnSync({
    cmd: [command, ...args],
    env,
    cwd: '/',
    timeout,
    killSignal: 'SIGKILL',
    maxBuffer: MAX_BYTES,
    stdio: [input === undefined ? 'ignore' : Buffer.from(input), 'pipe', 'pipe', ...(fd === undefined ? [] : [fd])],
  });
  if (exitedDueToTimeout) throw tooLate();
  return { code: exitCode, stdout: stdout.toString(), stderr: stderr.toString() };
}

export function start({ command, args, env, fd }: Launch, { input, output, errors }: Stdio): Program {
  const stdio: BunOptions['stdio'] = [input, output, errors, ...(fd === undefined ? [] : [fd])];
  const child = Bun.spawn({ cmd: [command, ...args], env, cwd: '/', stdio });
  child.unref();
  return {
    ended: child.exited.then(() => child.exitCode),
    finish: (text = '') => {
      child.ref();
      if (child.stdin) void give(child.stdin, text).catch(() => undefined); // it has ended without reading: what it said says why
    },
    kill: () => child.kill('SIGKILL'),
  };
}

/** Now: without the flush it would have its input when we next wait for something, and wait until then itself. */
async function give(stdin: Sink, input: string): Promise<void> {
  await Promise.all([stdin.write(input), stdin.flush(), stdin.end()]);
}
