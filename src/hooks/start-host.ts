/**
 * lxc.hook.start-host: the container's interface is there, its root is mounted, its init has not run. What is set now from
 * outside is there from init's first instruction on.
 */
import { closeSync, openSync, readlinkSync } from 'node:fs';
import { currentConfig } from '../config/cache.ts';
import { containerOptions } from '../config/container-cache.ts';
import type { ContainerOptions } from '../config/container-options.ts';
import type { Config, NetworkConfig } from '../config/types.ts';
import { connect } from '../engine/connect.ts';
import { retellParents } from '../engine/reconfigure.ts';
import { tell } from '../engine/tell.ts';
import { checkLinks, wishOf } from '../engine/wish.ts';
import { NethooksError } from '../errors.ts';
import { shares } from '../plan/adopt.ts';
import { joinings } from '../plan/container.ts';
import { type LxcNic, withIncludes } from '../plan/lxc-config.ts';
import { isSafeName } from '../plan/names.ts';
import { readKept, readRunning, rememberTold } from '../state/container.ts';
import { isMissing, readText } from '../system/files.ts';
import { readInclude } from '../system/lxc-include.ts';
import { type LxcEvent, parseLxcEvent } from './lxc-event.ts';
import type { HookContext } from './run.ts';

/** Connects the container, or throws, and leaves nothing. A container that is on no network of ours is left alone. */
export async function run({ words, env, exec, log }: HookContext): Promise<void> {
  const { name, pid, ...event } = parseLxcEvent(words, env);
  if (process.getuid?.() !== 0)
    throw new NethooksError('needs root: containers started by a user have that user run this hook');
  const config = await currentConfig();
  const options = await containerOptions(name, event.words, log);
  const joining = joinings(readNics(event.configFile, config), config.networks, options.nics);
  if (joining.length === 0) requireNothing(options);
  const shared = joining.length === 0 ? sharedNetwork(event.configFile, config) : null;
  if (joining.length === 0 && shared === null && !saysNames(options)) return;
  if (pid === null) throw new NethooksError('LXC_PID is not set or no pid');
  const root = `/proc/${pid}/root`;
  if (joining.length === 0) {
    const before = readKept(name).told;
    const telling = { name, pid, root, attachments: [], network: shared, options, links: [], before };
    rememberTold(name, tell(exec, log, telling));
    return;
  }
  const namespace = openNamespace(pid);
  if (namespace === null) return;
  try {
    checkLinks(name, options.link, event.configFile);
    const wish = wishOf(options, config.containers);
    connect({ exec, log }, { name, pid, namespace, root, joining, wish, options, ...event });
    await retellParents({ exec, log }, config, name);
  } finally {
    closeSync(namespace);
  }
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
function readNics(configFile: LxcEvent['configFile'], config: Config): LxcNic[] {
  const text = configFile === null ? null : readText(configFile);
  if (text !== null) return withIncludes(text, readInclude);
  return [{ index: 0, type: 'veth', link: config.networks[0]?.name ?? '', name: 'eth0', addresses: [], up: true }];
}

/** The network of the container whose network this one shares (Docker's --net container:NAME): it asks the same servers. */
function sharedNetwork(configFile: LxcEvent['configFile'], config: Config): NetworkConfig | null {
  const other = configFile === null ? null : shares(readText(configFile) ?? '', readInclude);
  const place = other === null || !isSafeName(other) ? undefined : readRunning(other)?.attachments[0];
  return config.networks.find(({ name }) => name === place?.network) ?? null;
}

/** The container's network namespace, held open; null when it is the host's own, which is not ours to configure. */
function openNamespace(pid: number): number | null {
  try {
    if (readlinkSync(`/proc/${pid}/ns/net`) === readlinkSync('/proc/self/ns/net')) return null;
    return openSync(`/proc/${pid}/ns/net`, 'r');
  } catch (cause) {
    if (isMissing(cause)) throw new NethooksError(`the container's process ${pid} is gone`, 1, { cause });
    throw cause;
  }
}
