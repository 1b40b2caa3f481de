/** Brings a running container from what it has to what its options say now: exactly the difference. */
import { containerOptions } from '../config/container-cache.ts';
import { wishOf } from '../frontend/lxc/wish.ts';
import type { Config, NetworkConfig } from '../model/config.ts';
import { type ContainerOptions, NIC_DEFAULTS } from '../model/container-options.ts';
import type { Policy } from '../model/policy.ts';
import type { Attachment } from '../plan/attachment/interfaces.ts';
import { type ContainerRecord, readKept, readRunning, remember, rememberTold } from '../store/container.ts';
import { forgetParent, parentsOf } from '../store/links.ts';
import { announce } from '../store/names.ts';
import { type HostPort, releasePorts, samePort } from '../store/ports.ts';
import { must } from '../system/exec.ts';
import { readText } from '../system/files.ts';
import { isAlive } from '../system/process.ts';
import type { ConnectContext } from './connect.ts';
import { writeLinkEnvironment } from './link-files.ts';
import { makePolicy } from './make-policy.ts';
import { applyPolicy } from './policy.ts';
import { relinkParents } from './relink.ts';
import { convenience, namesOf, tell } from './tell.ts';

/**
 * Ports and links first, then names and files. Addresses and networks stay as they are until the next start.
 * @throws NethooksError when a port cannot be had, or the kernel refuses: nothing has changed then
 */
export function reconfigure(
  how: ConnectContext,
  config: Config,
  record: ContainerRecord,
  options: ContainerOptions,
): void {
  const { exec, log } = how;
  const { name } = record;
  const networks = networksOf(config, record.attachments);
  const wish = wishOf(options, config.containers);
  const before = record.policy;
  const port = before?.port ?? portOf(how, record);
  const kept = readKept(name);
  const made = makePolicy({ name, attachments: record.attachments, networks, port }, wish, kept.publish, log);
  try {
    if (before || made.policy) applyPolicy(exec, before, made.policy, log);
  } catch (error) {
    releasePorts(name, made.fresh);
    forgetParent(
      name,
      (before?.links ?? []).map(({ container }) => container),
    );
    throw error;
  }
  releasePorts(name, gone(before, made.policy));
  forgetParent(
    name,
    wish.link.map(({ container }) => container),
  );
  const attachments = withMtu(how, record, options, networks);
  const after = { ...record, attachments, policy: made.policy };
  remember(after);
  convenience(log, 'links', () => relinkParents(exec, name, false, log));
  retell(how, config, after, options);
}

/** Names, DHCP, files and the links' environment of a container that runs, from its record. */
export function retell(
  { exec, log }: ConnectContext,
  config: Config,
  record: ContainerRecord,
  options: ContainerOptions,
): void {
  const { name, pid, attachments, policy, configFile = null } = record;
  const links = policy?.links ?? [];
  const network = networksOf(config, attachments)[0] ?? null;
  convenience(log, 'names', () => {
    for (const line of announce(name, attachments, namesOf(name, options, links))) log(line);
  });
  const telling = { name, pid, root: `/proc/${pid}/root`, attachments, network, options, links };
  rememberTold(name, tell(exec, log, { ...telling, before: readKept(name).told }));
  convenience(log, 'environment of links', () => {
    if (writeLinkEnvironment(name, links, configFile))
      log(`the environment of ${name}'s links has changed: it takes effect at its next start`);
  });
}

/** Tells the running containers that link to `child` where it is now. Costs nothing while nobody does. */
export async function retellParents(how: ConnectContext, config: Config, child: string): Promise<void> {
  for (const { parent } of parentsOf(child)) {
    const record = readRunning(parent);
    if (!record || !isAlive(record)) continue;
    const options = await containerOptions(parent, record.words ?? [], how.log);
    retell(how, config, record, options);
  }
}

function networksOf(config: Config, attachments: Attachment[]): NetworkConfig[] {
  return attachments.flatMap(({ network }) => config.networks.find(({ name }) => name === network) ?? []);
}

const gone = (before: Policy | null, after: Policy | null): HostPort[] =>
  (before?.publish ?? []).filter((old) => !after?.publish.some((port) => samePort(port, old)));

/** ifindex of the host's end of its first interface. */
function portOf({ exec }: ConnectContext, { pid, attachments }: ContainerRecord): number | null {
  const [first] = attachments;
  if (!first) return null;
  const { stdout } = exec('nsenter', [`--net=/proc/${pid}/ns/net`, 'ip', 'link', 'show', 'dev', first.ifname]);
  return Number(/@if(\d+):/.exec(stdout)?.[1] ?? Number.NaN) || null;
}

/** Sets each interface's MTU where it differs; the attachments as they are then. */
function withMtu(
  { exec }: ConnectContext,
  { pid, attachments }: ContainerRecord,
  { nics }: ContainerOptions,
  networks: NetworkConfig[],
): Attachment[] {
  return attachments.map((attachment, index) => {
    const { mtu: before, ...rest } = attachment;
    const { mtu } = nics[attachment.nic ?? index] ?? NIC_DEFAULTS;
    if (mtu === (before ?? 'auto')) return attachment;
    const bytes = mtu === 'auto' ? readText(`/sys/class/net/${networks[index]?.name}/mtu`)?.trim() : String(mtu);
    const set = ['ip', 'link', 'set', 'dev', attachment.ifname, 'mtu', bytes ?? '1500'];
    must(exec, 'nsenter', [`--net=/proc/${pid}/ns/net`, ...set]);
    return mtu === 'auto' ? rest : { ...rest, mtu };
  });
}
