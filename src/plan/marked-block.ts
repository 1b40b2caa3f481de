/**
 * Lines of ours in a file of somebody else's, between two markers, so that they can be changed and taken out again without
 * touching the rest. Works in every format whose comments begin with `#`.
 */
import { NethooksError } from '../errors.ts';

const BEGIN = '# nethooks begin';
const END = '# nethooks end';

/**
 * The text with the block in it: in the place where it already is, else at the top or at the bottom. A text without a final
 * newline gets none: then the block ends without one, which is how withoutBlock knows.
 * @throws NethooksError when the text has a damaged block
 */
export function withBlock(text: string, lines: readonly string[], position: 'top' | 'bottom' = 'bottom'): string {
  for (const line of lines) {
    if (/[\r\n]/.test(line) || isMarkerLine(line)) throw new TypeError(`not a line of a block: ${line}`);
  }
  const block = [BEGIN, ...lines, END].join('\n');
  const found = findBlock(text);
  if (found) return text.slice(0, found.begin) + block + text.slice(found.end);
  if (position === 'top' || text === '') return `${block}\n${text}`;
  return text.endsWith('\n') ? `${text}${block}\n` : `${text}\n${block}`;
}

/**
 * The text without the block, byte for byte as withBlock was given it; a text that has none comes back as it is.
 * @throws NethooksError when the text has a damaged block
 */
export function withoutBlock(text: string): string {
  const found = findBlock(text);
  if (!found) return text;
  const before = text.slice(0, found.begin);
  const after = text.slice(found.end);
  // The newline after the block is the block's; if there is none, the one before it is.
  return after === '' ? before.replace(/\n$/, '') : before + after.replace(/^\n/, '');
}

/** Where the block is, from its first character to the one after its end marker; null when there is none. */
function findBlock(text: string): { begin: number; end: number } | null {
  let offset = 0;
  const begins: number[] = [];
  const ends: number[] = [];
  for (const line of text.split('\n')) {
    if (isMarker(line, BEGIN)) begins.push(offset);
    if (isMarker(line, END)) ends.push(offset + line.length);
    offset += line.length + 1;
  }
  const [begin, end] = [begins[0], ends[0]];
  if (begin === undefined && end === undefined) return null;
  if (begin === undefined || end === undefined || begins.length > 1 || ends.length > 1 || end < begin) {
    throw new NethooksError(
      `found ${begins.length} line(s) "${BEGIN}" and ${ends.length} line(s) "${END}", expected one of each in this order; ` +
        'nothing was changed: please remove them by hand, and what nethooks wrote between them',
    );
  }
  return { begin, end };
}

/** Whether a line is one of our markers. */
export const isMarkerLine = (line: string): boolean => isMarker(line, BEGIN) || isMarker(line, END);

/** An editor may have left white space or a carriage return behind the marker. */
function isMarker(line: string, marker: string): boolean {
  return line.trimEnd() === marker;
}
