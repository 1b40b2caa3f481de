/**
 * lxc.hook.pre-start of a container on another one's network: where that one does not run, LXC says so in its log only. Nothing of the
 * container is there yet.
 */
import { NethooksError } from '../../errors.ts';
import { readText } from '../../system/files.ts';
import { readInclude } from '../../system/lxc-include.ts';
import type { HookContext } from '../hooks/context.ts';
import { shares } from './adopt.ts';
import { parseLxcEvent } from './lxc-event.ts';

export async function run({ words, env }: HookContext): Promise<void> {
  const { configFile } = parseLxcEvent(words, env);
  const other = configFile === null ? null : shares(readText(configFile) ?? '', readInclude);
  if (other !== null && !mayRun(other))
    throw new NethooksError(
      `it is on the network of container ${other}, which is not running; \`lxc-start ${other}\` goes before`,
    );
}

/**
 * Whether LXC may find it running: by the socket that its monitor listens on (lxc_make_abstract_socket_name() in lxc's
 * src/lxc/af_unix.c), whose name is a checksum where the path is too long for a socket's. It may also be given as a pid or a path.
 */
function mayRun(container: string): boolean {
  if (/^\d+$|\//.test(container)) return true;
  const sockets = (readText('/proc/net/unix') ?? '').split('\n');
  return sockets.some((line) => line.endsWith(`/${container}/command`) || / @lxc\/[\da-f]+\/command$/.test(line));
}
