/** lxc.hook.post-stop: also after a start that failed, when there may be nothing to take back. */
import { disconnect } from '../../attachment/disconnect.ts';
import { readRunning } from '../../store/container.ts';
import type { HookContext } from '../hooks/context.ts';
import { parseLxcEvent } from './lxc-event.ts';

/** The container's names, ports and rules vanish; its addresses stay until it is destroyed. */
export async function run({ words, env, exec, log }: HookContext): Promise<void> {
  const { name } = parseLxcEvent(words, env);
  const running = readRunning(name);
  if (running) disconnect(exec, running, log);
}
