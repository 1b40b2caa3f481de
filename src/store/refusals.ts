/** Why the last start of a container was refused: LXC itself says "ABORTING". Kept until it starts, is destroyed, or the host reboots. */
import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { refusalFile } from '../model/paths.ts';
import { filesIn, readText, removeFile, writeAtomically } from '../system/files.ts';

export interface Refusal {
  /** ISO 8601. */
  at: string;
  /** May have several lines. */
  reason: string;
  /** The container's LXC configuration; null when nobody knows. */
  configFile: string | null;
}

export function noteRefusal(container: string, refusal: Refusal): void {
  writeAtomically(refusalFile(container), JSON.stringify(refusal));
}

/** Never throws: it is a note about a start that has succeeded since, or about nobody. */
export function forgetRefusal(container: string): void {
  try {
    removeFile(refusalFile(container));
  } catch {
    // It goes with the next reboot.
  }
}

/** Whether a container's last start was refused, and the container is still there. */
export function readRefusal(container: string): Refusal | null {
  try {
    const refusal = JSON.parse(readText(refusalFile(container)) ?? 'null') as Refusal | null;
    const isGone = typeof refusal?.configFile === 'string' && !existsSync(refusal.configFile);
    return typeof refusal?.reason === 'string' && !isGone ? refusal : null;
  } catch {
    return null; // cut off
  }
}

/** By the containers' names. */
export const listRefusals = (): ReadonlyMap<string, Refusal> =>
  new Map(
    filesIn(dirname(refusalFile('-'))).flatMap((name) => {
      const refusal = readRefusal(name);
      return refusal ? [[name, refusal] as const] : [];
    }),
  );
