/** `nethooks demo`: the main job on a throwaway host, as a transcript. */
import { existsSync, realpathSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { execa } from 'execa';
import { installed, whatIsMissing } from '../../demo/requirements.ts';
import { demoSteps, type Source, type Step, WEB_SERVER, WHOAMI, WHOAMI_PATH } from '../../demo/steps.ts';
import { startThrowawayHost, type ThrowawayHost } from '../../demo/throwaway.ts';
import { brief, commandLine, complaint, duration } from '../../demo/transcript.ts';
import { NethooksError } from '../../errors.ts';
import { executable } from '../../system/install.ts';
import type { OptionsOf } from './commands.ts';

/** Exit status after a signal, as a shell has it (128 + its number). */
const SIGNALS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

/**
 * Runs the demo; prints the transcript to standard output. Nothing stays behind, whichever way it ends.
 * @returns 0, or 130, 143 or 129 after a signal
 * @throws NethooksError naming the step that failed, with its output, or what is missing
 */
export async function demo(options: OptionsOf<'demo'>): Promise<number> {
  const missing = whatIsMissing();
  if (missing !== undefined) throw new NethooksError(`demo: ${missing}`);
  const source = whereFrom();
  let signalled: keyof typeof SIGNALS | undefined;
  let host: ThrowawayHost | undefined;
  const onSignal = (signal: NodeJS.Signals): void => {
    signalled ??= signal as keyof typeof SIGNALS;
    void host?.close();
  };
  const signals = Object.keys(SIGNALS) as (keyof typeof SIGNALS)[];
  for (const signal of signals) process.on(signal, onSignal);
  try {
    const start = performance.now();
    host = await startThrowawayHost({ dns: true });
    if (!signalled) await tell(host, source);
    const took = performance.now() - start;
    if (!signalled && options.keep) await shell(host);
    await host.close();
    if (!signalled) say(`\n# All of it in ${duration(took)}; the throwaway host is gone.`);
  } catch (error) {
    // Once it is closed, whatever was running fails: that is no news.
    if (!signalled) throw error;
  } finally {
    await host?.close();
    for (const signal of signals) process.off(signal, onSignal);
  }
  return signalled ? SIGNALS[signalled] : 0;
}

/** Runs the steps one after the other. */
async function tell(host: ThrowawayHost, source: Source): Promise<void> {
  const uplink = host.uplinks[0]?.address ?? '';
  say(
    `# A throwaway host in namespaces, with an uplink ${uplink} to an internet of its own. This machine is not touched.`,
  );
  await prepare(host);
  for (const step of demoSteps(source, uplink, installed('ping') ? ['ping'] : ['busybox', 'ping'])) {
    await take(host, step);
  }
}

/** @throws NethooksError if the step does not do what it should */
async function take(host: ThrowawayHost, step: Step): Promise<void> {
  if (step.title !== undefined) say(`\n# ${step.title}`);
  const started = performance.now();
  const result = await host.run(step.argv, step.cwd === undefined ? {} : { cwd: step.cwd });
  const line = commandLine(step, performance.now() - started, result.code);
  const wrong = complaint(step, result);
  if (wrong !== undefined) {
    throw new NethooksError(`demo: this step failed, ${wrong}:\n${line}\n${result.stdout}${result.stderr}`.trimEnd());
  }
  say(line);
  process.stdout.write(brief(result.stdout, step.keep));
}

/** The far side's web server: not part of the show. */
async function prepare(host: ThrowawayHost): Promise<void> {
  const write = await host.run(['install', '-D', '-m', '755', '/dev/stdin', WHOAMI_PATH], { input: WHOAMI });
  const serve = await host.internet(WEB_SERVER);
  if (write.code !== 0 || serve.code !== 0)
    throw new NethooksError(`demo: no web server: ${write.stderr}${serve.stderr}`);
}

/** What the throwaway host is to install: the checkout that this executable was built in, or what is installed. */
function whereFrom(): Source {
  const program = realpathSync(executable());
  const directory = dirname(program);
  const runtime = process.versions.bun ? 'bun' : 'node';
  if (basename(directory) === 'dist' && existsSync(join(directory, '../install.sh'))) {
    return { checkout: dirname(directory), runtime };
  }
  if (existsSync('/usr/lib/nethooks/nethooks')) return { runtime };
  throw new NethooksError('demo: run it from a checkout (./install.sh --demo), or install nethooks first');
}

async function shell(host: ThrowawayHost): Promise<void> {
  say('# A shell on it; `internet COMMAND` runs on the far side. It is removed when the shell ends.');
  const { file, args, env } = host.enter(['bash', '--norc'], { cwd: '/root' });
  await execa(file, args, {
    env: { ...env, TERM: process.env.TERM ?? 'dumb', PS1: '\\h:\\w# ' },
    extendEnv: false,
    stdio: 'inherit',
    reject: false,
  });
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
