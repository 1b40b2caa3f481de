/**
 * The two things that exec.ts asks of a runtime. `#spawn` is spawn-bun.ts in the executable and spawn-node.ts elsewhere (package.json,
 * "imports"): node:child_process works in both, but under Bun a program that runs beside us costs 2 ms more through it, for streams.
 */

/** A program and what it runs with. Found in the PATH of `env`. */
export interface Launch {
  command: string;
  args: readonly string[];
  env: Readonly<Record<string, string>>;
  /** An open file descriptor that the program finds as number 3. */
  fd?: number | undefined;
}

export interface Ended {
  /** Exit status; null when a signal ended it. */
  code: number | null;
  stdout: string;
  stderr: string;
}

/** A program that runs beside us. We do not wait for it before `finish`. */
export interface Program {
  /** Its exit status; null when a signal ended it. Rejects with ENOENT when there is no such program. */
  ended: Promise<number | null>;
  /** From now on we end after it. One with a pipe for its standard input gets this to read, and then end of file. */
  finish(input?: string): void;
  kill(): void;
}

/** File descriptors; for what it reads also a pipe that is filled later, or nothing. */
export interface Stdio {
  input: number | 'pipe' | 'ignore';
  output: number;
  errors: number;
}

/** What it prints may fill memory to here. */
export const MAX_BYTES = 256 * 1024 * 1024;

/** A program that has been ended as it took too long. */
export function tooLate(): NodeJS.ErrnoException {
  return Object.assign(new Error('took too long'), { code: 'ETIMEDOUT' });
}
