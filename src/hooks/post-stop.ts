/** lxc.hook.post-stop: also after a start that failed, when there may be nothing to take back. */
import { readRunning, silence } from '../state/container.ts';
import { parseLxcEvent } from './lxc-event.ts';
import type { HookContext } from './run.ts';

/** The container's names vanish; its addresses stay until it is destroyed. */
export async function run({ words, env }: HookContext): Promise<void> {
  const { name } = parseLxcEvent(words, env);
  const running = readRunning(name);
  if (running) silence(name, running.attachments);
}
