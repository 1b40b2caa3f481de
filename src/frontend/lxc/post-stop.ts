/** lxc.hook.post-stop: also after a start that failed, when there may be nothing to take back. */
import { detach } from '../../attachment/detach.ts';
import { readContainer } from '../../store/records.ts';
import type { HookContext } from '../hooks/context.ts';
import { parseLxcEvent } from './lxc-event.ts';

/** The container's names, ports and rules vanish; its addresses stay until it is destroyed. */
export async function run({ words, env, ...how }: HookContext): Promise<void> {
  const { name } = parseLxcEvent(words, env);
  const record = readContainer(name);
  if (record) await detach(how, record);
}
