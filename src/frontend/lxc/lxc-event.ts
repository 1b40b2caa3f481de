/** What LXC tells a hook (lxc.container.conf(5), "CONTAINER HOOKS"), in hook version 0 and 1. */

import { NethooksError } from '../../errors.ts';
import { isSafeName } from '../../model/names.ts';

export interface LxcEvent {
  /** The container's name, safe as a file name. */
  name: string;
  /** Its configuration file, or null: lxc-execute may run without one. */
  configFile: string | null;
  /** The pid of its init in our pid namespace; null for hooks outside a container's life. */
  pid: number | null;
  /** The words that stand on the hook line. */
  words: readonly string[];
}

/**
 * In version 0 the arguments end with `NAME lxc TYPE`, in version 1 they are only what stands on the hook line; the name is in
 * LXC_NAME in both. Version 1 is told by LXC_HOOK_TYPE, as clone and destroy lack LXC_HOOK_VERSION.
 * @throws NethooksError for a name that cannot be a file's
 */
export function parseLxcEvent(words: readonly string[], env: NodeJS.ProcessEnv): LxcEvent {
  const versioned = env.LXC_HOOK_TYPE !== undefined;
  const own = versioned ? words : words.slice(0, -3);
  const name = env.LXC_NAME ?? (versioned ? undefined : words.at(-3));
  if (!name) throw new NethooksError('no container name: LXC_NAME is not set; this runs from a lxc.hook.* line');
  if (!isSafeName(name))
    throw new NethooksError(
      `container name ${JSON.stringify(name)}: allowed: letters, digits, _ . - and a letter or digit first`,
    );
  const pid = Number(env.LXC_PID);
  return {
    name,
    configFile: env.LXC_CONFIG_FILE || null,
    pid: Number.isInteger(pid) && pid > 1 ? pid : null,
    words: own,
  };
}
