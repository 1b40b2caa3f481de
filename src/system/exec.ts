/** Starting programs: arguments as a list, never through a shell, always with a time limit. */
import { closeSync, constants, fstatSync, openSync, readdirSync, readFileSync, readSync, writeSync } from 'node:fs';
import { run, start } from '#spawn';
import { NethooksError } from '../errors.ts';
import { printable } from './log.ts';
import { startTime } from './process.ts';
import { type Ended, type Launch, type Program, type Stdio, tooLate } from './spawn.ts';

export interface ExecOptions {
  /** Text for its standard input; without it the program reads end of file. */
  input?: string;
  /** An open file descriptor that the program finds as number 3. */
  fd?: number;
  /** Added to the small environment that every program gets. */
  env?: Readonly<Record<string, string>>;
}

export type ExecResult = Ended;

/** A program that has been started and waits for its input. Unused, it reads end of file when we end. */
export type Prepared = (input: string) => Promise<ExecResult>;

export interface Exec {
  /** Runs a program to its end. Throws NethooksError when it cannot be started or takes too long; a failure is a result. */
  (command: string, args: readonly string[], options?: ExecOptions): ExecResult;
  /** Starts a program and goes on. Rejects where the call above throws. */
  start(command: string, args: readonly string[], options?: Pick<ExecOptions, 'input'>): Promise<ExecResult>;
  /**
   * Starts a program ahead of its input: while we find out what it is to do, it loads.
   * @throws NethooksError when it cannot be started
   */
  prepare(command: string, args: readonly string[], options?: Pick<ExecOptions, 'fd'>): Prepared;
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
  'firewall-cmd': 'firewalld',
  conntrack: 'conntrack',
};

/** Programs come from the system's directories: a hook inherits the PATH of whoever started the container. */
const PROGRAMS = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  LC_ALL: 'C',
};

/** Who has started a program: it may outlive us, and go on with what we wanted. */
const CALLER = 'NETHOOKS_CALLER';
const callerMark = (pid: number, started: string | null): string => `${pid}:${started}`;

/** Whether a program runs that was started by a process that is gone. Looks at every process of the host. */
export function hasOrphans({ pid, started }: { pid: number; started: string | null }): boolean {
  const mark = `${CALLER}=${callerMark(pid, started)}`;
  return readdirSync('/proc').some((name) => {
    try {
      return /^\d+$/.test(name) && readFileSync(`/proc/${name}/environ`, 'utf8').split('\0').includes(mark);
    } catch {
      return false; // it has ended
    }
  });
}

let verbose = (process.env.NETHOOKS_VERBOSE ?? '') !== '';

/** From now on each program is said on standard error when it has ended. For hooks, NETHOOKS_VERBOSE in the environment does it. */
export function beVerbose(): void {
  verbose = true;
}

/** @param code null: a signal ended it; undefined: it was not there, or took too long */
function sayEnded({ command, args }: Launch, begun: number, code: number | null | undefined): void {
  if (!verbose) return;
  const how = code === undefined ? 'failed' : code === null ? 'killed' : `exit status ${code}`;
  console.error(
    `nethooks: ran ${printable([command, ...args].join(' '))}  (${how}, ${(performance.now() - begun).toFixed(1)} ms)`,
  );
}

/** Minimum time for each program after the deadline, for the rollback. */
const GRACE_MS = 200;

/** An Exec whose programs all together end before `deadline` (ms on the clock of performance.now()). */
export const execUntil = (deadline: number): Exec =>
  execFor(() => Math.max(GRACE_MS, Math.floor(deadline - performance.now())));

/** An Exec each of whose programs ends within `limit` ms: what hangs is ended, and waiting for a turn does not count. */
export const execWithin = (limit: number): Exec => execFor(() => limit);

