import type { RunResult } from './enter.ts';
import type { Step } from './steps.ts';

/** The column where the time stands, so that commands read as a list. */
const TIME_COLUMN = 72;

/** `$ command`, and how long it took (and its exit status) as a comment: a line that can be pasted into a shell. */
export function commandLine(step: Step, ms: number, code = 0): string {
  return `${`$ ${step.argv.map(quote).join(' ')}`.padEnd(TIME_COLUMN)} # ${duration(ms)}${code === 0 ? '' : `, exit status ${code}`}`;
}

/** What a step printed, cut down to the lines it keeps; `…` stands for lines left out between them. */
export function brief(text: string, keep: RegExp = /./): string {
  const lines = text.split('\n').map((line) => (keep.test(line) ? line : undefined));
  const from = lines.findIndex((line) => line !== undefined);
  const to = lines.findLastIndex((line) => line !== undefined);
  return lines
    .slice(from, to + 1)
    .filter((line, i, all) => line !== undefined || all[i - 1] !== undefined)
    .map((line) => `${line ?? '…'}\n`)
    .join('');
}

/** Why a step failed, or undefined: a wrong exit status, or an output that lacks what it should have. */
export function complaint(step: Step, { code, stdout }: RunResult): string | undefined {
  const wanted = step.code ?? 0;
  if (code !== wanted) return `exit status ${code} instead of ${wanted}`;
  if (step.expect !== undefined && !step.expect.test(stdout)) return `its output does not match ${step.expect}`;
  return undefined;
}

/** 46 ms, 1.2 s */
export function duration(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

/** A word as one would type it in a POSIX shell. */
function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
