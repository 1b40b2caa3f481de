/**
 * LXC keeps a container's snapshots below its own directory, `NAME/snaps/snap0/config`, and treats each as a container: clone and
 * destroy hooks run for it under the name snap0, which is no container's, or is that of another one.
 */
import { existsSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { filesIn } from './files.ts';

const SNAPSHOTS = 'snaps';

/** Where a container, by its directory, has its snapshots. */
export const snapshotsOf = (container: string): string => join(container, SNAPSHOTS);

/** The LXC configuration of a container's snapshot. */
export const snapshotConfig = (container: string, snapshot: string): string =>
  join(snapshotsOf(container), snapshot, 'config');

/** The directory of the container whose snapshot this LXC configuration is of; null for one of a container itself. */
export function snapshotOf(configFile: string): string | null {
  const snapshots = dirname(dirname(configFile));
  const container = dirname(snapshots);
  return basename(snapshots) === SNAPSHOTS && existsSync(join(container, 'config')) ? container : null;
}

/**
 * Whether a container, by its directory, has snapshots. lxc-destroy refuses it then, or removes them first; so if it is destroyed all the
 * same, one of them is about to take its place.
 */
export const hasSnapshots = (container: string): boolean =>
  filesIn(snapshotsOf(container)).some((snapshot) => existsSync(snapshotConfig(container, snapshot)));
