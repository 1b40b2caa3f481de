import { mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';

/** A pipe: `far` is for a child's stdin, which sees its end when this process closes `near` or dies. Bare file descriptors. */
export interface Lifeline {
  readonly near: number;
  readonly far: number;
}

/**
 * Makes a pipe. Not one of spawn's: Bun closes a child's stdin when its stream object is collected as garbage, and the
 * child is one that lives for minutes. From a FIFO (fifo(7)) whose name is gone again when this returns; other children do not
 * inherit it, as openSync sets O_CLOEXEC.
 */
export async function lifeline(): Promise<Lifeline> {
  const directory = mkdtempSync(join(tmpdir(), 'nethooks-'));
  try {
    const name = join(directory, 'lifeline');
    await execa('mkfifo', [name]);
    // Both ways first: opening one end alone waits for the other.
    const near = openSync(name, 'r+');
    return { near, far: openSync(name, 'r') };
  } finally {
    rmSync(directory, { recursive: true });
  }
}
