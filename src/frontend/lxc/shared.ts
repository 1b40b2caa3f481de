/**
 * Containers on the network of another one (Docker's --net container:NAME). Their hosts and resolv.conf say what that one's do, also when
 * it is configured anew. They are written, not mounted: a mount of a file ends when the file is replaced, as we and DHCP clients do, and
 * nobody could replace it inside.
 */
import { readlinkSync } from 'node:fs';
import { detach } from '../../attachment/detach.ts';
import { fileFacts } from '../../attachment/facts.ts';
import { containerOptions } from '../../config/container-cache.ts';
import { type AttachmentRecord, ipv4Of } from '../../model/attachment.ts';
import { type Config, type NetworkConfig, overlay } from '../../model/config.ts';
import { type ContainerOptions, NO_OPTIONS } from '../../model/container-options.ts';
import { isSafeName } from '../../model/names.ts';
import { containerFiles } from '../../plan/attachment/container-files.ts';
import type { FilesSpec, SharedFiles } from '../../plan/attachment/spec.ts';
import { sharersOf, watchShared } from '../../store/links.ts';
import { isAlive, readContainer, readKept, writeKeptFiles, writeRecord } from '../../store/records.ts';
import { type Applying, applySteps } from '../../system/apply.ts';
import { startTime } from '../../system/process.ts';
import type { Starting } from './start.ts';

/**
 * Starts a container on the network of `other`.
 * @returns whether that is a container of ours; else there is nothing to share
 */
export async function startShared(
  how: Applying,
  config: Config,
  { name, pid, configFile, words }: Starting & { pid: number },
  options: ContainerOptions,
  other: string,
): Promise<boolean> {
  if (!isSafeName(other)) return false;
  const what = await whatIsShared(how, config, other, pid, [name]);
  if (what === null) return false;
  const former = readContainer(name);
  if (former) await detach(how, former);
  writeRecord({
    owner: { kind: 'lxc', name },
    state: 'attached',
    life: { pid, started: startTime(pid) },
    interfaces: [],
    names: { own: [], linked: [] },
    links: [],
    policy: null,
    shares: other,
    configFile,
    words,
  });
  watchShared(other, name);
  await writeFiles(how, { name, pid, ...filesOf(options, what) });
  return true;
}

/** Brings the files of a container on another one's network to what that one's say now. */
export async function refreshShared(how: Applying, config: Config, record: AttachmentRecord): Promise<void> {
  const { owner, life, shares, words = [] } = record;
  if (owner.kind !== 'lxc' || shares === undefined || !life || !('pid' in life) || !isAlive(record)) return;
  const { name } = owner;
  const what = await whatIsShared(how, config, shares, life.pid, [name]);
  if (what === null) return;
  await writeFiles(how, { name, pid: life.pid, ...filesOf(await containerOptions(name, words, how.log), what) });
}

/** The same for all on the network of `container`, and on theirs in turn. What fails is logged. */
export async function refreshSharers(
  how: Applying,
  config: Config,
  container: string,
  seen: readonly string[] = [],
): Promise<void> {
  if (seen.includes(container)) return;
  for (const sharer of sharersOf(container)) {
    const record = readContainer(sharer);
    if (record?.shares !== container) continue;
    try {
      await refreshShared(how, config, record);
    } catch (error) {
      how.log(`files of container ${sharer}: ${error instanceof Error ? error.message : error}`);
    }
    await refreshSharers(how, config, sharer, [...seen, container]);
  }
}

interface Shareable {
  network: NetworkConfig | null;
  options: ContainerOptions;
  shared: SharedFiles;
}

/**
 * What the files of a container say, by its options and its record; null when it is none of ours, or is not in the network namespace of
 * `pid`: it has been started anew, or is another one of that name.
 * @param seen containers that lead here: two may each share what the other one had
 */
async function whatIsShared(
  how: Applying,
  config: Config,
  name: string,
  pid: number,
  seen: readonly string[],
): Promise<Shareable | null> {
  const record = seen.includes(name) ? null : readContainer(name);
  if (record?.state !== 'attached' || !record.life || !('pid' in record.life) || !isAlive(record)) return null;
  if (namespaceOf(record.life.pid) !== namespaceOf(pid)) return null;
  const { shares, interfaces, policy, words = [] } = record;
  const options = await optionsOf(how, name, words);
  const hostnames = options.hostname === null ? [] : [options.hostname];
  if (shares !== undefined) {
    const further = await whatIsShared(how, config, shares, pid, [...seen, name]);
    if (further === null) return null;
    const { network, shared } = further;
    return {
      network,
      options: { ...options, ...overlay(options, further.options) },
      shared: { ...shared, hostnames: [...hostnames, ...shared.hostnames] },
    };
  }
  const [first] = interfaces;
  return {
    network: config.networks.find((network) => network.name === first?.network) ?? null,
    options,
    shared: { name, address: first ? ipv4Of(first) : null, hostnames, links: policy?.links ?? [] },
  };
}

/** A mistake in another container's options is no reason to refuse this one. */
async function optionsOf(how: Applying, name: string, words: readonly string[]): Promise<ContainerOptions> {
  try {
    return await containerOptions(name, words, () => undefined);
  } catch (error) {
    how.log(`options of container ${name}: ${error instanceof Error ? error.message : error}`);
    return NO_OPTIONS;
  }
}

/** What the container says itself goes before. */
const filesOf = (own: ContainerOptions, { network, options, shared }: Shareable) => ({
  options: { ...own, ...overlay(own, options) },
  network,
  shared,
});

const namespaceOf = (pid: number): string => readlinkSync(`/proc/${pid}/ns/net`);

/** Writes a container's files alone. */
export async function writeFiles(how: Applying, files: FilesSpec): Promise<void> {
  const { name, pid } = files;
  const { written } = readKept(name);
  const facts = fileFacts({ kind: 'lxc', name }, [], files);
  const { files: wanted, warnings } = containerFiles(files, [], null, facts.hostResolver);
  for (const warning of warnings) how.log(warning);
  const outputs = await applySteps(how, [{ kind: 'container-files', name, pid, files: wanted, before: written }]);
  if (outputs.written) writeKeptFiles(name, outputs.written);
}
