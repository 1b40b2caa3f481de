/**
 * ifupdown's if-up.d and if-post-down.d (interfaces(5)): an interface came or went, so the host is brought to what the
 * configuration says for the interfaces that are up now. That is `up`, and costs nothing when nothing is missing.
 */
import { knownConfig } from '../../config/cache.ts';
import { keepGood } from '../../config/last-good.ts';
import { changeHost } from '../../host/change.ts';
import { remarks } from '../../model/step.ts';
import { isPaused } from '../../store/healing.ts';
import { hooksDirectory } from '../../system/install.ts';
import { sweepAfter } from '../sweep.ts';
import type { HookContext } from './context.ts';

const WAIT_SECONDS = 4;

export async function run({ env, ...how }: HookContext): Promise<void> {
  // Called once per family; IPv4 is ours, and `--all` comes at the end of `ifup -a` with the family "meta".
  if (env.ADDRFAM !== 'inet' && env.ADDRFAM !== 'meta') return;
  if (env.IFACE === 'lo' || isPaused()) return;
  const { config } = await knownConfig();
  const { host, networks } = config;
  const findLost = async () => (await import('../lxc/lost.ts')).lostContainers(config, how.exec);
  const change = { spec: () => ({ host, networks, hooks: hooksDirectory() }), findLost };
  const plan = await changeHost(how, change, WAIT_SECONDS);
  keepGood();
  for (const text of remarks(plan)) how.log(text);
  await sweepAfter(how, plan);
}
