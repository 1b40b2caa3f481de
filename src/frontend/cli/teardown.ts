/** `nethooks teardown`: takes back what `nethooks setup` and `nethooks up` made. */
import { loadConfig } from '../../config/load.ts';
import { NethooksError } from '../../errors.ts';
import { changeHost } from '../../host/change.ts';
import { gatherTeardownFacts, readManifest } from '../../host/setup/facts.ts';
import { type AttachmentRecord, attachmentId, showOwner } from '../../model/attachment.ts';
import { type Manifest, noted } from '../../model/manifest.ts';
import { INSTALL_STATE, MANIFEST, STATE, unfinished } from '../../model/paths.ts';
import type { Step } from '../../model/step.ts';
import { INSTALL_UNITS, libraryOf } from '../../plan/host/install-files.ts';
import { planTeardown, type Teardown, usesOf } from '../../plan/host/teardown.ts';
import { readHostRecord } from '../../store/host-record.ts';
import { recordsWhere } from '../../store/records.ts';
import { type Applying, applyUntilFailure } from '../../system/apply.ts';
import { type Exec, execUntil } from '../../system/exec.ts';
import { readText, removeFile } from '../../system/files.ts';
import { lxcPath } from '../../system/lxc-path.ts';
import { changeDirectory } from '../../system/place.ts';
import { enablement, isActive, systemdRuns } from '../../system/systemd.ts';
import { configFileOf, listContainers } from '../lxc/containers.ts';
import { detach } from '../target/attach.ts';
import type { OptionsOf } from './commands.ts';
import { EXIT } from './exit.ts';
import { briefly, INSTALL_LIMIT_MS, onlyInstaller, sentences } from './installation.ts';
import { warn } from './output.ts';
import { requireRoot } from './up.ts';

type TeardownOptions = OptionsOf<'teardown'>;

export async function teardown(options: TeardownOptions): Promise<number> {
  const { dryRun = false } = options;
  if (!dryRun) requireRoot('teardown');
  const exec = execUntil(performance.now() + INSTALL_LIMIT_MS);
  const release = dryRun ? () => undefined : onlyInstaller(exec);
  try {
    if (readText(MANIFEST) === null) nothing(options);
    else if (dryRun) wouldTakeBack(exec, options);
    else await takeBack(exec, options);
    return EXIT.ok;
  } finally {
    release();
  }
}

/** Where an earlier run may have been killed. */
function nothing({ dryRun, json }: TeardownOptions): void {
  if (!dryRun) {
    removeFile(unfinished(MANIFEST));
    for (const path of [INSTALL_STATE, STATE]) changeDirectory({ kind: 'directory', path, action: 'remove' });
  }
  if (json) print({ steps: [], kept: [], packages: [] });
  else console.log(`nothing to take back: there is no ${MANIFEST}`);
}

function wouldTakeBack(exec: Exec, { json, purge }: TeardownOptions): void {
  const manifest = readManifest();
  const networks = networkNames();
  const services = serviceSteps(exec, manifest);
  const plan = planTeardown({ purge: purge === true }, gatherTeardownFacts(manifest, networks));
  if (json) {
    print({ ...plan, steps: [...services, ...plan.steps] });
    return;
  }
  for (const line of users(manifest, networks)) console.log(line);
  for (const line of sentences(services)) console.log(`would ${line}`);
  for (const { owner } of connected()) console.log(`would disconnect ${showOwner(attachmentId(owner))}`);
  console.log('would take the networks down: nethooks down --files');
  for (const line of sentences(plan.steps)) console.log(`would ${line}`);
  conclude(plan);
}

/** @throws NethooksError at the first thing that cannot be taken back; what was noted of the rest stays for the next run */
async function takeBack(exec: Exec, { json, purge }: TeardownOptions): Promise<void> {
  const say = (line: string): void => {
    if (!json) console.log(line);
  };
  const how: Applying = { exec, log: warn, wait: true };
  const manifest = readManifest();
  const networks = networkNames();
  for (const line of users(manifest, networks)) say(line);
  const services = serviceSteps(exec, manifest);
  for (const line of sentences(services)) say(line);
  await applyUntilFailure(how, services);
  // Nobody could take these back later. LXC's go with the bridges.
  for (const record of connected()) {
    say(`disconnect ${showOwner(attachmentId(record.owner))}`);
    await detach(how, [record]);
  }
  say('take the networks down: nethooks down --files');
  for (const line of briefly(await down(how))) say(line);
  const plan = planTeardown({ purge: purge === true }, gatherTeardownFacts(manifest, networks));
  await applyUntilFailure(how, plan.steps);
  for (const line of sentences(plan.steps)) say(line);
  if (json) print({ ...plan, steps: [...services, ...plan.steps] });
  else conclude(plan);
}

/** What CNI's runtimes and `nethooks attach` have connected, whether or not it is still there. */
const connected = (): AttachmentRecord[] => recordsWhere(({ kind }) => kind !== 'lxc');

const print = (plan: Teardown): void => console.log(JSON.stringify(plan, null, 2));

function conclude({ kept, packages }: Teardown): void {
  for (const line of kept) console.log(line);
  if (packages.length > 0)
    console.log(`Debian packages that install.sh brought stay: apt-get purge ${packages.join(' ')}`);
}

/** systemd's ends what it started before the networks go. */
function serviceSteps(exec: Exec, manifest: Manifest): Step[] {
  if (!systemdRuns()) return [];
  const known = [...new Set([...INSTALL_UNITS, ...noted(manifest, 'unit')])];
  const units = known.filter((unit) => enablement(exec, unit) === 'enabled' || isActive(exec, unit));
  return units.length > 0 ? [{ kind: 'unit', action: 'disable', units }] : [];
}

async function down(how: Applying): Promise<Step[]> {
  const change = { spec: () => ({ host: readHostRecord().host, networks: [], hooks: null }), files: true };
  try {
    const { steps, warnings } = await changeHost(how, change, 30);
    for (const warning of warnings) warn(warning);
    return steps;
  } catch (error) {
    if (!(error instanceof NethooksError)) throw error;
    throw new NethooksError(`${error.message}\nthe networks are not down, so everything else stays too`);
  }
}

/** The networks of the configuration, in whatever format; none if it cannot be read. */
function networkNames(): string[] {
  try {
    return loadConfig().networks.map(({ name }) => name);
  } catch (error) {
    if (!(error instanceof NethooksError)) throw error;
    return [];
  }
}

/** Which LXC containers still want what is being removed: they would not start without it. */
function users(manifest: Manifest, networks: readonly string[]): string[] {
  const hooks = `${libraryOf(manifest.prefix ?? '')}/lxc/`;
  const directory = lxcPath();
  return listContainers(directory).flatMap((container) => {
    const file = configFileOf(directory, container);
    return usesOf({ container, file, text: readText(file) ?? '' }, hooks, networks);
  });
}
