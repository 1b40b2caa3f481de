/** Whether nethooks is to look after the host by itself now, and how that went. Below /run: both end with a reboot. */
import type { Healing } from '../model/healing.ts';
import { HEALING, PAUSE } from '../model/paths.ts';
import { readText, removeFile, writeAtomically } from '../system/files.ts';

/** Seconds since boot (proc(5)): whoever sets the clock changes no deadline. */
export const uptime = (): number => Number((readText('/proc/uptime') ?? '0').split(' ')[0]);

/** Until when it is paused, in seconds since boot; infinity until somebody resumes, null when it is not. */
export function pausedUntil(): number | null {
  const text = readText(PAUSE);
  if (text === null) return null;
  const until = text.trim() === '' ? Number.POSITIVE_INFINITY : Number(text);
  return until > uptime() ? until : null;
}

export const isPaused = (): boolean => pausedUntil() !== null;

/** @param seconds null: until somebody resumes */
export const pause = (seconds: number | null): void =>
  writeAtomically(PAUSE, seconds === null ? '' : `${(uptime() + seconds).toFixed(2)}\n`);

/** Whether it was paused. */
export function resume(): boolean {
  const was = isPaused();
  removeFile(PAUSE);
  return was;
}

export function readHealing(): Healing | null {
  try {
    const row = JSON.parse(readText(HEALING) ?? 'null') as Healing | null;
    return typeof row?.count === 'number' && typeof row.at === 'number' && typeof row.what === 'string' ? row : null;
  } catch {
    return null; // cut off
  }
}

export const writeHealing = (row: Healing): void => writeAtomically(HEALING, JSON.stringify(row));

/** Somebody has set the host right by hand. */
export const forgetHealing = (): void => void removeFile(HEALING);
