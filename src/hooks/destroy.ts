/** lxc.hook.destroy, and lxc.hook.clone: a new container must not inherit what an earlier one of its name left behind. */
import { forget } from '../state/container.ts';
import { parseLxcEvent } from './lxc-event.ts';
import type { HookContext } from './run.ts';

/** The container's addresses are free again. */
export async function run({ words, env }: HookContext): Promise<void> {
  forget(parseLxcEvent(words, env).name);
}
