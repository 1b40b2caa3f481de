/** Starting programs with Bun's own functions (https://bun.com/docs/api/spawn); spawn.ts says what is promised. */
import { type Ended, type Launch, MAX_BYTES, type Program, tooLate } from './spawn.ts';

interface BunOptions {
  cmd: string[];
  env: Readonly<Record<string, string>>;
  cwd: string;
  stdio: ('pipe' | 'ignore' | Uint8Array | number)[];
  timeout?: number;
  killSignal?: 'SIGKILL';
  maxBuffer?: number;
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
    /** Both may throw or reject with EPIPE. */
    stdin: { write(text: string): unknown; end(): unknown };
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

/** @param output, errors file descriptors of what it prints */
export function start({ command, args, env, fd }: Launch, output: number, errors: number): Program {
  const stdio: BunOptions['stdio'] = ['pipe', output, errors, ...(fd === undefined ? [] : [fd])];
  const child = Bun.spawn({ cmd: [command, ...args], env, cwd: '/', stdio });
  child.unref();
  return {
    ended: child.exited.then(() => child.exitCode),
    finish: (input) => {
      child.ref();
      void give(child.stdin, input).catch(() => undefined); // it has ended without reading: what it said says why
    },
    kill: () => child.kill('SIGKILL'),
  };
}

async function give(stdin: { write(text: string): unknown; end(): unknown }, input: string): Promise<void> {
  await stdin.write(input);
  await stdin.end();
}
