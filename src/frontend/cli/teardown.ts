/** `nethooks teardown`: takes back what `nethooks setup` and `nethooks up` made. */
import { loadConfig } from '../../config/load.ts';
import { NethooksError } from '../../errors.ts';
import { changeHost } from '../../host/change.ts';
import { readLinks } from '../../host/facts.ts';
import { gatherTeardownFacts, readManifest } from '../../host/setup/facts.ts';
import { type AttachmentRecord, attachmentId, showOwner } from '../../model/attachment.ts';
import { type Manifest, noted } from '../../model/manifest.ts';
import { INSTALL_STATE, MANIFEST, STATE, unfinished } from '../../model/paths.ts';
import { remarks, type Step } from '../../model/step.ts';
import { INSTALL_UNITS } from '../../plan/host/install-files.ts';
import { planTeardown, type Teardown } from '../../plan/host/teardown.ts';
import { readHostRecord } from '../../store/host-record.ts';
import { listKept, readKept, recordsWhere } from '../../store/records.ts';
import { type Applying, applyUntilFailure } from '../../system/apply.ts';
import { type Exec, execUntil } from '../../system/exec.ts';
import { readText, removeFile } from '../../system/files.ts';
import { changeDirectory } from '../../system/place.ts';
import { enablement, isActive, systemdRuns } from '../../system/systemd.ts';
import { knownContainers } from '../lxc/containers.ts';
import { giveAllBack, remainingOf, runningNotes } from '../lxc/give-back.ts';
import { readLxcNetRecord } from '../lxc/lxc-net.ts';
import { clearOwnFiles, hasOwnFiles } from '../lxc/own-files.ts';
import { detach } from '../target/attach.ts';
import type { OptionsOf } from './commands.ts';
import { EXIT } from './exit.ts';
import { briefly, INSTALL_LIMIT_MS, onlyInstaller, sentences } from './installation.ts';
import { warn } from './output.ts';
import { giveLxcNetBack } from './take-over.ts';
import { requireRoot } from './up.ts';

type TeardownOptions = OptionsOf<'teardown'>;

export async function teardown(options: TeardownOptions): Promise<number> {
  const { dryRun = false } = options;
  if (!dryRun) requireRoot('teardown');
  const exec = execUntil(performance.now() + INSTALL_LIMIT_MS);
  const release = dryRun ? () => undefined : onlyInstaller(exec);
  try {
    if (readText(MANIFEST) === null) nothing(options);
    else if (dryRun) await wouldTakeBack(exec, options);
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

async function wouldTakeBack(exec: Exec, { json, purge }: TeardownOptions): Promise<void> {
  const manifest = readManifest();
  const networks = networkNames();
  const services = serviceSteps(exec, manifest);
  const lxc = await lxcGivenBack(exec, networks);
  const plan = planTeardown({ purge: purge === true }, gatherTeardownFacts(manifest, networks));
  if (json) {
    print({ ...plan, steps: [...services, ...lxc.steps, ...plan.steps] });
    return;
  }
  for (const { note } of lxc.running) console.log(note);
  for (const line of sentences(services)) console.log(`would ${line}`);
  if (readLxcNetRecord()) console.log('would give lxc-net back: nethooks take-over --undo');
  for (const { owner } of connected()) console.log(`would disconnect ${showOwner(attachmentId(owner))}`);
  console.log('would take the networks down: nethooks down --files');
  for (const line of lxc.lines) console.log(`would ${line}`);
  for (const line of lxc.notes) console.log(line);
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
  const services = serviceSteps(exec, manifest);
  for (const { note } of runningNotes(knownContainers().containers)) say(note);
  for (const line of sentences(services)) say(line);
  await applyUntilFailure(how, services);
  // Nobody could take these back later. LXC's go with the bridges.
  for (const record of connected()) {
    say(`disconnect ${showOwner(attachmentId(record.owner))}`);
    await detach(how, [record]);
  }
  const lxcNet = readLxcNetRecord();
  const downAll = async (): Promise<void> => {
    say('take the networks down: nethooks down --files');
    for (const line of briefly(await down(how))) say(line);
  };
  if (lxcNet === null) await downAll();
  else {
    say('give lxc-net back: nethooks take-over --undo');
    await giveLxcNetBack(how, lxcNet, downAll);
  }
  // After default.conf has lost our lines, so that nobody makes a container with them any more; before the hooks that they call go.
  const lxc = await lxcGivenBack(exec, networks);
  for (const line of [...lxc.lines, ...lxc.notes]) say(line);
  await applyUntilFailure(how, lxc.steps);
  for (const one of lxc.withFiles) clearOwnFiles((line) => warn(`${one.name}: ${line}`), one);
  const plan = planTeardown({ purge: purge === true }, gatherTeardownFacts(manifest, networks));
  for (const line of sentences(plan.steps)) say(line);
  await applyUntilFailure(how, plan.steps);
  if (json) print({ ...plan, steps: [...services, ...lxc.steps, ...plan.steps] });
  else conclude(plan);
}

/** What CNI's runtimes and `nethooks attach` have connected, whether or not it is still there. */
const connected = (): AttachmentRecord[] => recordsWhere(({ kind }) => kind === 'cni' || kind === 'attach');

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
    const plan = await changeHost(how, change, 30);
    for (const text of remarks(plan)) warn(text);
    return plan.steps;
  } catch (error) {
    if (!(error instanceof NethooksError)) throw error;
    throw new NethooksError(`${error.message}\nthe networks are not down, so everything else stays too`);
  }
}

/** The networks of the configuration, in whatever format, where it can be read; those that are up, and that containers were on. */
function networkNames(): string[] {
  const names = [...readHostRecord().networks.map(({ name }) => name), ...listKept().flatMap(networksOf)];
  try {
    names.unshift(...loadConfig().networks.map(({ name }) => name));
  } catch (error) {
    if (!(error instanceof NethooksError)) throw error;
  }
  return [...new Set(names)];
}

const networksOf = (container: string): string[] =>
  readKept(container).interfaces.flatMap(({ network }) => network ?? []);

/** What takes our lines out of every container's configuration. */
async function lxcGivenBack(exec: Exec, networks: readonly string[]) {
  const { containers, missing } = knownContainers();
  const { steps, notes } = giveAllBack(containers, remainingOf(await readLinks(exec), networks));
  const lost = missing.map(
    ({ name, configFile }) =>
      `warning: container ${name}: ${configFile} is on a file system that is not mounted: its lines with nethooks in them are to be removed`,
  );
  const running = runningNotes(containers);
  const withFiles = containers.filter((one) =>
    hasOwnFiles(
      one,
      running.some(({ name }) => name === one.name),
    ),
  );
  const lines = [
    ...steps.map(({ path, content }) => (content === null ? `remove ${path}` : `take our lines out of ${path}`)),
    ...withFiles.map(({ name }) => `take what is ours out of the files of container ${name}`),
  ];
  return { steps, lines, withFiles, notes: [...notes, ...lost], running };
}
