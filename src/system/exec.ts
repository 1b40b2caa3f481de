/** Starting programs: arguments as a list, never through a shell, always with a time limit. */
import { spawn, spawnSync } from 'node:child_process';
import { closeSync, constants, openSync, readSync } from 'node:fs';
import { NethooksError } from '../errors.ts';

export interface ExecOptions {
  /** Text for its standard input; without it the program reads end of file. */
  input?: string;
  /** An open file descriptor that the program finds as number 3. */
  fd?: number;
  /** Added to the small environment that every program gets. */
  env?: Readonly<Record<string, string>>;
}

export interface ExecResult {
  /** Exit status; null when a signal ended it. */
  code: number | null;
  stdout: string;
  stderr: string;
}

export interface Exec {
  /** Runs a program to its end. Throws NethooksError when it cannot be started or takes too long; a failure is a result. */
  (command: string, args: readonly string[], options?: ExecOptions): ExecResult;
  /** Starts a program and goes on; its standard output is dropped. Rejects where the call above throws. */
  start(command: string, args: readonly string[]): Promise<ExecResult>;
}

/** Which Debian package brings a program that is missing. */
const PACKAGES: Record<string, string> = {
  ip: 'iproute2',
  nft: 'nftables',
  iptables: 'iptables',
  'iptables-save': 'iptables',
  'iptables-restore': 'iptables',
  dnsmasq: 'dnsmasq-base',
  nsenter: 'util-linux',
  flock: 'util-linux',
  modprobe: 'kmod',
  conntrack: 'conntrack',
};

/** Programs come from the system's directories: a hook inherits the PATH of whoever started the container. */
const ENVIRONMENT = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  LC_ALL: 'C',
};

/** For each program after the deadline: what had been done by then is taken back by programs too, and those take some ms. */
const GRACE_MS = 200;

/** An Exec whose programs all together end before `deadline` (ms on the clock of performance.now()). */
export function execUntil(deadline: number): Exec {
  const left = (): number => Math.max(GRACE_MS, Math.floor(deadline - performance.now()));
  const exec: Exec = (command, args, { input, fd, env } = {}) => {
    const result = spawnSync(command, args, {
      env: env ? { ...ENVIRONMENT, ...env } : ENVIRONMENT,
      cwd: '/',
      encoding: 'utf8',
      timeout: left(),
      killSignal: 'SIGKILL',
      maxBuffer: 256 * 1024 * 1024,
      ...(input === undefined ? {} : { input }),
      stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe', ...(fd === undefined ? [] : [fd])],
    });
    if (result.error) throw startFailure(command, args, result.error);
    return { code: result.status, stdout: result.stdout ?? '', stderr: result.stderr ?? '' };
  };
  exec.start = (command, args) => startProgram(command, args, left());
  return exec;
}

/** Standard error goes to a file without a name: a pipe would bring node's streams in, which take longer than most programs. */
function startProgram(command: string, args: readonly string[], timeout: number): Promise<ExecResult> {
  return new Promise((resolve, reject) => {
    const errors = openSync('/run', O_TMPFILE | constants.O_RDWR, 0o600);
    const child = spawn(command, args, { env: ENVIRONMENT, cwd: '/', stdio: ['ignore', 'ignore', errors] });
    // Not spawn's own timeout: node goes on waiting for it after a program that is not there.
    const timer = setTimeout(() => child.kill('SIGKILL'), timeout);
    child.once('error', (error) => {
      clearTimeout(timer);
      closeSync(errors);
      reject(startFailure(command, args, error));
    });
    child.once('exit', (code) => {
      clearTimeout(timer);
      const bytes = Buffer.alloc(4096);
      const stderr = bytes.toString('utf8', 0, readSync(errors, bytes, 0, bytes.length, 0));
      closeSync(errors);
      if (child.killed) reject(tooLate(command, args));
      else resolve({ code, stdout: '', stderr });
    });
  });
}

/** open(2): an unnamed file; node has no constant for it, and its lower half is not the same on every architecture. */
const O_TMPFILE = 0o20000000 | constants.O_DIRECTORY;

function startFailure(command: string, args: readonly string[], cause: NodeJS.ErrnoException): NethooksError {
  if (cause.code === 'ENOENT') return new NethooksError(missing(command), 1, { cause });
  if (cause.code === 'ETIMEDOUT') return tooLate(command, args);
  return new NethooksError(`${command}: ${cause.message}`, 1, { cause });
}

const tooLate = (command: string, args: readonly string[]): NethooksError =>
  new NethooksError(`${command} ${args.join(' ')}: gave up, no time left`);

/** The result of a program that must succeed. Throws NethooksError with the program's own words otherwise. */
export function must(exec: Exec, command: string, args: readonly string[], options?: ExecOptions): ExecResult {
  const result = exec(command, args, options);
  if (result.code !== 0) throw new NethooksError(failure(command, args, result));
  return result;
}

/** One line (or the program's own few) about a program that failed. */
export function failure(command: string, args: readonly string[], { code, stderr, stdout }: ExecResult): string {
  const words = (stderr.trim() || stdout.trim()).split('\n').slice(0, 3).join('; ');
  return `${[command, ...args].join(' ')}: ${words || (code === null ? 'killed' : `exit status ${code}`)}`;
}

function missing(command: string): string {
  const name = PACKAGES[command];
  return `${command} is not installed${name ? `; \`apt install ${name}\` brings it` : ''}`;
}
