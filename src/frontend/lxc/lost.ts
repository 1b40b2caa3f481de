/** Containers that run though /run/nethooks has no record of them: somebody has emptied it. What they keep in /var/lib says the rest. */
import { existsSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { fileFacts } from '../../attachment/facts.ts';
import { placesOf, resolveLink } from '../../attachment/take.ts';
import { containerOptions } from '../../config/container-cache.ts';
import { NethooksError } from '../../errors.ts';
import type { AttachmentRecord, KeptRecord } from '../../model/attachment.ts';
import type { Config } from '../../model/config.ts';
import { inOneLine } from '../../model/finding.ts';
import { planAttachment, withPorts } from '../../plan/attachment/attach.ts';
import { listKept, readKept, recordPath } from '../../store/records.ts';
import { portsIn } from '../../system/apply.ts';
import { note } from '../../system/event.ts';
import type { Exec } from '../../system/exec.ts';
import { readText } from '../../system/files.ts';
import { readInclude } from '../../system/lxc-include.ts';
import { hookWords } from './adopt.ts';
import { memberNics, specOf } from './spec.ts';
import { readNics } from './start.ts';

/** Their records, as a start of today would make them. Starts programs only for those that are lost. */
export async function lostContainers(config: Config, exec: Exec): Promise<AttachmentRecord[]> {
  const unknown = listKept().filter((name) => !existsSync(recordPath(`lxc/${name}`)));
  if (unknown.length === 0) return [];
  // LXC's monitor of each container that runs listens there (lxc/commands.c).
  const sockets = new Set(
    [...(readText('/proc/net/unix') ?? '').matchAll(/ @(\/.*)\/command$/gm)].map(([, path]) => path),
  );
  const running = new Set([...sockets].map((path) => basename(path ?? '')));
  const found: AttachmentRecord[] = [];
  for (const name of unknown.filter((one) => running.has(one))) {
    const kept = readKept(name);
    const directory = kept.place && dirname(kept.place.configFile);
    if (!directory || basename(directory) !== name || !sockets.has(directory)) continue;
    try {
      const record = await recordOf(config, exec, name, kept, directory);
      if (record !== null) found.push(record);
    } catch (error) {
      // What is wrong with one container's options keeps nobody else from being found.
      if (!(error instanceof NethooksError)) throw error;
      note(`container ${name} runs, but its record could not be made anew: ${inOneLine(error.message)}`);
    }
  }
  return found;
}

/** Null for one that is not as it was, or that has no network of ours. */
async function recordOf(
  config: Config,
  exec: Exec,
  name: string,
  kept: KeptRecord,
  directory: string,
): Promise<AttachmentRecord | null> {
  const pid = Number(exec('lxc-info', ['-P', dirname(directory), '-n', name, '-p', '-H']).stdout);
  if (!Number.isInteger(pid) || pid <= 1) return null;
  const configFile = `${directory}/config`;
  const words = hookWords(readText(configFile) ?? '', readInclude) ?? [];
  const options = await containerOptions(name, words, () => undefined);
  const members = memberNics(readNics(configFile, config, ''), config.networks, options.nics);
  const spec = specOf(config, { name, pid, configFile, words, options, members });
  const placed = spec.interfaces.flatMap((one) => {
    const had = kept.interfaces.find(({ network, ifname }) => network === one.network?.name && ifname === one.ifname);
    const ips = had?.addresses.map((address) => ({ address, gateway: had.gateways[0] })) ?? [];
    return ips.length === 0 ? [] : [{ spec: one, ips, routes: [] }];
  });
  if (placed.length === 0) return null;
  const places = placesOf(kept.interfaces);
  const links = spec.links.flatMap(({ container, alias }) => resolveLink(places, container, alias) ?? []);
  const taken = { placed, published: kept.publish, links, granted: {} };
  const { by: _, ...record } = planAttachment({ ...spec, files: null }, taken, fileFacts(spec.owner, []), {
    pid: process.pid,
    started: null,
  }).record;
  const { stdout } = exec('nsenter', [`--net=/proc/${pid}/ns/net`, 'ip', 'link', 'show']);
  return { ...withPorts(record, portsIn(stdout)), state: 'attached' };
}
