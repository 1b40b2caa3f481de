/** Every hook: an event by name, a deadline, a line in the log. */
import { NethooksError } from '../../errors.ts';
import type { EventInput } from '../../model/event.ts';
import { isSafeName } from '../../model/names.ts';
import { beginEvent, endEvent, note, type Worth } from '../../system/event.ts';
import { type Exec, execUntil, execWithin } from '../../system/exec.ts';
import { printable } from '../../system/log.ts';
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
  /** Which words of its environment it goes by. */
  input: readonly string[];
  /** null: a part of another hook, which leaves the line. */
  worth: Worth | null;
}

const LXC = [
  'LXC_NAME',
  'LXC_HOOK_TYPE',
  'LXC_PID',
  'LXC_CONFIG_FILE',
  'LXC_ROOTFS_PATH',
  'LXC_SRC_NAME',
  'LXC_TARGET',
];
const IFUPDOWN = ['IFACE', 'ADDRFAM', 'METHOD', 'MODE', 'PHASE'];
const DHCLIENT = ['reason', 'interface', 'new_domain_name_servers'];

const HOOKS: Record<string, Hook> = {
  'pre-start': {
    load: () => import('../lxc/pre-start.ts'),
    asUser: () => import('../lxc/pre-start.ts'),
    refuses: true,
    input: LXC,
    worth: 'changes',
  },
  'start-host': {
    load: () => import('../lxc/start-host.ts'),
    asUser: () => import('../lxc/user-container.ts'),
    refuses: true,
    input: LXC,
    worth: 'always',
  },
  // A part of a user's start-host.
  inside: {
    load: () => import('../lxc/inside.ts'),
    asUser: () => import('../lxc/inside.ts'),
    refuses: false,
    input: [],
    worth: null,
  },
  // Our shim is about to end a start-host that hangs (hooks/lxc/guard).
  'start-refused': {
    load: () => import('./refused.ts'),
    asUser: () => import('./refused.ts'),
    refuses: false,
    input: [],
    worth: null,
  },
  'post-stop': { load: () => import('../lxc/post-stop.ts'), refuses: false, input: LXC, worth: 'always' },
  destroy: { load: () => import('../lxc/destroy.ts'), refuses: false, input: LXC, worth: 'always' },
  clone: { load: () => import('../lxc/clone.ts'), refuses: false, input: LXC, worth: 'always' },
  'if-up': { load: () => import('./ifupdown.ts'), refuses: false, input: IFUPDOWN, worth: 'changes' },
  'if-post-down': { load: () => import('./ifupdown.ts'), refuses: false, input: IFUPDOWN, worth: 'changes' },
  dhclient: { load: () => import('./dhclient.ts'), refuses: false, input: DHCLIENT, worth: 'changes' },
  // What doctor has asked in a container's network namespace.
  probe: { load: () => import('../cli/questions.ts'), refuses: true, input: [], worth: null },
  // systemd's, of our own units: an event that may have cost us something, or the timer.
  check: { load: () => import('./check.ts'), refuses: false, input: [], worth: 'changes' },
  lease: { load: () => import('./lease.ts'), refuses: false, input: [], worth: 'changes' },
};

/**
 * Runs a hook; its exit status. What goes wrong is one line on standard error, for the caller's log, and with all that was done one in
 * ours.
 */
export async function runHook(event: string, words: string[]): Promise<number> {
  const hook = HOOKS[event];
  if (!hook) {
    console.error(`nethooks: hook ${event}: unknown; allowed: ${Object.keys(HOOKS).join(', ')}`);
    return 2;
  }
  const { env } = process;
  const subject = env.LXC_NAME ?? env.IFACE ?? env.interface ?? '';
  const title = `${event} ${subject}`.trim();
  const say = (line: string): void => console.error(printable(`nethooks: ${title}: ${line}`));
  // A user's hook has LXC's log only.
  const isOurs = isRoot();
  try {
    const load = isOurs ? hook.load : hook.asUser;
    if (!load) return 0;
    // A lease is about an address, the third of its words.
    const about = event === 'lease' ? (words[2] ?? '') : subject;
    if (isOurs && hook.worth !== null) beginEvent(event, about, inputOf(hook, words), hook.worth);
    const { run } = await load();
    await run({ words, env, exec: limited(), log: isOurs ? note : say, wait: false });
    endEvent(null);
    return 0;
  } catch (error) {
    const message =
      error instanceof NethooksError
        ? error.message
        : `internal error: ${error instanceof Error ? error.stack : error}`;
    const id = endEvent(message);
    const more = message.includes('\n') && id !== null ? ` (more in \`nethooks logs ${id}\`)` : '';
    const brief = `${message.split('\n')[0]}${more}`;
    say(brief);
    // A name that is none was said above; nobody looks for it anywhere.
    if (hook.refuses && isSafeName(subject)) (await import('./refused.ts')).tellRefused(env, brief, message);
    else if (isOurs && hook.worth !== null) (await import('../../system/syslog.ts')).tellSystem(`${title}: ${brief}`);
    return hook.refuses ? 1 : 0;
  } finally {
    dismissWatch();
  }
}

/** Runs a hook once more, with what it was called with then. @throws what it throws */
export async function runHookAgain(event: string, { words, env }: EventInput): Promise<void> {
  const { run } = (await HOOKS[event]?.load()) ?? {};
  await run?.({ words, env: { ...env }, exec: limited(), log: note, wait: false });
}

const inputOf = ({ input }: Hook, words: string[]): EventInput => {
  const { env } = process;
  return {
    words,
    env: Object.fromEntries(input.flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]]]))),
  };
};

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
