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
import { overridesAtStart } from '../../store/overrides.ts';
import { readKept } from '../../store/records.ts';
import { type Applying, IpError } from '../../system/apply.ts';
import { readText } from '../../system/files.ts';
import { printable } from '../../system/log.ts';
import { readInclude } from '../../system/lxc-include.ts';
import { isDamaged } from '../../system/network-state.ts';
import { sweepOnce } from '../sweep.ts';
import { shares } from './adopt.ts';
import { type LxcNic, withIncludes } from './lxc-config.ts';
import { checkLinks, type MemberNic, memberNics, specOf } from './spec.ts';

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
  const overrides = overridesAtStart(name, process.ppid);
  const nics = readNics(configFile, config, overrides);
  // Who starts it through liblxc may put it on the host's network, whatever its file says.
  const members = how.namespace || pid === null ? memberNics(nics, config.networks, options.nics) : [];
  if (members.length === 0) await requireNothing(options, overrides);
  if (overrides !== '') await tellOverrides(how, name, overrides, members);
  if (pid !== null && !how.namespace && !options.netAdmin)
    (await import('./host-network.ts')).requireNoNetAdmin(name, pid);
  if (members.length === 0) {
    await startWithoutNetwork(how, config, starting, options, overrides);
    return;
  }
  if (pid === null) throw new NethooksError('LXC_PID is not set or no pid');
  checkLinks(name, options.link, configFile);
  const spec = specOf(config, { name, pid, configFile, words, options, members });
  if (options.aliases.length > 0) noteAliases(name, spec.names);
  if (members.some(({ network }) => isDamaged(network.name)))
    await (await import('./heal-at-start.ts')).healAtStart(how);
  const record = await connect(how, spec, { sweep: () => sweepOnce(how) }).catch(explain);
  // Few containers link to others.
  const links = record.policy?.links ?? [];
  if (links.length === 0 && !existsSync(linkEnvironmentPath(name)) && parentsOf(name).length === 0) return;
  const { afterStart } = await import('./links.ts');
  await afterStart(how, config, { name, configFile, links });
}

/** @throws NethooksError */
function explain(error: unknown): never {
  const [, ifname] = (error instanceof IpError && /Cannot find device "(.+)"/.exec(error.stderr)) || [];
  if (ifname === undefined) throw error;
  throw new NethooksError(`LXC has made no interface ${ifname}, which the container's configuration asks for`);
}

/** A container without a network of ours: its files may say something all the same. */
async function startWithoutNetwork(
  how: Applying,
  config: Config,
  starting: Starting,
  options: ContainerOptions,
  overrides: string,
): Promise<void> {
  const { name, pid, configFile } = starting;
  const text = configFile === null ? null : readText(configFile);
  const other = shares(`${text ?? ''}\n${overrides}`, readInclude);
  const { written } = readKept(name);
  const writes = saysNames(options) || (written !== undefined && isWritten(written));
  if (other === null && !writes) return;
  if (pid === null) throw new NethooksError('LXC_PID is not set or no pid');
  const { startShared, writeFiles } = await import('./shared.ts');
  const isShared = other !== null && (await startShared(how, config, { ...starting, pid }, options, other));
  if (!isShared && writes) await writeFiles(how, { name, pid, options, network: null });
}

/** @throws NethooksError for options that mean a network, where the container is on none of ours */
async function requireNothing(options: ContainerOptions, overrides: string): Promise<void> {
  // Few containers come here, and none of the others is to load the table of keys.
  const { keysNeedingNetwork } = await import('../../model/container-keys.ts');
  const [key] = keysNeedingNetwork(options);
  if (key === undefined) return;
  const why = overrides === '' ? '' : `: ${said(overrides)}`;
  throw new NethooksError(`${key}: the container is on no network of ours${why}`);
}

const said = (overrides: string): string => `its command line says ${overrides.trim().replaceAll('\n', ', ')}`;

/** Who said otherwise than the configuration gets what was said, and is told what that means. */
async function tellOverrides(how: Applying, name: string, overrides: string, members: MemberNic[]): Promise<void> {
  const where = members.map(({ nic, network }) => `${nic.name} is on ${network.name}`).join(', ');
  const meaning = where || 'on no network of ours, so nethooks gives it neither address nor name';
  const line = `${said(overrides)}: ${meaning}`;
  how.log(line);
  if (members.length > 0) return;
  const { writeToStarters } = await import('../../system/starter.ts');
  writeToStarters(name, printable(`nethooks: container ${name}: ${line}`));
}

/** Whether there is anything to write into its files, network or not. */
export const saysNames = ({ hostname, dns, dnsSearch, dnsOption, extraHost }: ContainerOptions): boolean =>
  hostname !== null || [dns, dnsSearch, dnsOption, extraHost].some((list) => list.length > 0);

/**
 * The interfaces in the container's configuration; without one (lxc-execute) a single veth on the first network is assumed.
 * @param overrides what its command line says behind that
 */
export function readNics(configFile: string | null, config: Config, overrides: string): LxcNic[] {
  const text = configFile === null ? null : readText(configFile);
  if (text !== null || overrides !== '') return withIncludes(`${text ?? ''}\n${overrides}`, readInclude);
  return [{ index: 0, type: 'veth', link: config.networks[0]?.name ?? '', name: 'eth0', addresses: [], up: true }];
}
