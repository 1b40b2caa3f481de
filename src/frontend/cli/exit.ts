/** Exit codes (nethooks(8)): 0 ok, 1 failed, 2 usage, 3 drift or problem found. */
export const EXIT = { ok: 0, failed: 1, usage: 2, drift: 3 } as const;
