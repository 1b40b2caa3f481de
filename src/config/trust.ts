/** Root does what the configuration says, so nobody else may write it. */
import { statSync } from 'node:fs';

const OTHERS_WRITE = 0o002;

/** What is wrong with who may write a file, in words; null when nothing is, or when it is not there. Where we are not root it is not asked. */
export function distrust(path: string): string | null {
  const stat = process.getuid?.() === 0 ? statSync(path, { throwIfNoEntry: false }) : undefined;
  if (!stat) return null;
  if ((stat.mode & OTHERS_WRITE) !== 0)
    return `${path}: mode 0${(stat.mode & 0o777).toString(8)}: everybody may write it; allowed: root alone (chmod o-w ${path})`;
  return stat.uid === 0 ? null : `${path}: belongs to the user ${stat.uid}; allowed: root's (chown root: ${path})`;
}
