/** `nethooks setup`: installs this executable with its hooks, units and manual pages, and brings the networks up. */
import { existsSync, realpathSync } from 'node:fs';
import { basename, delimiter, dirname, join } from 'node:path';
import { currentConfig } from '../../config/cache.ts';
import { keepGood } from '../../config/last-good.ts';
import { loadConfig } from '../../config/load.ts';
import { installed } from '../../demo/requirements.ts';
import { NethooksError } from '../../errors.ts';
import { changeHost, planChange } from '../../host/change.ts';
import { existingConfig, type FirstConfig, firstConfig } from '../../host/first-config.ts';
import { gatherSetupFacts, readManifest } from '../../host/setup/facts.ts';
import { statusOf } from '../../host/status.ts';
import { CONFIG_FILE } from '../../model/paths.ts';
import { type Plan, remarks } from '../../model/step.ts';
import {
  contentOf,
  INSTALL_DIRECTORIES,
  INSTALL_UNITS,
  type InstallFile,
  installFiles,
  libraryOf,
} from '../../plan/host/install-files.ts';
import { planSetup, type SetupSpec, type WantedFile } from '../../plan/host/setup.ts';
import { type Applying, applyUntilFailure } from '../../system/apply.ts';
import { type Exec, execUntil } from '../../system/exec.ts';
import { executable } from '../../system/install.ts';
import { readRoutes } from '../../system/routes.ts';
import { systemdRuns } from '../../system/systemd.ts';
import { DIRECTORIES, filesFor } from '../cni/net-d.ts';
import { bridgesNamed } from '../lxc/give-back.ts';
import { lxcNetFindings } from '../lxc/lxc-net.ts';
import { sweepAfter } from '../sweep.ts';
import type { OptionsOf } from './commands.ts';
import { checkContainers, written } from './config.ts';
import { EXIT } from './exit.ts';
import { briefly, INSTALL_LIMIT_MS, onlyInstaller, sentences } from './installation.ts';
import { warn } from './output.ts';
import { headline } from './status.ts';
import { requireRoot } from './up.ts';

type SetupOptions = OptionsOf<'setup'>;

/** Exit status 3: everything is installed, but the networks could not be brought up. */
export async function setup(options: SetupOptions): Promise<number> {
  const { dryRun = false } = options;
  const prefix = prefixOf(options.prefix ?? '/usr');
  const destdir = (options.destdir ?? '').replace(/\/+$/, '');
  if (options.destdir !== undefined && destdir === '')
    throw new NethooksError(
      '--destdir /: that is this host; without --destdir, what is done there is noted',
      EXIT.usage,
    );
  const exec = execUntil(performance.now() + INSTALL_LIMIT_MS);
  if (destdir !== '') {
    const spec = setupSpec(options, { prefix, destdir, networks: [], first: null });
    await install(exec, spec, options, null);
    return EXIT.ok;
  }
  if (!dryRun) requireRoot('setup');
  const release = dryRun ? () => undefined : onlyInstaller(exec);
  try {
    requirePrefix(prefix);
    const first = existingConfig() === undefined ? await firstConfig(exec, bridgesNamed()) : null;
    for (const warning of first?.warnings ?? []) warn(warning);
    const spec = setupSpec(options, { prefix, destdir, networks: networkFiles(options, first), first });
    const installed = await install(exec, spec, options, first);
    if (!options.json && dryRun) {
      console.log('would bring the networks up: nethooks up');
      if (!installed && !options.afterChanges) console.log('nothing would change');
    }
    if (dryRun) return EXIT.ok;
    return await bringUp(exec, prefix, installed, { ...options, isFormer: first?.isFormer === true });
  } finally {
    release();
  }
}

/**
 * Puts everything in place, or says what would be done.
 * @returns whether anything was, or would be, changed that people hear of
 * @throws NethooksError when something is in the way, or a step fails; what is done stays, and the next run does the rest
 */
