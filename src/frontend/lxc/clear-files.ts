/** Takes what is ours out of a container's files, where no start does: it has lost our hooks, or we go. */
import { isWritten } from '../../model/attachment.ts';
import { isAlive, readContainer, readKept, writeKeptFiles } from '../../store/records.ts';
import { clearContainerFiles } from '../../system/container-files.ts';
import { readText } from '../../system/files.ts';
import { readInclude } from '../../system/lxc-include.ts';
import { rootOf } from './adopt.ts';

/** @param configFile its LXC configuration, which says where its root is while it does not run */
export function clearFiles(log: (line: string) => void, name: string, configFile: string): void {
  const { written } = readKept(name);
  if (!written || !isWritten(written)) return;
  const record = readContainer(name);
  const { life } = record && isAlive(record) ? record : { life: null };
  const root = life && 'pid' in life ? `/proc/${life.pid}/root` : rootOf(readText(configFile) ?? '', readInclude);
  if (root === null)
    log(`what we wrote into files of container ${name} is still there: its root is no directory that is there now`);
  else writeKeptFiles(name, clearContainerFiles(log, name, root, written));
}
