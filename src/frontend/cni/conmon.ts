/**
 * conmon(8), which podman starts for each container. While the container runs it holds the host ports that the container publishes, with
 * sockets that nobody reads from: they keep the host's programs off. `podman network reload` and `connect` call ADD meanwhile.
 */
import { basename } from 'node:path';
import { commandLine } from '../../system/process.ts';

/** Whether a process is the conmon of a container; its id is what podman passes as CNI_CONTAINERID. */
export const isConmonOf =
  (container: string) =>
  (pid: number): boolean =>
    isConmon(commandLine(pid), container);

/** The same by the words that it was started with (`conmon -c ID …`). */
export function isConmon([program = '', ...words]: readonly string[], container: string): boolean {
  if (basename(program) !== 'conmon') return false;
  return words.some(
    (word, index) => word === `--cid=${container}` || (/^(-c|--cid)$/.test(word) && words[index + 1] === container),
  );
}
