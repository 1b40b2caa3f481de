/** One change to the host at a time: `up`, `down` and the ifupdown hooks, which ifupdown runs in parallel. */
import { closeSync, constants, mkdirSync, openSync } from 'node:fs';
import { NethooksError } from '../errors.ts';
import type { Exec } from './exec.ts';

const LOCK_FILE = '/run/nethooks/lock';

/**
 * Takes the host's lock and returns what gives it back; the kernel does so too when this process ends. node has no flock(2),
 * but a lock belongs to the open file description: flock(1) locks the descriptor that it shares with us, and exits.
 * @param waitSeconds how long to wait for another nethooks
 * @throws NethooksError when the lock is still taken after that
 */
export function lockHost(exec: Exec, waitSeconds: number): () => void {
  mkdirSync('/run/nethooks', { recursive: true, mode: 0o755 });
  const fd = openSync(LOCK_FILE, constants.O_CREAT | constants.O_RDWR, 0o600);
  const { code, stderr } = exec('flock', ['-w', String(waitSeconds), '3'], { fd });
  if (code !== 0) {
    closeSync(fd);
    throw new NethooksError(stderr.trim() || `another nethooks is still at work after ${waitSeconds} s (${LOCK_FILE})`);
  }
  return () => closeSync(fd);
}
