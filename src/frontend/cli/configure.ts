/** `nethooks configure`: a container's options and its place on a network, in its files and, while it runs, in the kernel. */

import { withNamespace } from '../../attachment/detach.ts';
import { reconfigure } from '../../attachment/reconfigure.ts';
import { NethooksError } from '../../errors.ts';
import { readLinks } from '../../host/facts.ts';
import { bare } from '../../model/address.ts';
import type { AttachmentRecord, Interface } from '../../model/attachment.ts';
import type { Config } from '../../model/config.ts';
import { isLxcConfigBackup } from '../../model/paths.ts';
import type { Step } from '../../model/step.ts';
import { ownNames } from '../../plan/attachment/names.ts';
import { noteAliases } from '../../store/aliases.ts';
import { isAlive, readContainer } from '../../store/records.ts';
import { type Applying, applySteps } from '../../system/apply.ts';
import { execUntil } from '../../system/exec.ts';
import { hooksDirectory } from '../../system/install.ts';
import { lockHost } from '../../system/lock.ts';
import { lxcPath } from '../../system/lxc-path.ts';
import { invertFile } from '../../system/undo.ts';
import { type Mode, parseMode } from '../lxc/adopt.ts';
import { type Configured, planConfigure } from '../lxc/configure.ts';
import { configFileOf, containersOf, knownContainers, type LxcContainer } from '../lxc/containers.ts';
import { remainingOf } from '../lxc/give-back.ts';
import { refreshParents } from '../lxc/links.ts';
import { checkNeighbours, checkSharing } from '../lxc/neighbours.ts';
import { clearOwnFiles } from '../lxc/own-files.ts';
import { refreshShared } from '../lxc/shared.ts';
import { specOf } from '../lxc/spec.ts';
import { sweepOnce } from '../sweep.ts';
import type { OptionsOf } from './commands.ts';
import { flagWords, withoutKeys } from './container-options.ts';
import { EXIT } from './exit.ts';
import { printPlan, warn } from './output.ts';
import { requireRoot, workingConfig } from './up.ts';

type ConfigureOptions = OptionsOf<'configure'>;

const LIMIT_MS = 60_000;
const WAIT_SECONDS = 30;

/** What one container's turn came to. */
interface Outcome {
  container: string;
  steps: Step[];
  /** `running`: the change is in force; `next-start`: it will be; `refused`: nothing has changed. */
  live: 'applied' | 'next-start' | 'refused';
  warnings: string[];
}

export async function configure(name: string | undefined, options: ConfigureOptions): Promise<number> {
  requireRoot('configure');
  if ((name === undefined) === (options.all !== true))
    throw new NethooksError('configure: allowed: the name of one container, or --all', EXIT.usage);
  const how = applying();
  const release = options.dryRun ? () => undefined : await lockHost(how.exec, WAIT_SECONDS);
  try {
    const turn = await prepare(how, options);
    if (name !== undefined) {
      show([await turn({ name, configFile: configFileOf(lxcPath(), name) })], options);
      return EXIT.ok;
    }
    const outcomes: Outcome[] = [];
    for (const one of options.remove ? knownContainers().containers : containersOf(lxcPath()))
      outcomes.push(await attempt(one, turn));
    show(outcomes, options);
    return outcomes.some(({ live }) => live === 'refused') ? EXIT.failed : EXIT.ok;
  } finally {
    release();
  }
}

const applying = (): Applying => ({ exec: execUntil(performance.now() + LIMIT_MS), log: warn, wait: true });

/** With --all, what is refused for one container does not keep the others from theirs. */
async function attempt(container: LxcContainer, turn: (container: LxcContainer) => Promise<Outcome>): Promise<Outcome> {
  try {
    return await turn(container);
  } catch (error) {
    if (!(error instanceof NethooksError)) throw error;
    return { container: container.name, steps: [], live: 'refused', warnings: error.message.split('\n') };
  }
}

/** What does one container. */
async function prepare(
  how: Applying,
  options: ConfigureOptions,
): Promise<(container: LxcContainer) => Promise<Outcome>> {
  const config = await workingConfig();
  const hooks = hooksDirectory();
  if (hooks === null) throw new NethooksError('the LXC hooks are not installed; ./install.sh brings them');
  const networks = config.networks.map(({ name }) => name);
  const words = flagWords(options);
  const without = withoutKeys(options);
  const unpublish = options.publishRm ?? [];
  if (
    options.remove &&
    (words.length > 0 ||
      without.length > 0 ||
      unpublish.length > 0 ||
      options.net !== undefined ||
      typeof options.network === 'string')
  )
    throw new NethooksError('--remove: takes everything out; allowed: no other change with it', EXIT.usage);
  const net = options.net ?? (options.nic === '0' ? options.network || undefined : undefined);
  const mode: Mode | null = net === undefined ? null : parseMode(net, networks);
  const release = options.remove && options.all ? remainingOf(await readLinks(how.exec), networks) : null;
  return async ({ name, configFile }) => {
    if (mode?.kind === 'container') checkSharing(lxcPath(), name, mode.name);
    const { nic, remove = false } = options;
    const spec = { name, configFile, mode, words, nic, without, unpublish, remove, release };
    const planned = planConfigure(config, hooks, spec);
    if (!spec.remove) checkNeighbours({ name, configFile, ...planned });
    return carryOut(how, config, { name, configFile, remove }, planned, options.dryRun ?? false);
  };
}

