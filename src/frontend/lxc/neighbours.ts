/** Checks a container's options against the other containers of the host, running or not: what `configure` refuses. */
import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { resolveContainer } from '../../config/container.ts';
import { NethooksError } from '../../errors.ts';
import type { ContainerOptions } from '../../model/container-options.ts';
import { containerFile } from '../../model/paths.ts';
import { ownNames } from '../../plan/attachment/names.ts';
import { holderOf, storeOf } from '../../store/addresses.ts';
import { containersCalled, hasAliases, noteAliases } from '../../store/aliases.ts';
import { readKept } from '../../store/records.ts';
import { readText } from '../../system/files.ts';
import { readInclude } from '../../system/lxc-include.ts';
import { hookWords, shares } from './adopt.ts';
import { configFileOf, listContainers } from './containers.ts';
import { checkLinks, type MemberNic } from './spec.ts';

export interface Newcomer {
  name: string;
  /** Its LXC configuration. */
  configFile: string;
  options: ContainerOptions;
  members: MemberNic[];
}

/** @throws NethooksError naming the other container, for a name or an address that it has, and for links that cannot be */
export function checkNeighbours(newcomer: Newcomer): void {
  const { name, configFile, options } = newcomer;
  checkLinks(name, options.link, configFile);
  const directory = dirname(dirname(configFile));
  const optionsOf = (other: string): ContainerOptions => {
    const line = hookWords(readText(`${directory}/${other}/config`) ?? '', readInclude) ?? [];
    return resolveContainer(other, { text: readText(containerFile(other)), words: line }).options;
  };
  checkCircle(name, options, optionsOf);
  checkNames(newcomer, directory, optionsOf);
  checkAddresses(newcomer);
}

/**
 * Checks whose network a container is to be on (`--net container:OTHER`).
 * @throws NethooksError for one that is not there, that is the container itself, or that waits for its network in turn
 */
export function checkSharing(directory: string, name: string, other: string): void {
  const what = `--net container:${other}: `;
  if (other === name) throw new NethooksError(`${what}the container itself`, 2);
  configFileOf(directory, other);
  const path = [name];
  for (let next: string | null = other; next !== null && !path.includes(next, 1); ) {
    path.push(next);
    next = shares(readText(`${directory}/${next}/config`) ?? '', readInclude);
    if (next === name) throw new NethooksError(`${what}in a circle: ${[...path, name].join(' -> ')}`, 2);
  }
}

function checkCircle(name: string, { link }: ContainerOptions, optionsOf: (other: string) => ContainerOptions): void {
  const walk = (from: string, path: string[]): void => {
    if (from === name) throw new NethooksError(`link ${path[1]}: links in a circle: ${[...path, from].join(' -> ')}`);
    if (path.includes(from)) return;
    for (const { container } of optionsOf(from).link) walk(container, [...path, from]);
  };
  for (const { container } of link) walk(container, [name]);
}

/** Names are a domain's own; where another container has never run, nobody knows its domains, and it counts for all. */
function checkNames(
  { name, options, members }: Newcomer,
  directory: string,
  optionsOf: (other: string) => ContainerOptions,
): void {
  const domains = members.map(({ network }) => network.domain);
  const wanted = ownNames(name, options.aliases);
  const namesOf = (other: string): string[] => ownNames(other, optionsOf(other).aliases);
  if (!hasAliases()) for (const other of listContainers(directory)) noteAliases(other, namesOf(other));
  for (const other of new Set(wanted.flatMap((one) => [one, ...containersCalled(one)]))) {
    if (other === name || !existsSync(`${directory}/${other}/config`)) continue;
    const known = readKept(other).interfaces.flatMap(({ domain }) => domain ?? []);
    if (known.length > 0 && !known.some((domain) => domains.includes(domain))) continue;
    const taken = namesOf(other).find((theirs) => wanted.includes(theirs));
    if (taken !== undefined) throw new NethooksError(`the name ${taken} is container ${other}'s already`);
  }
}

function checkAddresses({ name, members }: Newcomer): void {
  for (const { network, wanted } of members) {
    const holder = wanted === null ? undefined : holderOf(storeOf(network.name), wanted)?.id;
    if (holder !== undefined && holder !== `lxc-${name}`)
      throw new NethooksError(`address = ${wanted}: held by ${holder} on network ${network.name}`);
  }
}
