/** Every hook: an event by name, a deadline, a log. */
import { NethooksError } from '../../errors.ts';
import { isSafeName } from '../../model/names.ts';
import { HOOK_LOG } from '../../model/paths.ts';
import { type Exec, execUntil, execWithin } from '../../system/exec.ts';
import { logHook } from '../../system/log.ts';
import { isRoot } from '../../system/process.ts';
import type { HookContext } from './context.ts';

/** ms that the programs of an interface's hook may take in all: its shim ends it after 5 s. */
const LIMIT_MS = 4500;

type Load = () => Promise<{ run: (context: HookContext) => Promise<void> }>;

interface Hook {
  /** Each loads what it needs alone. */
  load: Load;
  /** The same for an ordinary user's container; without it there is nothing to do, as nothing of ours is the user's. */
  asUser?: Load;
  /** Whether a failure may stop the caller: ifupdown would skip later hooks, and a container must stop even so. */
  refuses: boolean;
}

const HOOKS: Record<string, Hook> = {
  'pre-start': {
    load: () => import('../lxc/pre-start.ts'),
    asUser: () => import('../lxc/pre-start.ts'),
    refuses: true,
  },
  'start-host': {
    load: () => import('../lxc/start-host.ts'),
    asUser: () => import('../lxc/user-container.ts'),
    refuses: true,
  },
  // A part of a user's start-host.
  inside: { load: () => import('../lxc/inside.ts'), asUser: () => import('../lxc/inside.ts'), refuses: false },
  // Our shim is about to end a start-host that hangs (hooks/lxc/guard).
  'start-refused': { load: () => import('./refused.ts'), asUser: () => import('./refused.ts'), refuses: false },
  'post-stop': { load: () => import('../lxc/post-stop.ts'), refuses: false },
  destroy: { load: () => import('../lxc/destroy.ts'), refuses: false },
  clone: { load: () => import('../lxc/clone.ts'), refuses: false },
  'if-up': { load: () => import('./ifupdown.ts'), refuses: false },
  'if-post-down': { load: () => import('./ifupdown.ts'), refuses: false },
  dhclient: { load: () => import('./dhclient.ts'), refuses: false },
  // What doctor has asked in a container's network namespace.
  probe: { load: () => import('../cli/questions.ts'), refuses: true },
  // systemd's, of our own units: an event that may have cost us something, or the timer.
  check: { load: () => import('./check.ts'), refuses: false },
  lease: { load: () => import('./lease.ts'), refuses: false },
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
  const say = (line: string): void => console.error(`nethooks: ${title}: ${line}`);
  // A user's hook has LXC's log only.
  const log = isRoot() ? (line: string): void => logHook(title, line) : say;
  try {
    const load = log === say ? hook.asUser : hook.load;
    if (!load) return 0;
    const { run } = await load();
    await run({ words, env: process.env, exec: limited(), log, wait: false });
    return 0;
  } catch (error) {
    const message =
      error instanceof NethooksError
        ? error.message
        : `internal error: ${error instanceof Error ? error.stack : error}`;
    if (log !== say) log(message);
    const brief = `${message.split('\n')[0]}${message.includes('\n') ? ` (more in ${HOOK_LOG})` : ''}`;
    say(brief);
    if (!hook.refuses) return 0;
    // A name that is none was said above; nobody looks for it anywhere.
    if (isSafeName(subject)) (await import('./refused.ts')).tellRefused(process.env, brief, message);
    return 1;
  } finally {
    dismissWatch();
  }
}

/** A container's hook has no deadline, as long as it makes progress: each program has its own, before our shim takes us to hang. */
function limited(): Exec {
  const idle = Number(process.env.NETHOOKS_LIMIT);
  return idle > 0 ? execWithin(idle * 900) : execUntil(performance.now() + LIMIT_MS);
}

/** Our shim has set it beside us (hooks/lxc/guard), to end us when we hang. */
function dismissWatch(): void {
  const pid = Number(process.env.NETHOOKS_WATCH);
  if (!(pid > 1)) return;
  try {
    process.kill(pid);
  } catch {
    // It has gone.
  }
}
