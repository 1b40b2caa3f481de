/** Errors as CNI callers read them: JSON on standard output with one of SPEC.md's codes ("Error"). */

/** What each code says; 100 and above are a plugin's own. */
export const CODE = {
  version: 1,
  unsupported: 2,
  unknownContainer: 3,
  environment: 4,
  io: 5,
  decode: 6,
  config: 7,
  tryAgain: 11,
  unavailable: 50,
  failed: 100,
  /** The container already has an interface of that name. */
  exists: 101,
  /** CHECK found something else than the result says. */
  differs: 102,
} as const;

export class CniError extends Error {
  override readonly name = 'CniError';
  readonly code: number;
  readonly details: string;

  constructor(code: number, message: string, details = '') {
    super(message);
    this.code = code;
    this.details = details;
  }
}

/** What a failing plugin prints. `details` is left out when there are none. */
export function renderError(error: unknown, cniVersion: string): string {
  const code = error instanceof CniError ? error.code : CODE.failed;
  const msg = error instanceof Error ? error.message : String(error);
  const details = error instanceof CniError ? error.details : '';
  return JSON.stringify({ cniVersion, code, msg, ...(details === '' ? {} : { details }) });
}
