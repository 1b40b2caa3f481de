import { describe, it } from 'vitest';
import { whatIsMissing } from '../../src/demo/requirements.ts';

/** A throwaway host needs root and what `nethooks demo` needs; the tests look at packets too. */
const missing = whatIsMissing();

/**
 * `describe` for tests that need a throwaway host. Where there cannot be one it says so and skips them; with CI set, where
 * everything is supposed to be there, that is a failure.
 */
export function describeLab(name: string, body: () => void): void {
  if (missing === undefined) {
    describe(name, body);
  } else if (process.env.CI) {
    describe(name, () => {
      it('is not skipped in CI', () => {
        throw new Error(missing);
      });
    });
  } else {
    console.warn(`SKIPPED ${name}: ${missing}`);
    describe.skip(`${name} (${missing})`, body);
  }
}

/**
 * `describe` for tests that this machine cannot run whatever is installed on it, as its release of Debian lacks what they are about:
 * they are listed as skipped, with the reason, and do not count as left out (test/run.sh knows them by the beginning of their name).
 * @param reason why they cannot run here; undefined where they can
 */
export function describeLabUnless(reason: string | undefined, name: string, body: () => void): void {
  if (reason === undefined) describeLab(name, body);
  else describe.skip(`not here: ${name}: ${reason}`, body);
}
