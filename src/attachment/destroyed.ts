/** Whether an LXC container is there. */
import { existsSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { KeptRecord } from '../model/attachment.ts';
import { lxcPath } from '../system/lxc-path.ts';
import { hasSnapshots } from '../system/lxc-snapshots.ts';

/** Whether a container that does not run is no more. One below a path that is not mounted now may come back, as one that is just restored. */
export function isDestroyed(name: string, kept: KeptRecord | null | undefined): boolean {
  if (!kept?.place) return !existsSync(join(lxcPath(), name));
  const { configFile, device } = kept.place;
  if (existsSync(configFile) || hasSnapshots(dirname(configFile))) return false;
  return statSync(dirname(dirname(configFile)), { throwIfNoEntry: false })?.dev === device;
}
