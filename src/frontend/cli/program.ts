/** The command line: what each command runs. Commands that bring libraries with them are loaded when they are called. */
import { CommanderError } from 'commander';
import { beVerbose } from '../../system/exec.ts';
import { recorded } from '../recorded.ts';
import { addresses } from './addresses.ts';
import { down } from './down.ts';
import { EXIT } from './exit.ts';
import { gc } from './gc.ts';
import { check as checkNetD, list as listNetD, write as writeNetD } from './net-d.ts';
import { type Actions, parserFor, withSwitchValues } from './parser.ts';
import { port } from './port.ts';
import { inspect, ps } from './ps.ts';
import { status } from './status.ts';
import { plan, up } from './up.ts';

const ACTIONS: Actions = {
  up: (_, options) => up(options),
  down: ([networks], options) => down(networks, options),
  plan: (_, options) => plan(options),
  status: (_, options) => status(options),
  doctor: async (_, options) => (await import('./doctor.ts')).doctor(options),
  pause: async (_, options) => (await import('./pause.ts')).pause(options),
  resume: async () => (await import('./pause.ts')).resume(),
  ps: (_, options) => ps(options),
  inspect: ([name], options) => inspect(name, options),
  port: ([name, which], options) => port(name, which, options),
  gc: (_, options) => gc(options),
  'config check': async (_, options) => (await import('./config.ts')).check(options),
  'config show': async (_, options) => (await import('./config.ts')).show(options),
  'config init': async (_, options) => (await import('./config.ts')).init(options),
  configure: async ([name], options) => (await import('./configure.ts')).configure(name, options),
  demo: async (_, options) => (await import('./demo.ts')).demo(options),
  attach: async ([target], options) => (await import('./attach.ts')).attach(target, options),
  detach: async ([target], options) => (await import('./attach.ts')).detach(target, options),
  setup: async (_, options) => (await import('./setup.ts')).setup(options),
  teardown: async (_, options) => (await import('./teardown.ts')).teardown(options),
  'take-over': async ([what], options) => (await import('./take-over.ts')).takeOver(what, options),
  addresses: ([networks], options) => addresses(networks, options),
  logs: async ([id], options) => (await import('./logs.ts')).logs(id, options),
  replay: async ([id], options) => (await import('./replay.ts')).replay(id, options),
  'net.d write': (_, options) => writeNetD(options),
  'net.d list': (_, options) => listNetD(options),
  'net.d check': (_, options) => checkNetD(options),
};

/** @param directory what paths in the arguments are relative to */
export async function runCommand(words: string[], directory: string): Promise<number> {
  let code: number = EXIT.ok;
  const program = parserFor(ACTIONS, directory, async ({ name, spec, args, options, act }) => {
    if (options.verbose) beVerbose();
    const [first] = args;
    const about = typeof first === 'string' ? first : Array.isArray(first) ? first.join(' ') : '';
    const worth = options.dryRun ? 'remarks' : (spec.worth ?? 'remarks');
    code = worth === 'never' ? await act() : await recorded({ name, about, words, directory, worth }, act);
  });
  try {
    await program.parseAsync(withSwitchValues(words), { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  }
  return code;
}
