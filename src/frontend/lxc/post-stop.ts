/** lxc.hook.post-stop: also after a start that failed, when there may be nothing to take back. */
import { detach } from '../../attachment/detach.ts';
import { lastValue, parseLxcConfig } from '../../model/lxc-config.ts';
import { forgetOverrides } from '../../store/overrides.ts';
import { readContainer } from '../../store/records.ts';
import { readText } from '../../system/files.ts';
import type { HookContext } from '../hooks/context.ts';
import { parseLxcEvent } from './lxc-event.ts';

/** The container's names, ports and rules vanish; its addresses stay until it is destroyed. */
export async function run({ words, env, ...how }: HookContext): Promise<void> {
  const { name, configFile } = parseLxcEvent(words, env);
  const record = readContainer(name);
  if (record) await detach(how, record);
  if (env.LXC_TARGET !== 'reboot') forgetOverrides(name);
  // LXC removes it after this, and runs no destroy hook.
  if (env.LXC_TARGET !== 'reboot' && isEphemeral(configFile)) {
    const { forget, forgetOptions } = await import('../../attachment/forget.ts');
    await forget(how, name);
    forgetOptions(name);
  }
}

/** Whether it ends with its stop (`lxc-copy -e`). */
const isEphemeral = (configFile: string | null): boolean =>
  configFile !== null && lastValue(parseLxcConfig(readText(configFile) ?? ''), 'lxc.ephemeral') === '1';
