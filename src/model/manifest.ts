/**
 * What `nethooks setup` made and replaced, for `nethooks teardown`: one line per thing, in the order in which they were made.
 *
 *     prefix DIR          where programs are
 *     dir PATH            a directory that was not there
 *     made PATH           a file that was not there
 *     replaced PATH       a file that was; it is in BACKUPS/PATH. Without that copy, nothing has been replaced yet
 *     config SHA256 PATH  the first configuration as it was written, to tell later whether it was edited. `-` instead of a sum:
 *                         written by an install.sh of version 0.1.0 that was killed before it noted the sum
 *     unit NAME           enabled in systemd
 *     package NAME        a Debian package; install.sh adds this line before it calls apt
 */
export interface Manifest {
  prefix: string | null;
  /** All lines but the prefix; those of an unknown kind are kept. */
  entries: Entry[];
}

export interface Entry {
  kind: string;
  /** The rest of the line. */
  what: string;
}

export const NO_MANIFEST: Manifest = { prefix: null, entries: [] };

export function parseManifest(text: string): Manifest {
  const entries = text
    .split('\n')
    .filter((line) => line !== '')
    .map((line): Entry => {
      const space = line.indexOf(' ');
      return space < 0 ? { kind: line, what: '' } : { kind: line.slice(0, space), what: line.slice(space + 1) };
    });
  return {
    prefix: entries.find(({ kind }) => kind === 'prefix')?.what ?? null,
    entries: entries.filter(({ kind }) => kind !== 'prefix'),
  };
}

export function formatManifest({ prefix, entries }: Manifest): string {
  const lines = [...(prefix === null ? [] : [{ kind: 'prefix', what: prefix }]), ...entries];
  return lines.map(({ kind, what }) => `${kind} ${what}\n`).join('');
}

export const isNoted = ({ entries }: Manifest, kind: string, what: string): boolean =>
  entries.some((entry) => entry.kind === kind && entry.what === what);

/** What is noted of one kind, in order. */
export const noted = ({ entries }: Manifest, kind: string): string[] =>
  entries.filter((entry) => entry.kind === kind).map(({ what }) => what);

/** The first configuration that was written: its path, and the SHA-256 sum of it; null when no sum was noted. */
export function notedConfig(manifest: Manifest): { path: string; sum: string | null } | undefined {
  const [line] = noted(manifest, 'config');
  if (line === undefined) return undefined;
  const [sum = '', ...path] = line.split(' ');
  return { path: path.join(' '), sum: sum === '-' ? null : sum };
}
