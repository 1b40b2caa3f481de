/** Whether what `nethooks setup` has put in place is still there, by its manifest: pure. */
import { type Manifest, noted } from '../../model/manifest.ts';
import type { Fault, Plan, Step } from '../../model/step.ts';
import { type InstallFile, installFiles } from './install-files.ts';

/** A file that somebody runs, or that those source. */
export interface InstalledFile {
  path: string;
  mode: number;
  /** Permissions of what is there; null for nothing. */
  found: number | null;
  /** Where the same text is, in a file that is there; null for nowhere. */
  twin: string | null;
}

/** Those that an installation has noted. Without manual pages, which nothing depends on. */
export function expectedFiles(manifest: Manifest): InstallFile[] {
  const { prefix } = manifest;
  if (prefix === null) return [];
  const there = new Set([...noted(manifest, 'made'), ...noted(manifest, 'replaced')]);
  return installFiles({ prefix, runtime: 'bun', rkt: true, cni: true }).filter(
    ({ path, optional }) => there.has(path) && !optional,
  );
}

/** Permissions come back, and a text that is there under another name; the rest is install.sh's. */
export function planInstalled(files: readonly InstalledFile[]): Plan {
  const lacking = files.filter(({ mode, found }) => found === null || (found & mode) !== mode);
  const steps = lacking.flatMap(({ path, mode, found, twin }): Step[] => {
    const from = found === null ? twin : path;
    return from === null ? [] : [{ kind: 'file', path, before: null, content: { from }, mode, shared: true }];
  });
  const gone = lacking.filter(({ found, twin }) => found === null && twin === null);
  const faults = gone.map(
    ({ path }): Fault => ({ by: 'installation', text: `${path} is missing: \`./install.sh\` puts it back` }),
  );
  return { steps, warnings: [], faults, refusals: [] };
}