async function install(
  exec: Exec,
  spec: SetupSpec,
  { dryRun, json }: SetupOptions,
  first: FirstConfig | null,
): Promise<boolean> {
  const plan = planSetup(spec, gatherSetupFacts(exec, spec));
  if (json) console.log(JSON.stringify(plan, null, 2));
  if (plan.refusals.length > 0) throw new NethooksError(plan.refusals.join('\n'));
  if (!dryRun) await applyUntilFailure({ exec, log: warn, wait: true }, plan.steps);
  const how = first?.isFormer
    ? `with what it had before: ${first.networks.map(({ name }) => name).join(', ')}`
    : 'with a free subnet';
  const lines = sentences(plan.steps).map((line) => (line === `write ${CONFIG_FILE}` ? `${line} ${how}` : line));
  if (json) return lines.length > 0;
  for (const line of lines) {
    console.log(dryRun ? `would ${line}` : line);
    if (first && !dryRun && line.startsWith(`write ${CONFIG_FILE} `)) console.log(`  ${written(first)}`);
  }
  return lines.length > 0;
}

/** The networks come up in this process, not through systemd: what there is to say belongs in this terminal. */
async function bringUp(
  exec: Exec,
  prefix: string,
  installed: boolean,
  options: SetupOptions & { isFormer: boolean },
): Promise<number> {
  const config = await currentConfig();
  const { host, networks } = config;
  const change = { spec: () => ({ host, networks, hooks: join(libraryOf(prefix), 'lxc') }) };
  const how: Applying = { exec, log: warn, wait: true };
  let plan: Plan;
  try {
    plan = await changeHost(how, change, 30);
    keepGood();
    // What containers had that are gone since an earlier installation.
    await sweepAfter(how, plan);
  } catch (error) {
    if (!(error instanceof NethooksError || (error instanceof Error && 'syscall' in error))) throw error;
    warn(error.message);
    return EXIT.drift;
  }
  if (systemdRuns()) await applyUntilFailure(how, [{ kind: 'unit', action: 'start', units: ['nethooks.service'] }]);
  if (options.json) return EXIT.ok;
  for (const text of remarks(plan)) warn(text);
  if (plan.steps.length > 0) {
    console.log('bring the networks up: nethooks up');
    for (const line of briefly(plan.steps)) console.log(line);
  } else if (!installed && !options.afterChanges) console.log('nothing changed');
  console.log('');
  const { plan: missing, facts } = await planChange(exec, change);
  for (const network of statusOf(config, facts, missing).networks) console.log(headline(network));
  for (const { text, remedy } of lxcNetFindings()) warn(`${text}: \`${remedy}\` makes it ours`);
  if (options.isFormer) console.log('A container from before is on its network again after: nethooks configure NAME');
  for (const line of next(networks[0]?.domain ?? '')) console.log(line);
  return EXIT.ok;
}

/** What to type next. */
function next(domain: string): string[] {
  const sudo = process.env.SUDO_USER ? 'sudo ' : '';
  const missing = Object.entries(FOR_CONTAINERS).flatMap(([program, name]) => (installed(program) ? [] : [name]));
  const commands =
    missing.length > 0
      ? [`${sudo}apt-get install ${missing.join(' ')}`, `${sudo}nethooks up`, `${sudo}nethooks status`]
      : [`${sudo}lxc-create -n test -t busybox`, `${sudo}lxc-start test`, `ping -c 3 test.${domain}`];
  return [
    ...(systemdRuns()
      ? []
      : ['systemd does not run here: after a boot, if-up.d brings the networks up with the first interface.']),
    '',
    'Next:',
    ...commands.map((command) => `  ${command}`),
  ];
}

/** Programs for the first container, and the Debian packages that have them. */
const FOR_CONTAINERS = { 'lxc-start': 'lxc', busybox: 'busybox-static' };

/**
 * The prefix is written into hooks, units and LXC configurations, each with quoting rules of its own.
 * @throws NethooksError for one that would need quotes
 */
function prefixOf(text: string): string {
  if (!text.startsWith('/')) throw new NethooksError(`--prefix ${text}: not an absolute path`, EXIT.usage);
  if (/[^A-Za-z0-9/._+-]/.test(text) || `${text}/`.includes('/../'))
    throw new NethooksError(`--prefix ${text}: allowed: letters, digits and / . _ + -`, EXIT.usage);
  return text.replace(/\/$/, '');
}

