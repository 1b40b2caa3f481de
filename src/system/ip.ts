/** `ip -batch` (ip(8)), started ahead of its lines: it loads while we find out what they are. */
import type { Exec, ExecResult } from './exec.ts';

/** Gives it its lines, once. Without any it ends when we do, and has done nothing. */
export type Ip = (lines: readonly string[]) => Promise<ExecResult>;

/** On the host, with a network namespace (an open file descriptor) as descriptor 3. */
export const ipOnHost = (exec: Exec, namespace: number, ...options: string[]): Ip =>
  batch(exec, ['ip'], namespace, options);

/** In that namespace: one process, as nsenter becomes ip. */
export const ipInside = (exec: Exec, namespace: number, ...options: string[]): Ip =>
  batch(exec, ['nsenter', '--net=/proc/self/fd/3', 'ip'], namespace, options);

function batch(exec: Exec, [command = '', ...args]: string[], fd: number, options: string[]): Ip {
  const give = exec.prepare(command, [...args, ...options, '-batch', '-'], { fd });
  return (lines) => give(`${lines.join('\n')}\n`);
}
