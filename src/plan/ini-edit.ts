/** Changes single keys of an INI text that people write too: every other line stays as it is. */

/** By this first line a container's file is ours, and goes with its container. */
export const WRITTEN = '; Written by `nethooks configure`; goes with the container unless this line is taken out.';

/** What a key is to be: one value, a list (`key[] = …` lines), or null for gone. */
export type KeyValue = string | readonly string[] | null;

/**
 * @param section empty for the top, before the first section
 */
export function setKey(text: string, section: string, key: string, value: KeyValue): string {
  const lines = text === '' ? [] : text.replace(/\n$/, '').split('\n');
  const { from, to } = bounds(lines, section);
  const wanted = linesOf(key, value);
  if (from === null) {
    if (wanted.length === 0) return text;
    const gap = lines.length > 0 ? [''] : [];
    return join([...lines, ...gap, `[${section}]`, ...wanted]);
  }
  const isKey = (line: string): boolean => keyOf(line) === key;
  const inside = lines.slice(from, to);
  const present = inside.filter(isKey);
  if (present.map(strip).join('\n') === wanted.map(strip).join('\n')) return text;
  const place = inside.findIndex(isKey);
  const rest = inside.filter((line) => !isKey(line));
  const at = place < 0 ? trimmedLength(rest) : place;
  return join([...lines.slice(0, from), ...rest.slice(0, at), ...wanted, ...rest.slice(at), ...lines.slice(to)]);
}

/** Whether a text says nothing: no key in it. */
export const isEmptyIni = (text: string): boolean => !text.split('\n').some((line) => keyOf(line) !== null);

function linesOf(key: string, value: KeyValue): string[] {
  if (value === null) return [];
  return typeof value === 'string' ? [`${key} = ${value}`] : value.map((one) => `${key}[] = ${one}`);
}

/** The lines of a section, without its header; `from` is null when there is no such section. */
function bounds(lines: string[], section: string): { from: number | null; to: number } {
  const header = (line: string): string | undefined => /^\s*\[([^[\]]+)\]/.exec(line)?.[1]?.trim();
  const start = section === '' ? -1 : lines.findIndex((line) => header(line) === section);
  if (start < 0 && section !== '') return { from: null, to: lines.length };
  const next = lines.findIndex((line, index) => index > start && header(line) !== undefined);
  return { from: start + 1, to: next < 0 ? lines.length : next };
}

const keyOf = (line: string): string | null => /^\s*([A-Za-z0-9_.-]+)(?:\[\])?\s*=/.exec(line)?.[1] ?? null;

/** Without spaces: how people align their lines is no difference. */
const strip = (line: string): string => line.replace(/\s+/g, '');

/** The number of lines without empty ones at the end: a new key stands below the last that says something. */
function trimmedLength(lines: string[]): number {
  let length = lines.length;
  while (length > 0 && lines[length - 1]?.trim() === '') length--;
  return length;
}

const join = (lines: string[]): string => (lines.length === 0 ? '' : `${lines.join('\n')}\n`);
