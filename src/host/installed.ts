/** Looks at the files of an installation. */
import { statSync } from 'node:fs';
import { parseManifest } from '../model/manifest.ts';
import { MANIFEST } from '../model/paths.ts';
import { expectedFiles, type InstalledFile } from '../plan/host/installed.ts';
import { readText } from '../system/files.ts';

/** None where nothing was installed by `nethooks setup`: a package looks after its own. */
export function installedFiles(): InstalledFile[] {
  const files = expectedFiles(parseManifest(readText(MANIFEST) ?? ''));
  const found = new Map(files.map(({ path }) => [path, statSync(path, { throwIfNoEntry: false })?.mode ?? null]));
  return files.map(({ path, mode, source }) => {
    const twin = files.find((other) => other.source === source && found.get(other.path) != null)?.path ?? null;
    return { path, mode, found: found.get(path) ?? null, twin };
  });
}