/** @param left ms that the next program may take */
function execFor(left: () => number): Exec {
  const ENVIRONMENT = { ...PROGRAMS, [CALLER]: callerMark(process.pid, startTime(process.pid)) };
  const exec: Exec = (command, args, { input, fd, env } = {}) => {
    const launch = { command, args, fd, env: env ? { ...ENVIRONMENT, ...env } : ENVIRONMENT };
    const begun = performance.now();
    let code: ExecResult['code'] | undefined;
    try {
      const result = run(launch, input, left());
      code = result.code;
      return result;
    } catch (error) {
      throw startFailure(launch, error);
    } finally {
      sayEnded(launch, begun, code);
    }
  };
  exec.prepare = (command, args, { fd } = {}) => {
    const launch = { command, args, fd, env: ENVIRONMENT };
    const program = beside(launch, 'pipe');
    return (input) => finish(launch, program, left(), input);
  };
  exec.start = async (command, args, { input } = {}) => {
    const launch = { command, args, env: ENVIRONMENT };
    if (input === undefined) return finish(launch, beside(launch, 'ignore'), left());
    // A pipe would be written to and closed in the background.
    const text = fileWith(input);
    try {
      return await finish(launch, beside(launch, text), left());
    } finally {
      closeSync(text);
    }
  };
  return exec;
}

/** A program beside us and the files without a name that it prints into: pipes would bring streams in, which take their time. */
type Beside = Program & Pick<Stdio, 'output' | 'errors'> & { begun: number };

function beside(launch: Launch, input: Stdio['input']): Beside {
  const [output, errors] = [unnamedFile(), unnamedFile()];
  try {
    const begun = performance.now();
    return { ...start(launch, { input, output, errors }), output, errors, begun };
  } catch (error) {
    closeSync(output);
    closeSync(errors);
    throw startFailure(launch, error);
  }
}

async function finish(launch: Launch, program: Beside, timeout: number, input?: string): Promise<ExecResult> {
  let late = false;
  let code: ExecResult['code'] | undefined;
  const timer = setTimeout(() => {
    late = true;
    program.kill();
  }, timeout);
  try {
    program.finish(input);
    const ended = await program.ended;
    if (late) throw tooLate();
    code = ended;
    return { code, stdout: textOf(program.output), stderr: textOf(program.errors) };
  } catch (error) {
    throw startFailure(launch, error);
  } finally {
    clearTimeout(timer);
    sayEnded(launch, program.begun, code);
    closeSync(program.output);
    closeSync(program.errors);
  }
}

const unnamedFile = (): number => openSync('/run', O_TMPFILE | constants.O_RDWR, 0o600);

/** To be read from its beginning. */
function fileWith(text: string): number {
  const file = unnamedFile();
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at, bytes.length - at, at);
  return file;
}

function textOf(file: number): string {
  const bytes = Buffer.alloc(fstatSync(file).size);
  return bytes.toString('utf8', 0, bytes.length === 0 ? 0 : readSync(file, bytes, 0, bytes.length, 0));
}

/** open(2): an unnamed file; node has no constant for it, and its lower half is not the same on every architecture. */
const O_TMPFILE = 0o20000000 | constants.O_DIRECTORY;

function startFailure({ command, args }: Launch, cause: unknown): NethooksError {
  const { code, message } = cause as NodeJS.ErrnoException;
  if (code === 'ENOENT') return new NethooksError(missing(command), 1, { cause });
  if (code === 'ETIMEDOUT')
    return new NethooksError(`${command} ${args.join(' ')}: gave up, no time left`, 1, { cause });
  return new NethooksError(`${command}: ${message}`, 1, { cause });
}

/** The result of a program that must succeed. Throws NethooksError with the program's own words otherwise. */
export function must(exec: Exec, command: string, args: readonly string[], options?: ExecOptions): ExecResult {
  const result = exec(command, args, options);
  if (result.code !== 0) throw new NethooksError(failure(command, args, result));
  return result;
}

/** What a program that failed said, for people: `COMMAND: WORDS`. */
export const failure = (command: string, args: readonly string[], result: ExecResult): string =>
  `${[command, ...args].join(' ')}: ${wordsOf(result)}`;

/** Where in its input ip(8) or nft(8) found a fault, and who says so, is nothing to people; nor is the input again, underlined. */
export function wordsOf({ code, stderr, stdout }: ExecResult): string {
  const lines = (stderr.trim() || stdout.trim()).split('\n');
  const errors = lines.flatMap((line) => /^(?:RTNETLINK answers|(?:\S+:\d\S*: )?Error): (.*)$/.exec(line)?.[1] ?? []);
  const said = errors.length > 0 ? errors : lines.filter((line) => !/^(?:Command failed|\s*\^+)/.test(line));
  return said.slice(0, 3).join('; ') || (code === null ? 'killed' : `exit status ${code}`);
}

function missing(command: string): string {
  const name = PACKAGES[command];
  return `${command} is not installed${name ? `; \`apt install ${name}\` brings it` : ''}`;
}
