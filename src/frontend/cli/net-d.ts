/** `nethooks net.d`: the directories that rkt and other CNI runtimes read their networks from. */
import { accessSync, constants, existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { knownConfig } from '../../config/cache.ts';
import { NethooksError } from '../../errors.ts';
import { changed } from '../../system/event.ts';
import { readText, writeAtomically } from '../../system/files.ts';
import { readRoutes } from '../../system/routes.ts';
import {
  DIRECTORIES,
  filesFor,
  type NetEntry,
  PLUGIN_DIRECTORIES,
  RKT_BRINGS,
  type Runtime,
  readEntries,
} from '../cni/net-d.ts';
import type { OptionsOf } from './commands.ts';
import { EXIT } from './exit.ts';
import { warn } from './output.ts';
import { requireRoot } from './up.ts';

type NetDOptions = OptionsOf<'net.d list'>;

/** Writes our networks; a file that is there and says something else is left, unless `force`. */
export async function write(options: OptionsOf<'net.d write'>): Promise<number> {
  const networks = Object.keys(await subnets());
  const master = options.master ?? readRoutes().defaultDevice;
  let left = 0;
  for (const { runtime, directory } of places(options)) {
    const files = filesFor(runtime, networks, runtime === 'rkt' ? master : null);
    if (runtime === 'rkt' && master === null)
      warn('customrktbridgedhcp is left out: no default route; --master IF says on which interface');
    for (const { file, text } of files) {
      const path = join(directory, file);
      const before = readText(path);
      if (before === text) continue;
      if (before !== null && !options.force) {
        warn(`${path} is there and says something else: it is left; --force writes over it`);
        left += 1;
        continue;
      }
      if (!options.dryRun) {
        requireRoot('net.d write');
        writeAtomically(path, text);
        changed({ what: `write ${path}` });
      }
      console.log(`${options.dryRun ? 'would write' : 'wrote'} ${path}`);
    }
  }
  return left > 0 ? EXIT.failed : EXIT.ok;
}

/** Shows each network as its runtime would read it. */
export async function list(options: NetDOptions): Promise<number> {
  const all = await entries(options);
  if (options.json) console.log(JSON.stringify(all, null, 2));
  else
    for (const { directory, networks } of all)
      for (const { file, name, types, kind, addresses } of networks) {
        const how = `${types.join(', ')}${kind === null ? '' : ` (${kind})`}`;
        console.log(`${name.padEnd(20)} ${how.padEnd(30)} ${addresses.padEnd(18)} ${join(directory, file)}`);
      }
  return EXIT.ok;
}

/** Says everything that is wrong; exit status 3 if anything is. */
export async function check(options: NetDOptions): Promise<number> {
  const all = await entries(options);
  const lines = all.flatMap(({ directory, networks }) =>
    networks.flatMap(({ file, problems }) => problems.map((problem) => `${join(directory, file)}: ${problem}`)),
  );
  if (options.json) console.log(JSON.stringify(all, null, 2));
  else if (lines.length === 0) {
    const count = all.reduce((sum, { networks }) => sum + networks.length, 0);
    console.log(`${count} network${count === 1 ? '' : 's'}, nothing is wrong`);
  } else for (const line of lines) console.log(line);
  return lines.length > 0 ? EXIT.drift : EXIT.ok;
}

async function entries(options: NetDOptions): Promise<{ runtime: Runtime; directory: string; networks: NetEntry[] }[]> {
  const known = await subnets();
  return places(options).map(({ runtime, directory }) => {
    const facts = {
      hasPlugin: (type: string) =>
        (runtime === 'rkt' && RKT_BRINGS.includes(type)) ||
        PLUGIN_DIRECTORIES[runtime].some((one) => isExecutable(join(one, type))),
      dhcpListens: existsSync('/run/cni/dhcp.sock'),
      subnets: known,
    };
    const names = existsSync(directory) ? readdirSync(directory) : [];
    const files = names
      .filter((file) => /\.(conf|conflist|json)$/.test(file) && (runtime === 'cni' || !file.endsWith('.json')))
      .map((file) => ({ file, text: readText(join(directory, file)) ?? '' }));
    return { runtime, directory, networks: readEntries(runtime, files, facts) };
  });
}

/** The directories that are meant: those named, else those of the runtimes that are there. */
function places({
  rkt,
  cni,
  dir,
}: Pick<NetDOptions, 'rkt' | 'cni' | 'dir'>): { runtime: Runtime; directory: string }[] {
  if (dir !== undefined && rkt === cni)
    throw new NethooksError('--dir needs --rkt or --cni, to know what will read it', EXIT.usage);
  const chosen = (['rkt', 'cni'] as const).filter((runtime) => (runtime === 'rkt' ? rkt : cni));
  const present = (['rkt', 'cni'] as const).filter((runtime) => existsSync(dirname(DIRECTORIES[runtime])));
  const runtimes = chosen.length > 0 ? chosen : present;
  if (runtimes.length === 0)
    throw new NethooksError('neither /etc/rkt nor /etc/cni is there: --rkt or --cni says for whom', EXIT.usage);
  return runtimes.map((runtime) => ({ runtime, directory: dir ?? DIRECTORIES[runtime] }));
}

/** Subnets by network; none without a configuration, which these directories do not need. */
async function subnets(): Promise<Record<string, string>> {
  try {
    const { networks } = (await knownConfig()).config;
    return Object.fromEntries(networks.map(({ name, subnet }) => [name, subnet]));
  } catch (error) {
    if (!(error instanceof NethooksError)) throw error;
    warn(error.message);
    return {};
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
