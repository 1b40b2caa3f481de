/** A container of LXC's starts: what it is to have, from its configuration and its options. */
import { existsSync } from 'node:fs';
import { connect } from '../../attachment/connect.ts';
import { knownConfig } from '../../config/cache.ts';
import { containerOptions } from '../../config/container-cache.ts';
import { NethooksError } from '../../errors.ts';
import { isWritten } from '../../model/attachment.ts';
import type { Config } from '../../model/config.ts';
import type { ContainerOptions } from '../../model/container-options.ts';
import { linkEnvironmentPath } from '../../model/paths.ts';
import { noteAliases } from '../../store/aliases.ts';
import { parentsOf } from '../../store/links.ts';
import { readKept } from '../../store/records.ts';
import type { Applying } from '../../system/apply.ts';
import { readText } from '../../system/files.ts';
import { readInclude } from '../../system/lxc-include.ts';
import { sweepOnce } from '../sweep.ts';
import { shares } from './adopt.ts';
import { type LxcNic, withIncludes } from './lxc-config.ts';
import { checkLinks, memberNics, specOf } from './spec.ts';

/** What LXC says about it. */
export interface Starting {
  name: string;
  /** pid of its init. */
  pid: number | null;
  configFile: string | null;
  /** The words on its hook line: options. */
  words: readonly string[];
}

/**
 * Connects the container, or throws, and leaves nothing. A container that is on no network of ours is left alone.
 * @param how with its network namespace; without one where that is the host's own, which is not ours to configure
 */
export async function start(how: Applying, starting: Starting): Promise<void> {
  const { name, pid, configFile, words } = starting;
  const { config } = await knownConfig();
  const options = await containerOptions(name, words, how.log);
  if (pid !== null && !how.namespace && !options.netAdmin)
    (await import('./host-network.ts')).requireNoNetAdmin(name, pid);
  const members = memberNics(readNics(configFile, config), config.networks, options.nics);
  if (members.length === 0) {
    await requireNothing(options);
    await startWithoutNetwork(how, config, starting, options);
    return;
  }
  if (pid === null) throw new NethooksError('LXC_PID is not set or no pid');
  if (!how.namespace) return;
  checkLinks(name, options.link, configFile);
  const spec = specOf(config, { name, pid, configFile, words, options, members });
  if (options.aliases.length > 0) noteAliases(name, spec.names);
  const record = await connect(how, spec, { sweep: () => sweepOnce(how) });
  // Few containers link to others.
  const links = record.policy?.links ?? [];
  if (links.length === 0 && !existsSync(linkEnvironmentPath(name)) && parentsOf(name).length === 0) return;
  const { afterStart } = await import('./links.ts');
  await afterStart(how, config, { name, configFile, links });
}

/** A container without a network of ours: its files may say something all the same. */
async function startWithoutNetwork(
  how: Applying,
  config: Config,
  starting: Starting,
  options: ContainerOptions,
): Promise<void> {
  const { name, pid, configFile } = starting;
  const other = configFile === null ? null : shares(readText(configFile) ?? '', readInclude);
  const { written } = readKept(name);
  const writes = saysNames(options) || (written !== undefined && isWritten(written));
  if (other === null && !writes) return;
  if (pid === null) throw new NethooksError('LXC_PID is not set or no pid');
  const { startShared, writeFiles } = await import('./shared.ts');
  const isShared = other !== null && (await startShared(how, config, { ...starting, pid }, options, other));
  if (!isShared && writes) await writeFiles(how, { name, pid, options, network: null });
}

/** @throws NethooksError for options that mean a network, where the container is on none of ours */
async function requireNothing(options: ContainerOptions): Promise<void> {
  // Few containers come here, and none of the others is to load the table of keys.
  const { keysNeedingNetwork } = await import('../../model/container-keys.ts');
  const [key] = keysNeedingNetwork(options);
  if (key !== undefined) throw new NethooksError(`${key}: the container is on no network of ours`);
}

/** Whether there is anything to write into its files, network or not. */
export const saysNames = ({ hostname, dns, dnsSearch, dnsOption, extraHost }: ContainerOptions): boolean =>
  hostname !== null || [dns, dnsSearch, dnsOption, extraHost].some((list) => list.length > 0);

/** The interfaces in the container's configuration; without one (lxc-execute) a single veth on the first network is assumed. */
export function readNics(configFile: string | null, config: Config): LxcNic[] {
  const text = configFile === null ? null : readText(configFile);
  if (text !== null) return withIncludes(text, readInclude);
  return [{ index: 0, type: 'veth', link: config.networks[0]?.name ?? '', name: 'eth0', addresses: [], up: true }];
}
