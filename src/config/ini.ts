/**
 * The INI reader. Values come from the `ini` package; this scanner adds what it leaves out: the line of every key, and the
 * refusal of lines that it would quietly read as something else.
 */
import { parse } from 'ini';

export interface Problem {
  /** 1-based; 0 when the problem has no line. */
  line: number;
  /** Where in the file: the section and key, or the text of the line. */
  where: string;
  message: string;
}

export interface IniFile {
  data: unknown;
  problems: Problem[];
}

const SECTION = /^\[([^[\]]+)\]\s*(?:[;#].*)?$/;
const ENTRY = /^([A-Za-z0-9_.-]+)(\[\])?\s*=/;

/**
 * Reads INI text. Never throws: what is wrong comes back as problems.
 * @param options top: keys may stand before the first section
 */
export function readIni(text: string, { top = false }: { top?: boolean } = {}): IniFile {
  return { data: parse(text), problems: malformed(text, top) };
}

/**
 * The 1-based line of a key (or of its section's header when the key is absent), 0 when neither is there.
 * @param value of a key that is there several times: where it has that
 */
export function lineOf(text: string, section: string, key?: string, value?: unknown): number {
  let current = '';
  let header = 0;
  let first = 0;
  for (const [index, line] of lines(text)) {
    const name = SECTION.exec(line)?.[1]?.trim();
    if (name !== undefined) {
      current = name;
      if (current === section) header ||= index;
    } else if (current === section && key !== undefined && ENTRY.exec(line)?.[1] === key) {
      first ||= index;
      if ([Object.values(parse(line))[0]].flat()[0] === value) return index;
    }
  }
  return first || header;
}

function malformed(text: string, top: boolean): Problem[] {
  const problems: Problem[] = [];
  const seen = new Set<string>();
  let section = '';
  for (const [line, content] of lines(text)) {
    const once = (id: string, what: string): void => {
      if (seen.has(id)) problems.push({ line, where: content, message: `${what} twice` });
      seen.add(id);
    };
    const header = SECTION.exec(content)?.[1]?.trim();
    const entry = ENTRY.exec(content);
    if (header !== undefined) {
      section = header;
      once(`[${section}]`, `section [${section}] is there`);
    } else if (!entry) {
      problems.push({ line, where: content, message: 'is neither [section] nor key = value' });
    } else if (section === '' && !top) {
      problems.push({ line, where: content, message: 'stands before the first [section]' });
    } else if (!entry[2]) once(`${section}.${entry[1]}`, `key ${entry[1]} is set`);
  }
  return problems;
}

/** The lines that say something, with their 1-based numbers. */
function* lines(text: string): Generator<[number, string]> {
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    const content = line.trim();
    if (content !== '' && !/^[;#]/.test(content)) yield [index + 1, content];
  }
}
