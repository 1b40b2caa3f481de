/**
 * The environment of a container's links, as a file that its LXC configuration includes. LXC reads its configuration before any hook
 * runs, so a container starts with what was known before: `nethooks configure` writes the file, and each start of the parent or of
 * a child brings it up to date for the parent's next start. Addresses stay, so that rarely changes anything.
 */
import { dirname, join } from 'node:path';
import { parseLxcConfig, readLxcConfig } from '../model/lxc-config.ts';
import { linkEnvironmentPath } from '../model/paths.ts';
import type { Link } from '../model/policy.ts';
import { type Environment, environmentIn, linkEnvironmentFile } from '../plan/attachment/link-env.ts';
import { ensureText, readText } from '../system/files.ts';
import { readInclude } from '../system/lxc-include.ts';

/**
 * Brings the file up to date. One that is there stays, even without links: LXC does not start a container whose include is missing.
 * @param configFile the parent's LXC configuration; null when nobody knows
 * @returns whether the container, which includes the file, runs with what it said before
 */
export function writeLinkEnvironment(container: string, links: readonly Link[], configFile: string | null): boolean {
  const path = linkEnvironmentPath(container);
  const before = readText(path);
  if (before === null && links.length === 0) return false;
  const changed = ensureText(path, linkEnvironmentOf(container, links, configFile));
  return changed && configFile !== null && isIncluded(path, readText(configFile) ?? '');
}

const isIncluded = (path: string, config: string): boolean =>
  parseLxcConfig(config).some(({ key, value }) => key === 'lxc.include' && value === path);

/** What is to stand in that file. */
export function linkEnvironmentOf(container: string, links: readonly Link[], configFile: string | null): string {
  const environments = Object.fromEntries(
    links.map((link) => [link.container, environmentOf(link.container, configFile)] as const),
  );
  return linkEnvironmentFile(container, links, environments);
}

/**
 * The variables in a container's own LXC configuration, which lies beside its parent's. Those of its own links are not among them:
 * Docker hands on what a container is configured with only.
 */
function environmentOf(container: string, neighbour: string | null): Environment {
  const text = neighbour === null ? null : readText(join(dirname(dirname(neighbour)), container, 'config'));
  if (text === null) return {};
  const ofLinks = linkEnvironmentPath(container);
  const settings = readLxcConfig(text, (path) => (path === ofLinks ? null : readInclude(path)));
  return environmentIn(settings);
}
