/** Starting programs with node:child_process; spawn.ts says what is promised. */
import { spawn, spawnSync } from 'node:child_process';
import { type Ended, type Launch, MAX_BYTES, type Program, type Stdio } from './spawn.ts';

/** @throws Error with `code`: ENOENT, or ETIMEDOUT after `timeout` ms */
export function run({ command, args, env, fd }: Launch, input: string | undefined, timeout: number): Ended {
  const { error, status, stdout, stderr } = spawnSync(command, args, {
    env,
    cwd: '/',
    encoding: 'utf8',
    timeout,
    killSignal: 'SIGKILL',
    maxBuffer: MAX_BYTES,
    ...(input === undefined ? {} : { input }),
    stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe', ...(fd === undefined ? [] : [fd])],
  });
  if (error) throw error;
  return { code: status, stdout, stderr };
}

export function start({ command, args, env, fd }: Launch, { input, output, errors }: Stdio): Program {
  const child = spawn(command, args, {
    env,
    cwd: '/',
    stdio: [input, output, errors, ...(fd === undefined ? [] : [fd])],
  });
  child.unref();
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', resolve);
  });
  ended.catch(() => undefined); // whoever waits for it hears of it
  child.stdin?.on('error', () => undefined); // it has ended without reading
  return {
    ended,
    finish: (text) => {
      child.ref();
      child.stdin?.end(text);
    },
    kill: () => child.kill('SIGKILL'),
  };
}
