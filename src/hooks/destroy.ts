/** lxc.hook.destroy, and lxc.hook.clone: a new container must not inherit what an earlier one of its name left behind. */
import { destroy } from '../engine/disconnect.ts';
import { forget } from '../state/container.ts';
import { parseLxcEvent } from './lxc-event.ts';
import type { HookContext } from './run.ts';

/** The container's addresses are free again, and nobody's link leads to them any more. */
export async function run({ words, env, exec, log }: HookContext): Promise<void> {
  const { name } = parseLxcEvent(words, env);
  destroy(exec, name, log);
  forget(name);
}
