/** Drop-ins for systemd's daemons below a container's root (plan/attachment/drop-ins.ts), where it has them. */
import type { DropIn } from '../model/step.ts';
import { isDropIn } from '../plan/attachment/drop-ins.ts';
import { existsBelowRoot, removeBelowRoot, removeDirectoryBelowRoot, writeBelowRoot } from './rootfs.ts';

const DAEMONS: DropIn['daemon'][] = ['resolved', 'networkd'];
const NAME = 'nethooks.conf';
const directoryOf = (daemon: DropIn['daemon']): string[] => ['etc', 'systemd', `${daemon}.conf.d`];
const pathOf = (daemon: DropIn['daemon']): string => [...directoryOf(daemon), NAME].join('/');

/**
 * Writes those that are wanted and takes the others back.
 * @param before what we have made at an earlier time
 * @returns what of ours is there now: paths below the root, in the order in which they were made
 */
export function writeDropIns(
  log: (line: string) => void,
  root: string,
  wanted: readonly DropIn[],
  before: readonly string[],
): string[] {
  const made = [...before];
  for (const { daemon, text } of wanted) {
    if (!hasDaemon(root, daemon)) continue;
    const edit = (there: string | null) => (there === null || isDropIn(there) ? text : null);
    const { outcome, reason } = writeBelowRoot(root, directoryOf(daemon), NAME, edit, { made });
    const path = pathOf(daemon);
    if (outcome === 'left') log(`/${path} in the container is left as it is: ${reason}`);
    else if (!made.includes(path)) made.push(path);
  }
  const unwanted = DAEMONS.filter((daemon) => !wanted.some((one) => one.daemon === daemon));
  return unwanted.reduce((left, daemon) => removeDropIn(root, daemon, left), made);
}

/** Takes all of it back. */
export const clearDropIns = (root: string, made: readonly string[]): void =>
  void writeDropIns(() => {}, root, [], made);

/** @returns what is left of ours */
function removeDropIn(root: string, daemon: DropIn['daemon'], made: string[]): string[] {
  const path = pathOf(daemon);
  if (!made.includes(path)) return made;
  const directory = directoryOf(daemon);
  removeBelowRoot(root, directory, NAME, isDropIn);
  const left = made.filter((one) => one !== path);
  // The directories that were made for it, the innermost first, as long as nothing else needs them.
  for (let depth = directory.length; depth > 0; depth--) {
    const own = directory.slice(0, depth).join('/');
    if (!left.includes(own) || left.some((one) => one.startsWith(`${own}/`))) break;
    removeDirectoryBelowRoot(root, directory.slice(0, depth - 1), directory[depth - 1] as string);
    left.splice(left.indexOf(own), 1);
  }
  return left;
}

/** Below /lib where that is no link to /usr/lib. */
const hasDaemon = (root: string, daemon: DropIn['daemon']): boolean =>
  [
    ['usr', 'lib', 'systemd'],
    ['lib', 'systemd'],
  ].some((dirs) => existsBelowRoot(root, dirs, `systemd-${daemon}`));
