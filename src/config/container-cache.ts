/**
 * A container's options as hooks read them: one stat that fails when it has none, one small JSON file when it has. valibot and
 * ini are loaded only when the container's file or its hook line has changed.
 */
import { readFileSync, statSync } from 'node:fs';
import { type ContainerOptions, NO_OPTIONS } from '../model/container-options.ts';
import { containerFile, optionsCache } from '../model/paths.ts';
import { writeAtomically } from '../system/files.ts';

interface Cache {
  version: string;
  /** The file's state; null when there was none. */
  source: Stamp | null;
  words: readonly string[];
  options: ContainerOptions;
  warnings: string[];
}

interface Stamp {
  mtimeMs: number;
  /** Also changes with who may write it. */
  ctimeMs: number;
  size: number;
  inode: number;
}

/**
 * @param words the flags on the hook line
 * @param log is told what is wrong, but no reason to refuse
 * @throws ConfigError when the container must not start with what its file or its hook line says
 */
export async function containerOptions(
  name: string,
  words: readonly string[],
  log: (line: string) => void,
): Promise<ContainerOptions> {
  const source = stamp(containerFile(name));
  if (source === null && words.length === 0) return NO_OPTIONS;
  const { options, warnings } = cached(name, source, words) ?? (await refresh(name, source, words));
  for (const warning of warnings) log(warning);
  return options;
}

async function refresh(name: string, source: Stamp | null, words: readonly string[]): Promise<Cache> {
  const { loadContainer } = await import('./container.ts');
  const cache: Cache = { version: NETHOOKS_VERSION, source, words, ...loadContainer(name, words) };
  try {
    writeAtomically(optionsCache(name), JSON.stringify(cache));
  } catch {
    // The cache only saves time.
  }
  return cache;
}

function cached(name: string, source: Stamp | null, words: readonly string[]): Cache | undefined {
  try {
    const cache = JSON.parse(readFileSync(optionsCache(name), 'utf8')) as Cache;
    const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);
    return cache.version === NETHOOKS_VERSION && same(cache.source, source) && same(cache.words, words)
      ? cache
      : undefined;
  } catch {
    return undefined;
  }
}

function stamp(path: string): Stamp | null {
  const stats = statSync(path, { throwIfNoEntry: false });
  return stats ? { mtimeMs: stats.mtimeMs, ctimeMs: stats.ctimeMs, size: stats.size, inode: stats.ino } : null;
}
