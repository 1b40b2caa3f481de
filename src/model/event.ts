/**
 * What a hook, a CNI verb or a command leaves behind: one line of JSON in the log. Names in it are hostile, and a line is written with
 * one write(2), so it is bounded. Pure text to data and back.
 */

export interface EventRecord {
  /** Unique on this host. */
  id: string;
  /** When it came to its end; ISO 8601. */
  at: string;
  /** `start-host`, `if-up`, `cni ADD`, `up`. */
  event: string;
  /** Whom it was about: a container, an interface, an address; empty for the host. */
  about: string;
  input: EventInput;
  /** What is otherwise than before: the steps of the plan, and what was taken from registers. */
  changed: string[];
  /** Of the plan, what was not done or was taken back, because something failed. */
  undone: string[];
  /** Worth knowing, nothing wrong. */
  said: string[];
  /** From the start of the process on. */
  ms: number;
  /** Why it failed; null when it did not. */
  error: string | null;
}

/** What it was called with: never a whole environment. */
export interface EventInput {
  words: string[];
  env: Record<string, string>;
  /** There was more of it than a line holds. */
  cut?: true;
}

/** Bytes of a line with its end: what one write(2) puts into a pipe whole, too (PIPE_BUF). */
export const MAX_LINE = 4096;

/** How much of each text, of each list and of the input: as much as a line holds. */
const SIZES = [
  { text: 1000, list: 40, input: 4000 },
  { text: 400, list: 12, input: 4000 },
  { text: 200, list: 6, input: 1500 },
  { text: 80, list: 4, input: 200 },
  { text: 40, list: 2, input: 40 },
  { text: 30, list: 1, input: 0 },
] as const;

/** The record as a line, with its end, of at most MAX_LINE bytes. */
export function renderEvent(record: EventRecord): string {
  let line = '';
  for (const size of SIZES) {
    line = `${asJson(clipped(record, size))}\n`;
    if (Buffer.byteLength(line) <= MAX_LINE) break;
  }
  return line;
}

/** Also escaped is what JSON.stringify leaves as it is though a terminal acts on it: controls above ASCII, marks that turn text around. */
export const asJson = (record: EventRecord): string =>
  JSON.stringify(record).replace(
    /[\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );

function clipped(record: EventRecord, { text, list, input }: (typeof SIZES)[number]): EventRecord {
  const brief = (value: string): string => (value.length > text ? `${value.slice(0, text)}…` : value);
  const few = (values: readonly string[]): string[] =>
    values.length > list ? [...values.slice(0, list).map(brief), `… ${values.length - list} more`] : values.map(brief);
  const { id, at, event, about, changed, undone, said, ms, error } = record;
  return {
    id,
    at,
    event: brief(event),
    about: brief(about),
    input: inputUpTo(record.input, input),
    changed: few(changed),
    undone: few(undone),
    said: few(said),
    ms,
    error: error === null ? null : brief(error),
  };
}

/** As much of it as fits: half of a value would be another one. */
function inputUpTo({ words, env }: EventInput, most: number): EventInput {
  let left = most;
  const fits = (value: string): boolean => {
    left -= value.length;
    return left >= 0;
  };
  const some = words.filter(fits);
  const pairs = Object.entries(env).filter(([, value]) => fits(value));
  return { words: some, env: Object.fromEntries(pairs), ...(left < 0 ? { cut: true } : {}) };
}

/** Every event that a text of the log tells of, in its order; what is none is left out. */
export const parseEvents = (text: string): EventRecord[] => text.split('\n').flatMap((line) => parseEvent(line) ?? []);

/** @param line of ours, one that a shim of ours wrote (hooks/), or one of an earlier version */
export function parseEvent(line: string): EventRecord | null {
  // A disk that was full may have cut the line before this one off, with its end.
  const json = line.slice(Math.max(0, line.lastIndexOf('{"id":"')));
  if (json.startsWith('{')) return readJson(json);
  const [, at, title = '', said = ''] = /^(\d{4}-\d\d-\d\dT[\d:.]+Z) (.*?): (.*)$/.exec(line) ?? [];
  if (at === undefined) return null;
  const [event = '', ...about] = title.startsWith('cni ') ? title.split(/ (?=\S* \S* ?\S*$)/) : title.split(' ');
  const ended = /^ended, as it /.test(said);
  return {
    ...NOTHING,
    at,
    event,
    about: about.join(' '),
    said: ended ? [] : [said],
    error: ended ? said : null,
  };
}

const NOTHING: EventRecord = {
  id: '',
  at: '',
  event: '',
  about: '',
  input: { words: [], env: {} },
  changed: [],
  undone: [],
  said: [],
  ms: 0,
  error: null,
};

function readJson(json: string): EventRecord | null {
  try {
    const found = JSON.parse(json) as EventRecord;
    if (typeof found.at !== 'string' || typeof found.event !== 'string') return null;
    return { ...NOTHING, ...found, input: { ...NOTHING.input, ...found.input } };
  } catch {
    return null;
  }
}
