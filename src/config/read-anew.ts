/** Reads the configuration where it may have changed, and keeps the result for hooks. */
import { existsSync } from 'node:fs';
import type { Config } from '../model/config.ts';
import { inOneLine } from '../model/finding.ts';
import { CONFIG_CACHE, LAST_GOOD_FILES } from '../model/paths.ts';
import { note } from '../system/event.ts';
import { readText, writeAtomically } from '../system/files.ts';
import type { ConfigCache, KnownConfig } from './cache.ts';
import { ConfigError, loadConfig } from './load.ts';

/**
 * Where the file has a mistake, the last good configuration and a line in the log.
 * @param before what was read last
 * @param sources the state of the files before they are read
 * @throws ConfigError for a mistake where no good configuration is known
 */
export function readAnew(before: KnownConfig | undefined, sources: ConfigCache['sources']): KnownConfig {
  let known: KnownConfig;
  try {
    known = { config: loadConfig(), mistake: null };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const good = before?.config ?? lastGood();
    if (!good) throw error;
    known = { config: good, mistake: error.message };
    // Of hooks that come at the same time, one is to say so.
    if (!readText(CONFIG_CACHE)?.includes(JSON.stringify(error.message)))
      note(`configuration: ${inOneLine(error.message)}; the last good one stays in use`);
  }
  const cache: ConfigCache = { version: NETHOOKS_VERSION, sources, ...known };
  try {
    writeAtomically(CONFIG_CACHE, JSON.stringify(cache));
  } catch {
    // Without root, or on a read-only file system. The cache only saves time.
  }
  return known;
}

function lastGood(): Config | null {
  const path = LAST_GOOD_FILES.find((file) => existsSync(file));
  if (path === undefined) return null;
  try {
    return loadConfig(path);
  } catch {
    return null; // what counts is the mistake in the file of today
  }
}
