/**
 * lxc.hook.start-host: the container's interface is there, its root is mounted, its init has not run. What is set now from
 * outside is there from init's first instruction on.
 */
import { closeSync, openSync, readlinkSync } from 'node:fs';
import { currentConfig } from '../config/cache.ts';
import type { Config, NetworkConfig } from '../config/types.ts';
import { NethooksError } from '../errors.ts';
import { attach, attachCommands, dnsName, type Joining, joinings } from '../plan/container.ts';
import { withIncludes } from '../plan/lxc-config.ts';
import { UPSTREAMS } from '../plan/paths.ts';
import { parseResolvConf, renderResolvConf } from '../plan/resolv-conf.ts';
import { releaseAddress, reserveAddress } from '../state/address-store.ts';
import { announce, forget, holderId, readKept, remember, storeOf } from '../state/container.ts';
import { type Exec, must } from '../system/exec.ts';
import { isMissing, readText } from '../system/files.ts';
import { readInclude } from '../system/lxc-include.ts';
import { writeBelowRoot } from '../system/rootfs.ts';
import { type LxcEvent, parseLxcEvent } from './lxc-event.ts';
import type { HookContext } from './run.ts';

/** Connects the container. Throws, and leaves nothing, when it cannot have its address; names and resolv.conf only warn. */
export async function run({ words, env, exec, log }: HookContext): Promise<void> {
  const event = parseLxcEvent(words, env);
  if (process.getuid?.() !== 0)
    throw new NethooksError('needs root: containers started by a user have that user run this hook');
  const config = await currentConfig();
  const joining = joinings(readNics(event, config), config.networks);
  if (joining.length === 0) return;
  if (event.pid === null) throw new NethooksError('LXC_PID is not set or no pid');
  const namespace = openNamespace(event.pid);
  if (namespace === null) return;
  try {
    connect(event.name, event.pid, namespace, joining, exec, log);
  } finally {
    closeSync(namespace);
  }
}

function connect(
  name: string,
  pid: number,
  namespace: number,
  joining: Joining[],
  exec: Exec,
  log: (line: string) => void,
): void {
  const reserved: { address: string; fresh: boolean; network: string; ifname: string }[] = [];
  try {
    const kept = readKept(name);
    const attachments = joining.map((one) => {
      const { nic, network } = one;
      const hint = kept.find((old) => old.network === network.name && old.ifname === nic.name)?.address;
      const reservation = reserveAddress(
        storeOf(network.name),
        [network.reserve],
        { id: holderId(name), ifname: nic.name },
        {
          skip: [network.address],
          ...(one.wanted === null ? {} : { wanted: one.wanted }),
          ...(hint === undefined ? {} : { hint }),
        },
      );
      reserved.push({ ...reservation, network: network.name, ifname: nic.name });
      return attach(one, reservation.address);
    });
    // Names first: dnsmasq reads them while the interface is being set up.
    convenience(log, 'names', () => announce(name, attachments));
    inNamespace(exec, namespace, attachCommands(attachments));
    convenience(log, 'resolv.conf', () => writeResolvConf(pid, joining[0]?.network as NetworkConfig, log));
    remember({ name, pid, attachments });
    if (dnsName(name) === null) log(`${name} cannot be a DNS name (RFC 1123): it has an address, but no name`);
  } catch (error) {
    undo(name, reserved);
    throw error;
  }
}

/** Names and reservations vanish again, and addresses that were not the container's before. */
function undo(name: string, reserved: { address: string; fresh: boolean; network: string; ifname: string }[]): void {
  if (reserved.length > 0 && reserved.every(({ fresh }) => fresh)) forget(name);
  for (const { fresh, network, ifname, address } of reserved)
    if (fresh) releaseAddress(storeOf(network), { id: holderId(name), ifname }, address);
}

/** The interfaces in the container's configuration; without one (lxc-execute) a single veth on the first network is assumed. */
function readNics({ configFile }: LxcEvent, config: Config) {
  const text = configFile === null ? null : readText(configFile);
  if (text !== null) return withIncludes(text, readInclude);
  return [{ index: 0, type: 'veth', link: config.networks[0]?.name ?? '', name: 'eth0', addresses: [], up: true }];
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

/** One process: nsenter becomes ip. */
function inNamespace(exec: Exec, namespace: number, commands: string[]): void {
  must(exec, 'nsenter', ['--net=/proc/self/fd/3', 'ip', '-batch', '-'], {
    fd: namespace,
    input: `${commands.join('\n')}\n`,
  });
}

function writeResolvConf(pid: number, network: NetworkConfig, log: (line: string) => void): void {
  const nameservers = network.dns ? [network.address] : servers(network);
  if (nameservers.length === 0) return;
  const text = renderResolvConf({ nameservers, search: [network.domain], options: [] });
  const { outcome, reason } = writeBelowRoot(`/proc/${pid}/root`, ['etc'], 'resolv.conf', text);
  if (outcome === 'left') log(`/etc/resolv.conf in the container is left as it is: ${reason}`);
}

/** Without DNS of ours: the servers from the configuration, else the host's, which a container reaches only if not on loopback. */
function servers({ dnsUpstream }: NetworkConfig): string[] {
  if (dnsUpstream.length > 0) return dnsUpstream;
  return parseResolvConf(readText(UPSTREAMS) ?? '').nameservers.filter(
    (server) => !server.startsWith('127.') && server !== '::1',
  );
}

/** What a container can do without: a failure is logged and the start goes on. */
function convenience(log: (line: string) => void, what: string, action: () => void): void {
  try {
    action();
  } catch (error) {
    log(`${what}: ${error instanceof Error ? error.message : error}`);
  }
}
