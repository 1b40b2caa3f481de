/** A copy of the last configuration that was brought up, for when the file has a mistake after a reboot or an upgrade. */
import { extname } from 'node:path';
import { LAST_GOOD_FILES } from '../model/paths.ts';
import { ensureText, readText, removeFile } from '../system/files.ts';
import { isCurrent, readCache } from './cache.ts';

/**
 * The host is as its configuration says now. What is kept is the file itself: another version reads it by its own rules, and whoever has
 * made a mistake may compare.
 */
export function keepGood(): void {
  const cache = readCache();
  if (cache?.mistake !== null) return;
  const { source } = cache.config;
  try {
    const text = readText(source);
    // Edited since it was read: it is the next one's to judge.
    if (text === null || !isCurrent(cache)) return;
    for (const path of LAST_GOOD_FILES)
      if (extname(path) === extname(source)) ensureText(path, text, 0o600);
      else removeFile(path);
  } catch {
    // A full or read-only file system: the former one stays.
  }
}
