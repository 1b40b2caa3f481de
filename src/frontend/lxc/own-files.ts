/** What of ours stands in the files of LXC containers, where no start takes it out: they have lost our hooks, or we go. */
import { isWritten } from '../../model/attachment.ts';
import { isAlive, readContainer, readKept, writeKeptFiles } from '../../store/records.ts';
import { clearContainerFiles } from '../../system/container-files.ts';
import { clearDropIns } from '../../system/drop-ins.ts';
import { readText } from '../../system/files.ts';
import { readInclude } from '../../system/lxc-include.ts';
import { rootOf } from './adopt.ts';
import type { LxcContainer } from './containers.ts';

type Log = (line: string) => void;

/**
 * Whether clearOwnFiles() has anything to do. A container that runs keeps its hosts, hostname and resolv.conf, of use to it until it stops
 * and after a reinstall; what systemd reads at the next start goes.
 */
export function hasOwnFiles({ name }: Pick<LxcContainer, 'name'>, runs: boolean): boolean {
  const { written } = readKept(name);
  return written !== undefined && (runs ? (written.dropIns ?? []).length > 0 : isWritten(written));
}

/** Takes it out. */
export function clearOwnFiles(log: Log, { name, configFile }: LxcContainer): void {
  const { written, interfaces } = readKept(name);
  if (!written || !isWritten(written)) return;
  const record = readContainer(name);
  if (record?.life && 'pid' in record.life && isAlive(record)) {
    const { dropIns = [], ...rest } = written;
    clearDropIns(`/proc/${record.life.pid}/root`, dropIns);
    writeKeptFiles(name, rest);
    return;
  }
  const root = rootOf(readText(configFile) ?? '', readInclude);
  const servers = interfaces.flatMap(({ gateways }) => gateways);
  if (root === null) log('what is ours in its files is still there: its root is no directory that is there now');
  else writeKeptFiles(name, clearContainerFiles(log, { name, root, servers }, written));
}
