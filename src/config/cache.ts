/**
 * The resolved configuration as hooks read it: one stat and one small JSON file instead of cosmiconfig, ini and valibot.
 * `/run` is root's, so what lies there is trusted.
 */
import { existsSync, readFileSync, statSync } from 'node:fs';
import type { Config } from '../model/config.ts';
import { CONFIG_CACHE, CONFIG_FILE } from '../model/paths.ts';
import { writeAtomically } from '../system/files.ts';

interface Cache {
  /** Changes with the shape of Config, so that an upgrade does not read its predecessor's cache. */
  version: string;
  source: { path: string; mtimeMs: number; size: number };
  config: Config;
}

/**
 * The configuration in /etc/nethooks: from the cache while its source is unchanged, else read anew and remembered.
 * @throws ConfigError as loadConfig does
 */
export async function currentConfig(): Promise<Config> {
  return cached() ?? refresh();
}

/** Reads the configuration and keeps the result for hooks; without root, or on a read-only /run, it is only read. */
async function refresh(): Promise<Config> {
  const { loadConfig } = await import('./load.ts');
  const config = loadConfig();
  const cache: Cache = { version: NETHOOKS_VERSION, source: stamp(config.source), config };
  try {
    writeAtomically(CONFIG_CACHE, JSON.stringify(cache));
  } catch {
    // The cache only saves time.
  }
  return config;
}

function cached(): Config | undefined {
  try {
    const cache = JSON.parse(readFileSync(CONFIG_CACHE, 'utf8')) as Cache;
    // An .ini that has appeared since goes before the other formats.
    if (cache.source.path !== CONFIG_FILE && existsSync(CONFIG_FILE)) return undefined;
    const now = stamp(cache.source.path);
    const same =
      cache.version === NETHOOKS_VERSION && now.mtimeMs === cache.source.mtimeMs && now.size === cache.source.size;
    return same ? cache.config : undefined;
  } catch {
    return undefined;
  }
}

function stamp(path: string): Cache['source'] {
  const { mtimeMs, size } = statSync(path);
  return { path, mtimeMs, size };
}
