/** What `nethooks setup` and `nethooks teardown` ask of the host. */
import { createHash } from 'node:crypto';
import { existsSync, lstatSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { LXC_NET_DEFAULTS } from '../../model/lxc-net.ts';
import { type Manifest, NO_MANIFEST, noted, notedConfig, parseManifest } from '../../model/manifest.ts';
import {
  BACKUPS,
  CONFIG_DIR,
  CONFIG_FILE,
  containerFile,
  LOG_DIR,
  LXC_DEFAULT_CONF,
  MANIFEST,
  RESOLV_CONF,
  RUN,
  SYSCTL_FILE,
  unfinished,
} from '../../model/paths.ts';
import { ATTACHED } from '../../plan/attachment/wiring.ts';
import type { Place, SetupFacts, SetupSpec, WantedFile } from '../../plan/host/setup.ts';
import { filesOf, type TeardownFacts } from '../../plan/host/teardown.ts';
import { DEFAULT_DATA_DIR, holderOf, storeOf } from '../../store/addresses.ts';
import { isAlive, listKept, recordsWhere } from '../../store/records.ts';
import type { Exec } from '../../system/exec.ts';
import { isMissing, readText } from '../../system/files.ts';
import { abandonedBeside, isPlaced, isThere } from '../../system/place.ts';
import { enablement, needsReload, systemdRuns } from '../../system/systemd.ts';

export function gatherSetupFacts(exec: Exec, spec: SetupSpec): SetupFacts {
  const { destdir, files, directories, config, units } = spec;
  const text = destdir === '' ? readText(MANIFEST) : null;
  const wanted = [...files.map(({ path }) => path), ...(config ? [config.path] : [])];
  return {
    manifest: text,
    places: Object.fromEntries(files.map((file) => [file.path, placeOf(destdir, file)])),
    directories: [...ancestors([...directories.map((path) => join(path, '-')), ...wanted])].filter((path) =>
      existsSync(`${destdir}${path}`),
    ),
    backups: wanted.filter((path) => isThere(`${BACKUPS}${path}`)),
    abandoned: destdir === '' ? abandoned() : [],
    configSum: text === null ? null : configSum(parseManifest(text)),
    units: Object.fromEntries(units.map((unit) => [unit, enablement(exec, unit)])),
    reload: units.some((unit) => needsReload(exec, unit)),
  };
}

/** @param networks the names of our networks, for their address stores */
export function gatherTeardownFacts(manifest: Manifest, networks: readonly string[]): TeardownFacts {
  const files = filesOf(manifest);
  const stores = [...networks, ATTACHED]
    .map((network) => join(DEFAULT_DATA_DIR, network))
    .filter((path) => isThere(path));
  const running = recordsWhere(({ kind }) => kind === 'lxc').flatMap((record) =>
    record.owner.kind === 'lxc' && isAlive(record) ? [record.owner.name] : [],
  );
  const directories = [
    ...noted(manifest, 'dir'),
    dirname(containerFile('-')),
    DEFAULT_DATA_DIR,
    dirname(DEFAULT_DATA_DIR),
  ];
  const all = [...files, ...files.map(unfinished), CONFIG_DIR, RUN, LOG_DIR, ...stores];
  return {
    manifest,
    there: all.filter((path) => isThere(path)),
    abandoned: abandoned(),
    backups: files.filter((path) => isThere(`${BACKUPS}${path}`)),
    names: Object.fromEntries(directories.filter((path) => existsSync(path)).map((path) => [path, readdirSync(path)])),
    configSum: configSum(manifest),
    stores: stores.map((path) => ({ path, holders: holdersIn(path, running) })),
    hasKept: listKept().length > 0,
    running,
    systemd: systemdRuns(),
  };
}

/** Unfinished files of an `up` or `configure` that was killed, where they outlive a reboot. */
const abandoned = (): string[] =>
  [LXC_DEFAULT_CONF, LXC_NET_DEFAULTS, SYSCTL_FILE, RESOLV_CONF, CONFIG_FILE].flatMap((path) => abandonedBeside(path));

/** What setup noted; empty when there is nothing to take back. */
export function readManifest(): Manifest {
  const text = readText(MANIFEST);
  return text === null ? NO_MANIFEST : parseManifest(text);
}

function placeOf(destdir: string, { path, content, mode, onlyIfMissing }: WantedFile): Place {
  const target = `${destdir}${path}`;
  const stat = lstatSync(target, { throwIfNoEntry: false });
  if (stat === undefined) return 'missing';
  if (stat.isDirectory()) return onlyIfMissing ? 'other' : 'directory';
  return isPlaced(target, content, mode) ? 'same' : 'other';
}

/** Every directory on the way to these paths. */
function ancestors(paths: string[]): Set<string> {
  const all = new Set<string>();
  for (const path of paths) for (let at = dirname(path); !all.has(at); at = dirname(at)) all.add(at);
  return all;
}

function configSum(manifest: Manifest): string | null {
  const config = notedConfig(manifest);
  if (config === undefined) return null;
  try {
    return createHash('sha256').update(readFileSync(config.path)).digest('hex');
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

/** Who has addresses in a store, besides what host-local leaves behind. */
function holdersIn(path: string, running: readonly string[]): 'none' | 'stopped' | 'others' {
  const addresses = readdirSync(path).filter((name) => name !== 'lock' && !name.startsWith('last_reserved_ip.'));
  const store = storeOf(basename(path));
  const isStopped = (address: string): boolean => {
    const [, name] = /^lxc-(.+)$/.exec(holderOf(store, address)?.id ?? '') ?? [];
    return name !== undefined && !running.includes(name);
  };
  if (addresses.length === 0) return 'none';
  return addresses.every(isStopped) ? 'stopped' : 'others';
}