/** Files first, as they are taken back easily; should the kernel refuse, they are. */
async function carryOut(
  how: Applying,
  config: Config,
  { name, configFile, remove }: { name: string; configFile: string; remove: boolean },
  { steps, options, members, shares, released, notes }: Configured,
  dryRun: boolean,
): Promise<Outcome> {
  const warnings = [...notes];
  const record = readContainer(name);
  const running = record !== null && isAlive(record) ? record : null;
  const later = running === null ? [] : released ? atNext('its network') : atNextStart(running, { members, shares });
  warnings.push(...later);
  const outcome: Outcome = {
    container: name,
    steps,
    live: running && later.length === 0 ? 'applied' : 'next-start',
    warnings,
  };
  if (dryRun) return outcome;
  await applySteps(how, steps);
  noteAliases(name, ownNames(name, options.aliases));
  const telling = { ...how, log: (line: string) => void warnings.push(line) };
  if (remove && running === null) clearOwnFiles(telling.log, { name, configFile });
  if (running?.life == null || !('pid' in running.life)) return outcome;
  const { life, words = [] } = running;
  try {
    if (running.shares !== undefined) {
      await refreshShared(telling, config, running);
      await refreshParents(telling, config, name);
      return outcome;
    }
    const spec = specOf(config, {
      name,
      pid: life.pid,
      configFile: running.configFile ?? null,
      words,
      options,
      members,
    });
    // Its files speak of the network that it is on, also where it goes to another one at its next start; but no hook clears them later.
    const stays = !remove || members.length > 0;
    const network = config.networks.find(({ name: one }) => stays && one === running.interfaces[0]?.network) ?? null;
    await withNamespace(telling, life, async (inside) => {
      await reconfigure(inside, running, { ...spec, files: spec.files && { ...spec.files, network } }, () =>
        sweepOnce(inside),
      );
    });
    await refreshParents(telling, config, name);
  } catch (error) {
    await applySteps(how, steps.map(inverted).reverse());
    throw error;
  }
  return outcome;
}

const inverted = (step: Step): Step => (step.kind === 'file' ? invertFile(step) : step);

const atNext = (what: string): string[] => [`${what} takes effect at its next start`];

/** What a running container keeps until it is started anew. */
function atNextStart(record: AttachmentRecord, { members, shares }: Pick<Configured, 'members' | 'shares'>): string[] {
  const { interfaces } = record;
  const moved =
    shares !== (record.shares ?? null) ||
    members.length !== interfaces.length ||
    members.some(({ network }, index) => network.name !== interfaces[index]?.network);
  if (moved) return atNext('its network');
  const changed = (one: Interface, index: number): boolean => {
    const { wanted = null, options } = members[index] ?? {};
    return (
      (wanted !== null && !one.addresses.some((address) => bare(address) === wanted)) ||
      (options?.address === 'dhcp') !== (one.dhcp === true)
    );
  };
  return interfaces.some(changed) ? atNext('its address') : [];
}

function show(outcomes: Outcome[], { json, dryRun }: ConfigureOptions): void {
  if (json) {
    console.log(JSON.stringify(outcomes.length === 1 ? outcomes[0] : outcomes, null, 2));
    return;
  }
  for (const { container, steps, live, warnings } of outcomes) {
    const title = outcomes.length > 1 ? `${container}: ` : '';
    for (const warning of warnings) warn(`${title}${warning}`);
    if (live === 'refused') continue;
    if (title !== '') console.log(`${container}:`);
    const copies = steps.filter(
      (step) => step.kind === 'file' && isLxcConfigBackup(step.path) && step.content !== null,
    );
    for (const step of copies) if (step.kind === 'file') console.log(`write ${step.path}: a copy of what is there`);
    if (copies.length < steps.length || steps.length === 0)
      printPlan(
        { steps: steps.filter((step) => !copies.includes(step)), warnings: [], refusals: [] },
        dryRun ? 'todo' : 'done',
      );
  }
}
