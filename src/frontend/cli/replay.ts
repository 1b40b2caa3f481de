/** `nethooks replay`: an event once more, with what it was called with then. */
import { existsSync, readlinkSync } from 'node:fs';
import { NethooksError } from '../../errors.ts';
import type { EventRecord } from '../../model/event.ts';
import { isSafeName } from '../../model/names.ts';
import { isLive, readContainer } from '../../store/records.ts';
import { execUntil } from '../../system/exec.ts';
import { printable } from '../../system/log.ts';
import { readEvents } from '../../system/log-reader.ts';
import { runHookAgain } from '../hooks/run.ts';
import { rehearse } from '../lxc/rehearse.ts';
import { resolveTarget } from '../target/target.ts';
import type { OptionsOf } from './commands.ts';
import { EXIT } from './exit.ts';
import { eventCalled } from './logs.ts';
import { runCommand } from './program.ts';
import { plan, requireRoot } from './up.ts';

type Replay = (record: EventRecord, dryRun: boolean) => Promise<number>;

/** What can be done twice without harm; everything else has its reason. */
const REPLAYS: Readonly<Record<string, Replay>> = {
  up: command,
  gc: command,
  'if-up': interfaceCame,
  'if-post-down': interfaceCame,
  dhclient: fact,
  lease: fact,
  'start-host': startHost,
};

const REASONS: Readonly<Record<string, string>> = {
  'pre-start': 'it changes nothing; `lxc-start` runs it again',
  'post-stop': 'the container has stopped since, and may run again; `nethooks gc` takes back what is left',
  destroy: 'the container is gone, and another one may be called so; `nethooks gc` takes back what is left',
  clone: 'the copy is there, and may have been configured since; `nethooks configure` changes it',
};

export async function replay(id: string, { dryRun = false }: OptionsOf<'replay'>): Promise<number> {
  requireRoot('replay');
  const record = eventCalled(id);
  const again = REPLAYS[record.event];
  if (!again) throw refusal(record, REASONS[record.event] ?? reason(record));
  if (record.input.cut) throw refusal(record, 'the log has only a part of what it was called with');
  return again(record, dryRun);
}

const reason = ({ event, input }: EventRecord): string =>
  event.startsWith('cni ')
    ? 'its runtime has got its answer; it asks again when the container is started anew'
    : `\`nethooks ${printable(input.words.join(' '))}\` does it again`;

const refusal = ({ id, event, about }: EventRecord, why: string): NethooksError =>
  new NethooksError(`${id}: ${printable(`${event} ${about}`.trim())} cannot be replayed: ${why}`);

/** Both bring the host to what is right now, whatever was then. */
async function command({ input: { words, env } }: EventRecord, dryRun: boolean): Promise<number> {
  const given = dryRun && !words.includes('--dry-run') ? [...words, '--dry-run'] : words;
  return runCommand(given, env.PWD ?? '/');
}

async function interfaceCame({ event, input }: EventRecord, dryRun: boolean): Promise<number> {
  if (dryRun) {
    await plan({});
    return EXIT.ok;
  }
  return hook(event, input);
}

/** Something that was true then: what has come since goes before. */
async function fact(record: EventRecord, dryRun: boolean): Promise<number> {
  const { id, event, about, input } = record;
  const events = readEvents();
  const after = events.slice(events.findIndex((one) => one.id === id) + 1);
  const later = after.find((one) => one.event === event && one.about === about);
  if (later) throw refusal(record, `${later.id} is about the same, and came later`);
  if (!dryRun) return hook(event, input);
  const env = Object.entries(input.env).map(([name, value]) => `${name}='${value}'`);
  console.log(`would run: ${printable([...env, 'nethooks hook', event, ...input.words].join(' '))}`);
  return EXIT.ok;
}

/** A container whose start was refused is not there any more: what it would get can be said. One that runs can be connected. */
async function startHost(record: EventRecord, dryRun: boolean): Promise<number> {
  const { event, about, input } = record;
  if (dryRun) {
    for (const line of await rehearse(input)) console.log(printable(line));
    return EXIT.ok;
  }
  const known = isSafeName(about) ? readContainer(about) : null;
  if (known !== null && isLive(known))
    throw refusal(record, 'the container is connected; --dry-run says what it would get');
  const pid = initOf(about);
  if (pid === null)
    throw refusal(
      record,
      `the container does not run; --dry-run says what it would get, \`lxc-start ${printable(about)}\` starts it`,
    );
  return hook(event, { ...input, env: { ...input.env, LXC_PID: pid } });
}

/** pid of the init of a container that runs; null where it does not, or is in the host's network namespace. */
function initOf(container: string): string | null {
  try {
    const { netns } = resolveTarget(execUntil(performance.now() + 10_000), `lxc:${container}`);
    const [, pid] = /^\/proc\/(\d+)\//.exec(netns) ?? [];
    if (pid === undefined || !existsSync(netns) || readlinkSync(netns) === readlinkSync('/proc/self/ns/net'))
      return null;
    return pid;
  } catch (error) {
    if (error instanceof NethooksError) return null;
    throw error;
  }
}

async function hook(event: string, input: EventRecord['input']): Promise<number> {
  await runHookAgain(event, input);
  console.log('done');
  return EXIT.ok;
}