/** @throws NethooksError when it is installed somewhere else: its files there would be nobody's */
function requirePrefix(prefix: string): void {
  const { prefix: noted } = readManifest();
  if (noted !== null && noted !== prefix)
    throw new NethooksError(
      `it is installed with --prefix ${noted || '/'}: take that back first, ./install.sh --uninstall`,
      EXIT.usage,
    );
}

interface Choices {
  prefix: string;
  destdir: string;
  /** Networks for CNI runtimes. */
  networks: WantedFile[];
  first: FirstConfig | null;
}

function setupSpec(options: SetupOptions, { prefix, destdir, networks, first }: Choices): SetupSpec {
  const from = options.from ?? ownCheckout();
  const files = installFiles({
    prefix,
    runtime: process.versions.bun ? 'bun' : 'node',
    rkt: options.rkt || existsSync(`${destdir}/etc/rkt`),
    cni: options.cni || existsSync(`${destdir}/usr/lib/cni`),
  });
  const node = nodeInPath();
  const own = files
    .map((file) => ({ file, source: sourceOf(file, from) }))
    .filter(({ file, source }) => existsSync(source) || !file.optional)
    .map(({ file, source }) => ({ path: file.path, mode: file.mode, content: contentOf(file, source, prefix, node) }));
  const missing = own.filter(({ content }) => !existsSync(content.from)).map(({ content }) => content.from);
  if (missing.length > 0)
    throw new NethooksError(`${from} is no checkout or release of nethooks: no ${missing.join(', ')}`, EXIT.usage);
  return {
    prefix,
    destdir,
    files: [...own, ...networks],
    directories: INSTALL_DIRECTORIES,
    config: first && { path: CONFIG_FILE, text: first.text },
    units: destdir === '' && systemdRuns() ? INSTALL_UNITS : [],
  };
}

/** The executable is this one, wherever it is by now; everything else is in the checkout. */
const sourceOf = ({ source }: InstallFile, from: string): string =>
  source.startsWith('dist/') ? realpathSync(executable()) : join(from, source);

/** @throws NethooksError when this executable is in nobody's dist/ */
function ownCheckout(): string {
  const directory = dirname(realpathSync(executable()));
  if (basename(directory) === 'dist') return dirname(directory);
  throw new NethooksError('setup: --from DIR says where the files are: a checkout or an unpacked release', EXIT.usage);
}

/** The name by which this node is found, as its file may get another name with the next version; hooks inherit anybody's PATH. */
function nodeInPath(): string {
  const candidates = (process.env.PATH ?? '').split(delimiter).map((directory) => join(directory, 'node'));
  const own = realpathSync(process.execPath);
  return candidates.find((path) => path.startsWith('/') && existsSync(path) && realpathSync(path) === own) ?? own;
}

/**
 * Networks for CNI runtimes, where the directory is there or asked for.
 * @throws ConfigError when the configuration is wrong; nothing has been changed then
 */
function networkFiles({ rkt, cni }: SetupOptions, first: FirstConfig | null): WantedFile[] {
  const names = first ? first.networks.map(({ name }) => name) : validNetworks();
  const master = readRoutes().defaultDevice;
  const files = (['rkt', 'cni'] as const)
    .filter((runtime) => (runtime === 'rkt' ? rkt : cni) || existsSync(DIRECTORIES[runtime]))
    .flatMap((runtime) => {
      if (runtime === 'rkt' && master === null)
        warn('customrktbridgedhcp is left out: no default route; `nethooks net.d write --master IF` writes it');
      return filesFor(runtime, names, runtime === 'rkt' ? master : null).map(({ file, text }) => ({
        path: join(DIRECTORIES[runtime], file),
        text,
      }));
    });
  return files.map(({ path, text }) => ({ path, content: text, mode: 0o644, onlyIfMissing: true }));
}

function validNetworks(): string[] {
  try {
    const { networks } = loadConfig();
    checkContainers();
    return networks.map(({ name }) => name);
  } catch (error) {
    if (!(error instanceof NethooksError)) throw error;
    throw new NethooksError(`${error.message}\nnothing was changed: please mend the configuration first`, EXIT.usage);
  }
}
