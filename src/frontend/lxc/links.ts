/** What a start means for links: those of the container, and those of running containers to it. */
import { writeLinkEnvironment } from '../../attachment/link-files.ts';
import { refreshNames } from '../../attachment/reconfigure.ts';
import { relinkParents } from '../../attachment/relink.ts';
import { containerOptions } from '../../config/container-cache.ts';
import type { Config } from '../../model/config.ts';
import type { Link } from '../../model/policy.ts';
import { parentsOf, sharersOf } from '../../store/links.ts';
import { overridesOf } from '../../store/overrides.ts';
import { isAlive, readContainer } from '../../store/records.ts';
import type { Applying } from '../../system/apply.ts';
import { bestEffort } from '../../system/container-files.ts';
import { memberNics, specOf } from './spec.ts';
import { readNics } from './start.ts';

/** A container that has just been connected. */
export interface Started {
  name: string;
  configFile: string | null;
  links: readonly Link[];
}

/** What fails is logged: the container runs, and a fault in another one's options is no reason to stop it. */
export async function afterStart(how: Applying, config: Config, { name, configFile, links }: Started): Promise<void> {
  const attempt = async (what: string, action: () => Promise<void>): Promise<void> => {
    try {
      await action();
    } catch (error) {
      how.log(`${what}: ${error instanceof Error ? error.message : error}`);
    }
  };
  await attempt('links', () => relinkParents(how, name, { gone: false }));
  bestEffort(how.log, 'environment of links', () => {
    if (writeLinkEnvironment(name, links, configFile))
      how.log('the environment of its links has changed since it was read: it takes effect at the next start');
  });
  await attempt('names of links to it', () => refreshParents(how, config, name));
}

/** Tells the running containers that link to `child` where it is now. Costs nothing while nobody does. */
export async function refreshParents(how: Applying, config: Config, child: string): Promise<void> {
  for (const { parent } of parentsOf(child)) {
    const record = readContainer(parent);
    if (record?.state !== 'attached' || !record.life || !('pid' in record.life) || !isAlive(record)) continue;
    if (record.shares !== undefined) continue;
    const { configFile = null, words = [], life } = record;
    const options = await containerOptions(parent, words, how.log);
    const members = memberNics(
      readNics(configFile, config, overridesOf(parent, life.pid)),
      config.networks,
      options.nics,
    );
    const spec = specOf(config, { name: parent, pid: life.pid, configFile, words, options, members });
    await refreshNames(how, record, spec);
    await refreshSharersOf(how, config, parent);
  }
  await refreshSharersOf(how, config, child);
}

/** Few containers are on another one's network. */
async function refreshSharersOf(how: Applying, config: Config, name: string): Promise<void> {
  if (sharersOf(name).length > 0) await (await import('./shared.ts')).refreshSharers(how, config, name);
}
