/** `nethooks up` and `nethooks plan`. */

import { currentConfig, knownConfig } from '../../config/cache.ts';
import { keepGood } from '../../config/last-good.ts';
import { NethooksError } from '../../errors.ts';
import { type Change, changeHost, planChange } from '../../host/change.ts';
import type { Config } from '../../model/config.ts';
import { inOneLine } from '../../model/finding.ts';
import type { HostSpec } from '../../plan/host/host.ts';
import { forgetHealing } from '../../store/healing.ts';
import { type Exec, execUntil } from '../../system/exec.ts';
import { hooksDirectory } from '../../system/install.ts';
import { sweepAfter } from '../sweep.ts';
import type { OptionsOf } from './commands.ts';
import { EXIT } from './exit.ts';
import { printPlan, warn } from './output.ts';

/** How long a command may take in all, and how long it waits for another nethooks. */
const LIMIT_MS = 60_000;
const WAIT_SECONDS = 30;

/** Brings the host to what the configuration says. */
export async function up(options: OptionsOf<'up'>): Promise<number> {
  if (options.dryRun || options.check) {
    const differs = await show(options);
    return differs && options.check ? EXIT.drift : EXIT.ok;
  }
  const change = changeTo(await asked(options));
  requireRoot('up');
  const exec = execUntil(performance.now() + LIMIT_MS);
  const how = { exec, log: warn, wait: true };
  const plan = await changeHost(how, change, WAIT_SECONDS);
  forgetHealing();
  if (options.config === undefined) keepGood();
  await sweepAfter(how, plan);
  printPlan(plan, options.json ? 'json' : 'done');
  return EXIT.ok;
}

/** Shows what `up` would change. */
export async function plan(options: OptionsOf<'plan'>): Promise<number> {
  return (await show(options)) ? EXIT.drift : EXIT.ok;
}

/** Prints the plan; whether it would change anything. */
async function show(options: OptionsOf<'up'>): Promise<boolean> {
  const change = changeTo(await asked(options));
  requireRoot('plan');
  const { plan } = await planChange(execUntil(performance.now() + LIMIT_MS), change);
  printPlan(plan, options.json ? 'json' : 'todo');
  if (plan.refusals.length > 0) throw new NethooksError(plan.refusals.join('\n'));
  return plan.steps.length > 0;
}

/** The change that makes a host fit its configuration. */
export function changeTo(config: Config): Change {
  const { host, networks } = config;
  const spec: HostSpec = { host, networks, hooks: hooksDirectory() };
  const findLost = async (exec: Exec) => {
    const { lostContainers } = await import('../lxc/lost.ts');
    return lostContainers(config, exec);
  };
  return { spec: () => spec, findLost, thorough: true };
}

const asked = ({ config, lastGood }: OptionsOf<'up'>): Promise<Config> =>
  lastGood && config === undefined ? workingConfig() : configuration(config);

/** The configuration named with --config, else the host's. */
export async function configuration(file: string | undefined): Promise<Config> {
  if (file === undefined) return currentConfig();
  const { loadConfig } = await import('../../config/load.ts');
  return loadConfig(file);
}

/** The host's configuration; where that has a mistake, the last good one, and a warning. */
export async function workingConfig(): Promise<Config> {
  const { config, mistake } = await knownConfig();
  if (mistake !== null) warn(`${inOneLine(mistake)}; the last good configuration is in use`);
  return config;
}

/** @throws NethooksError for anyone but root: the kernel would refuse half-way */
export function requireRoot(command: string): void {
  if (process.getuid?.() !== 0) throw new NethooksError(`${command} needs root`);
}
