/**
 * What this process is about, from its first look to its end: one process is one event, which leaves one line in the log. Nobody passes it
 * on, so that whatever is changed anywhere is in it.
 */
import { type EventInput, type EventRecord, renderEvent } from '../model/event.ts';
import { headlines, type Step } from '../model/step.ts';
import { appendLog } from './log.ts';

/** What is done and may be taken back: a step of a plan, or what a word says. */
export type Change = Step | { what: string };

/** What is worth a line: everything, what has changed or said something or failed, or what had something to say. */
export type Worth = 'always' | 'changes' | 'remarks';

interface Current extends Pick<EventRecord, 'event' | 'about'> {
  input: EventInput;
  worth: Worth;
  planned: Step[];
  changed: Set<Change>;
  said: string[];
}

/** Unique on a host: no process has another's pid in the same millisecond. */
const newId = (): string => `${Date.now().toString(36)}-${process.pid.toString(36)}`;

let current: Current | null = null;

export function beginEvent(event: string, about: string, input: EventInput, worth: Worth): void {
  current = { event, about, input, worth, planned: [], changed: new Set(), said: [] };
}

/** Something that whoever reads the log is to know. Without an event, as in a program that is none, it is said nowhere. */
export function note(line: string): void {
  current?.said.push(line);
}

/** A step is to be carried out. */
export function planned(step: Step): void {
  current?.planned.push(step);
}

/** Something is otherwise than before. */
export function changed(change: Change): void {
  current?.changed.add(change);
}

/** And now it is as before. */
export function takenBack(change: Change): void {
  current?.changed.delete(change);
}

/**
 * Leaves the line. An event ends once.
 * @returns the id by which it is found; null where there was nothing to tell
 */
export function endEvent(error: string | null): string | null {
  const ended = current;
  current = null;
  if (ended === null) return null;
  const { event, about, input, worth, said } = ended;
  const changes = [...ended.changed].flatMap(inWords);
  const undone = ended.planned.filter((step) => !ended.changed.has(step)).flatMap(inWords);
  const isWorthIt = { always: true, changes: error !== null || changes.length > 0, remarks: false }[worth];
  if (!isWorthIt && said.length === 0) return null;
  const id = newId();
  const at = new Date().toISOString();
  const ms = Math.round(performance.now());
  appendLog(renderEvent({ id, at, event, about, input, changed: changes, undone, said, ms, error }));
  return id;
}

const inWords = (change: Change): string[] => ('what' in change ? [change.what] : headlines(change));
