/** A container's options as the engine needs them, once they are checked against what is there. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { PolicyWish } from '../../attachment/make-policy.ts';
import { NethooksError } from '../../errors.ts';
import type { ContainerDefaults } from '../../model/config.ts';
import type { ContainerOptions } from '../../model/container-options.ts';
import { readKept, readRunning } from '../../store/container.ts';

/** What a container publishes and links to. */
export function wishOf(
  { publish, expose, publishAll, link }: ContainerOptions,
  { publishPorts, publishAddress }: ContainerDefaults,
): PolicyWish {
  return { publish, expose, publishAll, publishPorts, publishAddress, link };
}

/**
 * Checks who is linked to.
 * @param configFile the parent's LXC configuration, whose neighbours are the other containers; null when nobody knows
 * @throws NethooksError for a container that is not there, and for links in a circle
 */
export function checkLinks(name: string, links: ContainerOptions['link'], configFile: string | null): void {
  for (const { container, alias } of links) {
    const where = `link ${container}:${alias}`;
    if (!exists(container, configFile)) throw new NethooksError(`${where}: there is no container ${container}`);
    const circle = pathTo(name, container, [name]);
    if (circle) throw new NethooksError(`${where}: links in a circle: ${circle.join(' -> ')}`);
  }
}

function exists(container: string, configFile: string | null): boolean {
  if (readKept(container).attachments.length > 0) return true;
  return configFile === null || existsSync(join(dirname(dirname(configFile)), container, 'config'));
}

/** The way along links of running containers from `from` back to `target`; null when there is none. */
function pathTo(target: string, from: string, path: string[]): string[] | null {
  if (from === target) return [...path, from];
  if (path.includes(from)) return null;
  for (const { container } of readRunning(from)?.policy?.links ?? []) {
    const found = pathTo(target, container, [...path, from]);
    if (found) return found;
  }
  return null;
}
