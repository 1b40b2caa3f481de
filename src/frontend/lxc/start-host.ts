/**
 * lxc.hook.start-host: the container's interface is there, its root is mounted, its init has not run. What is set now from
 * outside is there from init's first instruction on.
 */
import { closeSync, existsSync, openSync, readlinkSync } from 'node:fs';
import { NethooksError } from '../../errors.ts';
import { refusalFile } from '../../model/paths.ts';
import type { Applying } from '../../system/apply.ts';
import { isMissing } from '../../system/files.ts';
import { ipInside } from '../../system/ip.ts';
import type { HookContext } from '../hooks/context.ts';
import { parseLxcEvent } from './lxc-event.ts';

export async function run({ words, env, exec, log }: HookContext): Promise<void> {
  const event = parseLxcEvent(words, env);
  const { pid } = event;
  const fd = pid === null ? null : openNamespace(pid);
  try {
    const how: Applying = { exec, log, wait: false };
    // What sets the interface up loads while we load, and find out how.
    if (fd !== null) how.namespace = { fd, host: null, inside: ipInside(exec, fd) };
    const { start } = await import('./start.ts');
    await start(how, event);
    if (existsSync(refusalFile(event.name))) (await import('../../store/refusals.ts')).forgetRefusal(event.name);
  } finally {
    if (fd !== null) closeSync(fd);
  }
}

/** The container's network namespace; null when that is the host's own, which is not ours to configure. */
function openNamespace(pid: number): number | null {
  try {
    if (readlinkSync(`/proc/${pid}/ns/net`) === readlinkSync('/proc/self/ns/net')) return null;
    return openSync(`/proc/${pid}/ns/net`, 'r');
  } catch (cause) {
    if (isMissing(cause)) throw new NethooksError(`the container's process ${pid} is gone`, 1, { cause });
    throw cause;
  }
}
