/** Gathers what doctor's checks ask (plan/checks). Reads only, but for one empty file where it has to know whether it could write. */
import { existsSync, readdirSync, rmSync, statfsSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findGarbage, findingsOf } from '../../attachment/garbage.ts';
import { listAttachments } from '../../host/attachments.ts';
import type { NetworkConfig } from '../../model/config.ts';
import type { HostFacts } from '../../model/facts.ts';
import { showFinding } from '../../model/finding.ts';
import { CONFIG_DIR, CONFIG_FILES, RUN, STATE } from '../../model/paths.ts';
import {
  type CheckFacts,
  type ContainerFact,
  type DiskFact,
  type FileFact,
  INTERFACE_SYSCTLS,
  interfaceKey,
  type ListenerFact,
  type RoutingRuleFact,
  SYSCTLS,
} from '../../plan/checks/check.ts';
import { uplinksOf } from '../../plan/checks/uplinks.ts';
import type { Exec } from '../../system/exec.ts';
import { readText } from '../../system/files.ts';
import { boundSockets, ownersOf, showOwner } from '../../system/listeners.ts';
import { readInclude } from '../../system/lxc-include.ts';
import { lxcNetBridge } from '../../system/lxc-net.ts';
import { missingHooks } from '../lxc/adopt.ts';
import { knownContainers } from '../lxc/containers.ts';
import { withIncludes } from '../lxc/lxc-config.ts';

export async function gatherCheckFacts(
  exec: Exec,
  networks: readonly NetworkConfig[],
  host: HostFacts,
): Promise<CheckFacts> {
  const rules = readRules(exec);
  const published = listAttachments()
    .filter(({ state }) => state === 'running')
    .flatMap(({ name, ports }) => ports.map((port) => ({ name, port })));
  const interfaces = new Set([...networks.map(({ name }) => name), ...networks.flatMap((one) => uplinksOf(one, host))]);
  const keys = [
    ...SYSCTLS,
    ...[...interfaces].flatMap((name) => INTERFACE_SYSCTLS.map((key) => interfaceKey(name, key))),
  ];
  return {
    networks,
    host,
    sysctls: Object.fromEntries(keys.map((key) => [key, readText(`/proc/sys/${key}`)?.trim() ?? null])),
    listeners: listenersOn(new Set(published.map(({ port }) => port.hostPort))),
    rules: await rules,
    files: ownFiles(),
    disks: [RUN, STATE].filter((path) => existsSync(path)).map(diskOf),
    containers: lxcContainers(networks),
    published,
    lxcBridge: lxcNetBridge(),
    leftovers: findingsOf(findGarbage({ exec }, { stores: networks.map(({ name }) => name), table: true })).map(
      showFinding,
    ),
  };
}

/** Those that the kernel has by itself (ip-rule(8)) are left out. */
async function readRules(exec: Exec): Promise<RoutingRuleFact[]> {
  const { code, stdout } = await exec.start('ip', ['-json', 'rule', 'show']);
  if (code !== 0) return [];
  type Rule = { priority: number; src?: string; srclen?: number; dst?: string; dstlen?: number; table?: string };
  const cidr = (address = 'all', length = 32): string => (address === 'all' ? address : `${address}/${length}`);
  return (JSON.parse(stdout || '[]') as Rule[])
    .filter(({ priority }) => ![0, 32766, 32767].includes(priority))
    .map(({ priority, src, srclen, dst, dstlen, table = '' }) => ({
      priority,
      from: cidr(src, srclen),
      to: cidr(dst, dstlen),
      table,
    }));
}

function listenersOn(numbers: ReadonlySet<number>): ListenerFact[] {
  const sockets =
    numbers.size === 0 ? [] : boundSockets(new Set(['tcp', 'udp', 'sctp'])).filter(({ port }) => numbers.has(port));
  if (sockets.length === 0) return [];
  const owners = ownersOf(new Set(sockets.map(({ inode }) => inode)));
  return sockets.map(({ inode, ...socket }) => ({ ...socket, owner: showOwner(owners.get(inode)) }));
}

/** What decides over what root does. */
function ownFiles(): FileFact[] {
  const containers = join(CONFIG_DIR, 'containers');
  const paths = [
    CONFIG_DIR,
    ...CONFIG_FILES,
    containers,
    ...(existsSync(containers) ? readdirSync(containers).map((file) => join(containers, file)) : []),
    RUN,
    STATE,
  ];
  return paths.flatMap((path) => {
    const stat = statSync(path, { throwIfNoEntry: false });
    return stat ? [{ path, mode: stat.mode & 0o7777, uid: stat.uid }] : [];
  });
}

function diskOf(path: string): DiskFact {
  const { bavail, bsize, files, ffree } = statfsSync(path);
  return { path, freeBytes: bavail * bsize, freeInodes: files === 0 ? null : ffree, fault: writeFault(path) };
}

/** Why a file cannot be made there; null where it can. */
function writeFault(directory: string): string | null {
  const path = join(directory, `.doctor.${process.pid}`);
  try {
    writeFileSync(path, 'room?\n');
    return null;
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : String(error);
  } finally {
    rmSync(path, { force: true });
  }
}

function lxcContainers(networks: readonly NetworkConfig[]): ContainerFact[] {
  return knownContainers().containers.flatMap(({ name, configFile }) => {
    const text = readText(configFile);
    if (text === null) return [];
    const links = withIncludes(text, readInclude).flatMap(({ type, link }) => (type === 'veth' && link ? [link] : []));
    const ours = links.some((link) => networks.some((network) => network.name === link));
    return [{ name, links, missingHooks: ours ? missingHooks(text, readInclude) : [] }];
  });
}
