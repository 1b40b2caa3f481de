/**
 * What is left of containers whose hooks never ran: LXC's monitor was killed, or the container's directory was removed by hand.
 * First a look that changes nothing, then the taking back of what was seen.
 */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { deadAttachments, removeDead, type StaleAddress, staleAddresses } from '../frontend/cni/gc.ts';
import { keptRecord } from '../model/paths.ts';
import { DEFAULT_DATA_DIR, listAddresses, releaseAddress } from '../store/address-store.ts';
import { type AttachmentRecord, listAttachments, portHolder } from '../store/attachments.ts';
import { type ContainerRecord, forget, listRunning, readRunning, storeOf } from '../store/container.ts';
import { forgetParent, listParents } from '../store/links.ts';
import { type HostPort, listPorts, releasePorts } from '../store/ports.ts';
import type { Exec } from '../system/exec.ts';
import { filesIn, readText } from '../system/files.ts';
import { isAlive } from '../system/process.ts';
import { destroy, disconnect } from './disconnect.ts';
import type { Log } from './policy.ts';

export interface Garbage {
  /** Records of containers that run no more, though no hook has seen them stop. */
  dead: ContainerRecord[];
  /** Host ports of containers that neither run nor start. */
  ports: (HostPort & { container: string })[];
  /** Containers whose links are noted, though they do not run. */
  parents: string[];
  /** Containers that are no more, and the addresses that they hold. */
  vanished: { container: string; addresses: string[] }[];
  /** What CNI and `nethooks attach` made in network namespaces that have gone. */
  attachments: AttachmentRecord[];
  /** Addresses of CNI containers of an earlier boot. */
  stale: StaleAddress[];
}

/** A reservation this young (ms) may be of a container that is starting, and has no record yet. */
const STARTING = 60_000;

/**
 * Looks; changes nothing.
 * @param stores whose stale addresses are meant: names of networks
 */
export function findGarbage(stores: readonly string[] = []): Garbage {
  const records = listRunning();
  const known = new Set([...records.map(({ name }) => name), ...listAttachments().map(portHolder)]);
  const running = new Set(records.filter(isAlive).map(({ name }) => name));
  const old = ({ reservedAt }: { reservedAt: number }): boolean => Date.now() - reservedAt > STARTING;
  const held = filesIn(DEFAULT_DATA_DIR)
    .flatMap((network) => listAddresses(storeOf(network)))
    .flatMap(({ holder, ...rest }) => {
      const container = /^lxc-(.+)$/.exec(holder.id)?.[1];
      return container === undefined ? [] : [{ container, ...rest }];
    });
  const path = lxcPath();
  // A young one may be a container that lxc-execute just started, which has no directory.
  const young = new Set(held.filter((one) => !old(one)).map(({ container }) => container));
  const kept = filesIn(dirname(keptRecord('-'))).map((file) => file.replace(/\.json$/, ''));
  const gone = (container: string): boolean =>
    !running.has(container) && !young.has(container) && !existsSync(join(path, container));
  const containers = [...new Set([...held.map(({ container }) => container), ...kept])];
  return {
    dead: records.filter((record) => !isAlive(record)),
    ports: listPorts().filter((port) => !known.has(port.container) && old(port)),
    parents: listParents().filter((parent) => !known.has(parent)),
    vanished: containers.filter(gone).map((container) => ({
      container,
      addresses: held.filter((one) => one.container === container).map(({ address }) => address),
    })),
    attachments: deadAttachments(),
    stale: staleAddresses(stores),
  };
}

/**
 * Takes back what was found. What has changed since is left alone; what fails does not keep the rest.
 * @returns one line for each thing that could not be taken back
 */
export function collect(
  exec: Exec,
  { dead, ports, parents, vanished, attachments, stale }: Garbage,
  log: Log,
): string[] {
  const failures: string[] = [];
  const attempt = (what: string, action: () => void): void => {
    try {
      action();
    } catch (error) {
      failures.push(`${what}: ${error instanceof Error ? error.message : error}`);
    }
  };
  for (const record of dead)
    attempt(record.name, () => {
      const now = readRunning(record.name);
      if (now?.pid === record.pid && now.started === record.started) disconnect(exec, record, log);
    });
  for (const port of ports) attempt(port.container, () => releasePorts(port.container, [port]));
  for (const parent of parents) attempt(parent, () => forgetParent(parent));
  for (const { container } of vanished)
    attempt(container, () => {
      destroy(exec, container, log);
      forget(container);
    });
  for (const record of attachments) attempt(record.id, () => removeDead({ exec, log }, record));
  for (const { store, address, holder } of stale) attempt(address, () => releaseAddress(store, holder, address));
  return failures;
}

/** Where LXC keeps its containers (lxc.system.conf(5)). */
function lxcPath(): string {
  const text = readText('/etc/lxc/lxc.conf') ?? '';
  return /^\s*lxc\.lxcpath\s*=\s*(\S+)\s*$/m.exec(text)?.[1] ?? '/var/lib/lxc';
}
