/** Every hook: an event by name, a deadline, a log. */
import { NethooksError } from '../errors.ts';
import { execUntil } from '../system/exec.ts';
import { logHook } from '../system/log.ts';
import type { HookContext } from './context.ts';

/** ms for all that a hook does. The shell shim ends it for good at five seconds. */
const LIMIT_MS = 4500;

interface Hook {
  load: () => Promise<{ run: (context: HookContext) => Promise<void> }>;
  /** Whether a failure may stop the caller: ifupdown would skip later hooks, and a container must stop even so. */
  refuses: boolean;
}

const HOOKS: Record<string, Hook> = {
  'start-host': { load: () => import('./start-host.ts'), refuses: true },
  'post-stop': { load: () => import('./post-stop.ts'), refuses: false },
  destroy: { load: () => import('./destroy.ts'), refuses: false },
  clone: { load: () => import('./destroy.ts'), refuses: false },
  'if-up': { load: () => import('./ifupdown.ts'), refuses: false },
  'if-post-down': { load: () => import('./ifupdown.ts'), refuses: false },
  dhclient: { load: () => import('./dhclient.ts'), refuses: false },
};

/** Runs a hook; its exit status. What goes wrong is one line on standard error, for the caller's log, and one in ours. */
export async function runHook(event: string, words: string[]): Promise<number> {
  const hook = HOOKS[event];
  if (!hook) {
    console.error(`nethooks: hook ${event}: unknown; allowed: ${Object.keys(HOOKS).join(', ')}`);
    return 2;
  }
  const subject = process.env.LXC_NAME ?? process.env.IFACE ?? process.env.interface ?? '';
  const title = `${event} ${subject}`.trim();
  const log = (line: string): void => logHook(title, line);
  try {
    const { run } = await hook.load();
    const exec = execUntil(performance.now() + LIMIT_MS);
    await run({ words, env: process.env, exec, log, wait: false });
    return 0;
  } catch (error) {
    const message =
      error instanceof NethooksError
        ? error.message
        : `internal error: ${error instanceof Error ? error.stack : error}`;
    log(message);
    console.error(
      `nethooks: ${title}: ${message.split('\n')[0]}${message.includes('\n') ? ' (more in /var/log/nethooks/hooks.log)' : ''}`,
    );
    return hook.refuses ? 1 : 0;
  } finally {
    dismissWatch();
  }
}

/** What hooks/lxc/start-host has set beside us, to end us when we take too long. */
function dismissWatch(): void {
  const pid = Number(process.env.NETHOOKS_WATCH);
  if (!(pid > 1)) return;
  try {
    process.kill(pid);
  } catch {
    // It has gone.
  }
}
