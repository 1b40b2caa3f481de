/** Drop-ins for systemd's daemons below a container's root (plan/attachment/drop-ins.ts), where it has them. */
import type { DropIn } from '../model/step.ts';
import { isDropIn } from '../plan/attachment/drop-ins.ts';
import { existsBelowRoot, readBelowRoot, removeBelowRoot, removeDirectoryBelowRoot, writeBelowRoot } from './rootfs.ts';

const ETC = ['etc', 'systemd'];
const NAME = 'nethooks.conf';
const pathOf = ({ directory }: DropIn): string => [...ETC, directory, NAME].join('/');
/** Nobody writes longer files of that kind. */
const MAX_BYTES = 1 << 16;

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
  // Most containers have no systemd: one look is enough for them.
  const isThere = wanted.length > 0 && existsBelowRoot(root, ['etc'], 'systemd');
  const staying = isThere ? wanted.filter((one) => hasDaemon(root, one) && !isSaid(root, one)) : [];
  for (const one of staying) {
    const { directory, text } = one;
    const edit = (there: string | null) => (there === null || isDropIn(there) ? text : null);
    const { outcome, reason } = writeBelowRoot(root, [...ETC, ...directory.split('/')], NAME, edit, { made });
    const path = pathOf(one);
    if (outcome === 'left') log(`/${path} in the container is left as it is: ${reason}`);
    else if (!made.includes(path)) made.push(path);
  }
  const paths = staying.map(pathOf);
  return made
    .filter((path) => path.endsWith(`/${NAME}`) && !paths.includes(path))
    .reduce((left, path) => removeDropIn(root, path, left), made);
}

/** Takes all of it back. */
export const clearDropIns = (root: string, made: readonly string[]): void =>
  void writeDropIns(() => {}, root, [], made);

/** @returns what is left of ours */
function removeDropIn(root: string, path: string, made: readonly string[]): string[] {
  const directory = path.split('/').slice(0, -1);
  removeBelowRoot(root, directory, NAME, isDropIn);
  const left = made.filter((one) => one !== path);
  // The directories that were made for it, the innermost first, as long as nothing else of ours needs them.
  for (let depth = directory.length; depth > 0; depth--) {
    const own = directory.slice(0, depth).join('/');
    if (!left.includes(own) || left.some((one) => one.startsWith(`${own}/`))) break;
    removeDirectoryBelowRoot(root, directory.slice(0, depth - 1), directory[depth - 1] as string);
    left.splice(left.indexOf(own), 1);
  }
  return left;
}

/** Below /lib where that is no link to /usr/lib. */
const hasDaemon = (root: string, { daemon }: DropIn): boolean =>
  [
    ['usr', 'lib', 'systemd'],
    ['lib', 'systemd'],
  ].some((dirs) => existsBelowRoot(root, dirs, `systemd-${daemon}`));

/** Whether somebody else says it. */
function isSaid(root: string, { unless }: DropIn): boolean {
  if (!unless) return false;
  const words = [...ETC, ...unless.file.split('/')];
  return readBelowRoot(root, words.slice(0, -1), words.at(-1) as string, MAX_BYTES)?.includes(unless.says) ?? false;
}
