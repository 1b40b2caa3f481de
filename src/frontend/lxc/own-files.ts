/** What of ours stands in the files of LXC containers that do not run: without our hooks no start takes it out. */

import { readKept, writeKeptFiles } from '../../store/records.ts';
import { clearContainerFiles } from '../../system/container-files.ts';
import { readText } from '../../system/files.ts';
import { readInclude } from '../../system/lxc-include.ts';
import { rootOf } from './adopt.ts';
import type { LxcContainer } from './containers.ts';

type Log = (line: string) => void;

/** Whether there is anything of ours in a container's files. */
export function hasOwnFiles({ name }: Pick<LxcContainer, 'name'>): boolean {
  const { written } = readKept(name);
  return written !== undefined && (written.hosts || written.hostname !== undefined || written.replaced !== undefined);
}

/** Takes it out. */
export function clearOwnFiles(log: Log, { name, configFile }: LxcContainer): void {
  const { written, interfaces } = readKept(name);
  if (!written || !hasOwnFiles({ name })) return;
  const root = rootOf(readText(configFile) ?? '', readInclude);
  const servers = interfaces.flatMap(({ gateways }) => gateways);
  if (root === null)
    log('its /etc/hosts and /etc/hostname are as they were: its root is no directory that is there now');
  else writeKeptFiles(name, clearContainerFiles(log, { name, root, servers }, written));
}
