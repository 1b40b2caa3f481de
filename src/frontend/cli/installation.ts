/** What `nethooks setup` and `nethooks teardown` have in common. */
import { NethooksError } from '../../errors.ts';
import { STATE } from '../../model/paths.ts';
import { describe, type Step } from '../../model/step.ts';
import type { Exec } from '../../system/exec.ts';
import { lockDirectory } from '../../system/lock.ts';

/** ms for all of it: systemd gives nethooks.service 90 s to start or stop. */
export const INSTALL_LIMIT_MS = 180_000;

/** How long to wait for another one; one whose install.sh was killed may still come to its end. */
const WAIT_SECONDS = 5;

/**
 * Waits until no other process installs or uninstalls.
 * @returns what lets the next one in
 * @throws NethooksError when another one is still at work
 */
export function onlyInstaller(exec: Exec): () => void {
  const release = lockDirectory(exec, '/var/lib', WAIT_SECONDS);
  if (!release) throw new NethooksError('another install.sh, `nethooks setup` or `nethooks teardown` is at work');
  return release;
}

/** A line for each step that means something to whoever installs; what is noted and kept beside it is left out. */
export function sentences(steps: Step[]): string[] {
  return steps.filter((step) => !isInternal(step)).flatMap((step) => sentence(step));
}

function sentence(step: Step): string[] {
  if (step.kind !== 'file' || typeof step.content !== 'string') return describe(step);
  return [`write ${step.path}`];
}

function isInternal(step: Step): boolean {
  if (step.kind === 'unit') return step.action === 'reload';
  // Whatever stays in it is said.
  if (step.kind === 'directory' && step.path === STATE)
    return step.action === 'remove' || (step.except ?? []).length > 1;
  return (step.kind === 'file' || step.kind === 'directory') && step.path.startsWith(`${STATE}/`);
}

/** The steps of `up` or `down` as an indented list, without the lines of each file and rule. */
export const briefly = (steps: Step[]): string[] =>
  steps
    .flatMap((step) => describe(step))
    .filter((line) => !line.startsWith(' '))
    .map((line) => `  ${line}`);
