/** A container of LXC's starts: what it is to have, from its configuration and its options. */

import { type ConnectContext, connect } from '../../attachment/connect.ts';
import { retellParents } from '../../attachment/reconfigure.ts';
import { tell } from '../../attachment/tell.ts';
import { currentConfig } from '../../config/cache.ts';
import { containerOptions } from '../../config/container-cache.ts';
import { NethooksError } from '../../errors.ts';
import type { Config, NetworkConfig } from '../../model/config.ts';
import type { ContainerOptions } from '../../model/container-options.ts';
import { isSafeName } from '../../model/names.ts';
import { joinings } from '../../plan/attachment/interfaces.ts';
import { readKept, readRunning, rememberTold } from '../../store/container.ts';
import { readText } from '../../system/files.ts';
import type { Ip } from '../../system/ip.ts';
import { readInclude } from '../../system/lxc-include.ts';
import { shares } from './adopt.ts';
import { type LxcNic, withIncludes } from './lxc-config.ts';
import { checkLinks, wishOf } from './wish.ts';

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
 * @param ip in its network namespace; null when that is the host's own, which is not ours to configure
 */
export async function start(how: ConnectContext, starting: Starting, ip: Ip | null): Promise<void> {
  const { exec, log } = how;
  const { name, pid, configFile, words } = starting;
  const config = await currentConfig();
  const options = await containerOptions(name, words, log);
  const joining = joinings(readNics(configFile, config), config.networks, options.nics);
  if (joining.length === 0) requireNothing(options);
  const shared = joining.length === 0 ? sharedNetwork(configFile, config) : null;
  if (joining.length === 0 && shared === null && !saysNames(options)) return;
  if (pid === null) throw new NethooksError('LXC_PID is not set or no pid');
  const root = `/proc/${pid}/root`;
  if (joining.length === 0) {
    const before = readKept(name).told;
    const telling = { name, pid, root, attachments: [], network: shared, options, links: [], before };
    rememberTold(name, tell(exec, log, telling));
    return;
  }
  if (ip === null) return;
  checkLinks(name, options.link, configFile);
  const wish = wishOf(options, config.containers);
  await connect(how, { name, pid, ip, root, joining, wish, options, configFile, words });
  await retellParents(how, config, name);
}

/** @throws NethooksError for options that mean a network, where the container is on none of ours */
function requireNothing({ publish, publishAll, link, aliases, expose }: ContainerOptions): void {
  const said = { publish, 'publish-all': publishAll ? [true] : [], link, aliases, expose };
  for (const [key, value] of Object.entries(said))
    if (value.length > 0) throw new NethooksError(`${key}: the container is on no network of ours`);
}

/** Whether there is anything to write into its files, network or not. */
const saysNames = ({ hostname, dns, dnsSearch, dnsOption, extraHost }: ContainerOptions): boolean =>
  hostname !== null || [dns, dnsSearch, dnsOption, extraHost].some((list) => list.length > 0);

/** The interfaces in the container's configuration; without one (lxc-execute) a single veth on the first network is assumed. */
function readNics(configFile: string | null, config: Config): LxcNic[] {
  const text = configFile === null ? null : readText(configFile);
  if (text !== null) return withIncludes(text, readInclude);
  return [{ index: 0, type: 'veth', link: config.networks[0]?.name ?? '', name: 'eth0', addresses: [], up: true }];
}

/** The network of the container whose network this one shares (Docker's --net container:NAME): it asks the same servers. */
function sharedNetwork(configFile: string | null, config: Config): NetworkConfig | null {
  const other = configFile === null ? null : shares(readText(configFile) ?? '', readInclude);
  const place = other === null || !isSafeName(other) ? undefined : readRunning(other)?.attachments[0];
  return config.networks.find(({ name }) => name === place?.network) ?? null;
}
