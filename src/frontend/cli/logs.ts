/** `nethooks logs`: what hooks, CNI calls and commands have done. */
import { NethooksError } from '../../errors.ts';
import { listAttachments } from '../../host/attachments.ts';
import { asJson, type EventRecord } from '../../model/event.ts';
import { printable } from '../../system/log.ts';
import { LogFollower, readEvents } from '../../system/log-reader.ts';
import type { OptionsOf } from './commands.ts';
import { EXIT } from './exit.ts';
import { requireRoot } from './up.ts';

/** How many earlier ones go before those that are waited for, as with tail(1). */
const BEFORE = 10;
const POLL_MS = 250;
/** A time and a pid, to base 36. */
const ID_WIDTH = 13;

export async function logs(id: string | undefined, options: OptionsOf<'logs'>): Promise<number> {
  requireRoot('logs');
  const show = options.json ? (one: EventRecord) => [asJson(one)] : inLines;
  const print = (lines: string[]): void => console.log(lines.join('\n'));
  if (id !== undefined) {
    const one = eventCalled(id);
    print(options.json ? show(one) : whole(one));
    return EXIT.ok;
  }
  const isAsked = filterOf(options);
  // Before the rest is read, so that nothing is missed; what comes in between is shown twice at worst.
  const follower = options.follow ? new LogFollower() : null;
  const all = readEvents().filter(isAsked);
  for (const one of follower ? all.slice(-BEFORE) : all) print(show(one));
  if (follower === null) return EXIT.ok;
  for (;;) {
    for (const one of follower.next().filter(isAsked)) print(show(one));
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** @throws NethooksError when there is none */
export function eventCalled(id: string): EventRecord {
  const found = readEvents().find((one) => one.id === id);
  if (!found) throw new NethooksError(`${printable(id)}: no such event; \`nethooks logs\` shows those that are kept`);
  return found;
}

function filterOf({ container, failed }: OptionsOf<'logs'>): (one: EventRecord) => boolean {
  const names = container === undefined ? null : namesOf(container);
  return ({ about, error }) =>
    (!failed || error !== null) && (names === null || about.split(' ').some((word) => names.has(word)));
}

/** What events call it: a runtime's container by its id, a machine that is there by DHCP by its address. */
function namesOf(container: string): ReadonlySet<string> {
  const same = listAttachments().filter(({ name, id, holder }) => [name, id, holder].includes(container));
  return new Set([container, ...same.flatMap(({ id, holder }) => [holder, id.replace(/^dhcp\//, '')])]);
}

/** One line, and one for each thing that was said. */
export function inLines({ id, at, event, about, changed, said, ms, error }: EventRecord): string[] {
  const title = `${at.slice(0, 19)}Z  ${id.padEnd(ID_WIDTH)}  ${`${event} ${about}`.trim()}`;
  const [why = '', ...more] = (error ?? '').split('\n');
  const took = ms > 0 ? `, ${ms} ms` : '';
  const outcome = error === null ? `${changesOf(changed)}${took}` : `failed${took}: ${why}`;
  // A line of a shim, or of an earlier version, says what it says.
  const first = id === '' && error === null ? title : `${title}: ${outcome}`;
  return [first, ...[...more, ...said].map((line) => `    ${line}`)].map(printable);
}

const changesOf = ({ length }: string[]): string =>
  length === 0 ? 'nothing changed' : `${length} change${length === 1 ? '' : 's'}`;

/** All that is known of it. */
function whole({ id, at, event, about, input, changed, undone, said, ms, error }: EventRecord): string[] {
  const rows = [
    ['id', id],
    ['event', `${event} ${about}`.trim()],
    ['ended', `${at}, after ${ms} ms`],
    ...(input.words.length === 0 ? [] : [['words', input.words.join(' ')]]),
    ...Object.entries(input.env).map(([name, value]) => ['with', `${name}=${value}`]),
    ...(input.cut ? [['with', '… more than a line holds']] : []),
    ...changed.map((line) => ['done', line]),
    ...undone.map((line) => ['not done', line]),
    ...said.map((line) => ['said', line]),
    ...(error?.split('\n') ?? []).map((line) => ['error', line]),
  ];
  return rows.map(([title = '', text = '']) => printable(`${title.padEnd(9)} ${text}`));
}
