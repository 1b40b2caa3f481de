/** Starting programs: arguments as a list, never through a shell, always with a time limit. */
import { spawnSync } from 'node:child_process';
import { NethooksError } from '../errors.ts';

export interface ExecOptions {
  /** Text for its standard input; without it the program reads end of file. */
  input?: string;
  /** An open file descriptor that the program finds as number 3. */
  fd?: number;
}

export interface ExecResult {
  /** Exit status; null when a signal ended it. */
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Runs a program to its end. Throws NethooksError when it cannot be started or takes too long; a failure is a result. */
export type Exec = (command: string, args: readonly string[], options?: ExecOptions) => ExecResult;

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
};

/** Programs come from the system's directories: a hook inherits the PATH of whoever started the container. */
const ENVIRONMENT = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  LC_ALL: 'C',
};

/** An Exec whose programs all together end before `deadline` (ms on the clock of performance.now()). */
export function execUntil(deadline: number): Exec {
  return (command, args, { input, fd } = {}) => {
    const timeout = Math.max(1, Math.floor(deadline - performance.now()));
    const result = spawnSync(command, args, {
      env: ENVIRONMENT,
      cwd: '/',
      encoding: 'utf8',
      timeout,
      killSignal: 'SIGKILL',
      maxBuffer: 256 * 1024 * 1024,
      ...(input === undefined ? {} : { input }),
      stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe', ...(fd === undefined ? [] : [fd])],
    });
    const code = (result.error as NodeJS.ErrnoException | undefined)?.code;
    if (code === 'ENOENT') throw new NethooksError(missing(command));
    if (code === 'ETIMEDOUT') throw new NethooksError(`${command} ${args.join(' ')}: gave up, no time left`);
    if (result.error) throw new NethooksError(`${command}: ${result.error.message}`, 1, { cause: result.error });
    return { code: result.status, stdout: result.stdout ?? '', stderr: result.stderr ?? '' };
  };
}

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
