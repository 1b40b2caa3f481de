/**
 * An error meant for the person who runs nethooks: its message says what is wrong, where, and the way out, so it is printed
 * without a stack. `exitCode` is the process's exit status (docs: 0 ok, 1 failed, 2 usage, 3 drift or problem found).
 */
export class NethooksError extends Error {
  override readonly name = 'NethooksError';
  readonly exitCode: number;

  constructor(message: string, exitCode = 1, options?: ErrorOptions) {
    super(message, options);
    this.exitCode = exitCode;
  }
}
