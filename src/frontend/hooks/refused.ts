/** A container's start was refused: says why where its user looks. Loaded only then; nothing here can fail or wait for long. */
import { isSafeName } from '../../model/names.ts';
import { noteRefusal } from '../../store/refusals.ts';
import { printable } from '../../system/log.ts';
import { writeToStarters } from '../../system/starter.ts';
import { tellSystem } from '../../system/syslog.ts';
import type { HookContext } from './context.ts';

/** `nethooks hook start-refused WHY` */
export async function run({ words: [why = ''], env }: HookContext): Promise<void> {
  if (isSafeName(env.LXC_NAME ?? '')) tellRefused(env, why, why);
}

/**
 * @param env LXC's, whose container has a name that can be a file's
 * @param brief the reason in one line
 * @param reason all of it
 */
export function tellRefused(env: NodeJS.ProcessEnv, brief: string, reason: string): void {
  const { LXC_NAME: name = '', LXC_CONFIG_FILE: configFile } = env;
  const line = printable(`nethooks: container ${name} was not started: ${brief}`);
  writeToStarters(name, line);
  const lines = reason.split('\n').map(printable).join('\n');
  bestEffort(() => noteRefusal(name, { at: new Date().toISOString(), reason: lines, configFile: configFile || null }));
  // So that `systemctl status lxc@NAME` and `journalctl -u lxc@NAME` show it (systemd.journal-fields(7)).
  tellSystem(line.replace(/^nethooks: /, ''), `lxc@${name}.service`);
}

function bestEffort(action: () => unknown): void {
  try {
    action();
  } catch {
    // Our log and LXC's have the reason, too.
  }
}
