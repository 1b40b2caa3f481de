/** `nethooks logs`: what hooks, CNI calls and commands have done. */
import { NethooksError } from '../../errors.ts';
import { listAttachments } from '../../host/attachments.ts';
import type { EventRecord } from '../../model/event.ts';
import { printable } from '../../system/log.ts';
import { LogFollower, readEvents } from '../../system/log-reader.ts';
import type { OptionsOf } from './commands.ts';
import { EXIT } from './exit.ts';
import { requireRoot } from './up.ts';

/** How many earlier ones go before those that are waited for, as with tail(1). */
const BEFORE = 10;
const POLL_MS = 250;

export async function logs(id: string | undefined, options: OptionsOf<'logs'>): Promise<number> {
  requireRoot('logs');
  const show = options.json ? (one: EventRecord) => [JSON.stringify(one)] : inLines;
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
  const title = [`${at.slice(0, 19)}Z`, id.padEnd(12), `${event} ${about}`.trim()].join('  ');
  const took = ms > 0 ? `${ms} ms` : '';
  const did = changed.length === 0 ? 'nothing changed' : `${changed.length} change${changed.length === 1 ? '' : 's'}`;
  const [why = '', ...more] = (error ?? '').split('\n');
  const outcome = error !== null ? `failed: ${why}` : id === '' ? '' : did;
  const words = [outcome, ...(took === '' ? [] : [took])].filter((word) => word !== '').join(', ');
  return [words === '' ? title : `${title}: ${words}`, ...[...more, ...said].map((line) => `    ${line}`)].map(
    printable,
  );
}

/** All that is known of it. */
function whole({ id, at, event, about, input, plan, changed, said, ms, error }: EventRecord): string[] {
  const left = [...changed];
  const steps = plan.map((line) => {
    const index = left.indexOf(line);
    if (index < 0) return ['not done', line];
    left.splice(index, 1);
    return ['done', line];
  });
  const rows = [
    ['id', id],
    ['event', `${event} ${about}`.trim()],
    ['ended', `${at}, after ${ms} ms`],
    ...(input.words.length === 0 ? [] : [['words', input.words.join(' ')]]),
    ...Object.entries(input.env).map(([name, value]) => ['with', `${name}=${value}`]),
    ...(input.cut ? [['with', '… more than a line holds']] : []),
    ...left.map((line) => ['done', line]),
    ...steps,
    ...said.map((line) => ['said', line]),
    ...(error ?? '').split('\n').flatMap((line) => (line === '' ? [] : [['error', line]])),
  ];
  return rows.map(([title = '', text = '']) => printable(`${title.padEnd(9)} ${text}`));
}
