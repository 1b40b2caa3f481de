/**
 * The configuration as hooks read it: three stats and one small JSON file instead of cosmiconfig, ini and valibot.
 * Where the file has a mistake, the last good configuration goes on: hooks work with it, commands that apply the file refuse.
 * `/run` is root's, so what lies there is trusted.
 */
import { readFileSync, statSync } from 'node:fs';
import type { Config } from '../model/config.ts';
import { CONFIG_CACHE, CONFIG_FILES } from '../model/paths.ts';

export interface KnownConfig {
  /** What the file says; where that cannot be, what it said last. */
  config: Config;
  /** Every mistake in the file, one per line; null when it has none, and `config` is what it says. */
  mistake: string | null;
}

export interface ConfigCache extends KnownConfig {
  /** Changes with the shape of Config, so that an upgrade does not read its predecessor's cache. */
  version: string;
  sources: Stamp[];
}

/** The state of a file that a configuration may be in; null when it is not there. */
type Stamp = { mtimeMs: number; ctimeMs: number; size: number; inode: number } | null;

/**
 * The configuration in /etc/nethooks for whoever has to go on in spite of a mistake in it: from the cache while the files are unchanged,
 * else read anew.
 * @throws ConfigError for a mistake where no good configuration is known
 */
export async function knownConfig(): Promise<KnownConfig> {
  const cache = readCache();
  if (cache && isCurrent(cache)) return cache;
  const sources = stamps();
  const { readAnew } = await import('./read-anew.ts');
  return readAnew(cache, sources);
}

/**
 * The same for whoever applies what the file says.
 * @throws ConfigError for any mistake in it
 */
export async function currentConfig(): Promise<Config> {
  const { config, mistake } = await knownConfig();
  if (mistake === null) return config;
  const { ConfigError } = await import('./load.ts');
  throw new ConfigError(mistake);
}

/** What was read last by this version; undefined where that is not known. */
export function readCache(): ConfigCache | undefined {
  try {
    const cache = JSON.parse(readFileSync(CONFIG_CACHE, 'utf8')) as ConfigCache;
    return cache.version === NETHOOKS_VERSION && cache.sources ? cache : undefined;
  } catch {
    return undefined;
  }
}

/** Whether the files are as they were when they were read. */
export const isCurrent = ({ sources }: Pick<ConfigCache, 'sources'>): boolean =>
  JSON.stringify(sources) === JSON.stringify(stamps());

const stamps = (): Stamp[] =>
  CONFIG_FILES.map((path) => {
    const stats = statSync(path, { throwIfNoEntry: false });
    return stats ? { mtimeMs: stats.mtimeMs, ctimeMs: stats.ctimeMs, size: stats.size, inode: stats.ino } : null;
  });
