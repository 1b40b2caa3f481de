import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NethooksError } from '../../src/errors.ts';
import { withBlock, withoutBlock } from '../../src/plan/marked-block.ts';

const lines = ['nameserver 10.0.0.1', 'search lxc'];
const BEGIN = '# nethooks begin';
const END = '# nethooks end';

const place = fc.constantFrom('top' as const, 'bottom' as const);
const line = fc.string().map((text) => text.replace(/[\r\n]/g, ' '));
/** Texts with many short lines, with and without a final newline, also empty ones and ones with CRLF. */
const text = fc
  .array(fc.constantFrom('', 'a', ' ', '\n', '\n\n', '\r\n', '#', '# nethooks', 'begin', 'nameserver 1.1.1.1\n'))
  .map((parts) => parts.join(''));
const anyText = fc.oneof(text, fc.string({ unit: 'binary' }));
const hasMarker = (candidate: string) => /^# nethooks (begin|end)\s*$/m.test(candidate);
const unmarked = anyText.filter((candidate) => !hasMarker(candidate));

/** The text, or that it was refused. */
function attempt(change: () => string): string | symbol {
  try {
    return change();
  } catch (error) {
    expect(error).toBeInstanceOf(NethooksError);
    return Symbol.for('refused');
  }
}

describe('a block', () => {
  it('goes to the bottom, or to the top', () => {
    expect(withBlock('a\n', lines)).toBe(`a\n${BEGIN}\nnameserver 10.0.0.1\nsearch lxc\n${END}\n`);
    expect(withBlock('a\n', ['b'], 'top')).toBe(`${BEGIN}\nb\n${END}\na\n`);
    expect(withBlock('a', ['b'])).toBe(`a\n${BEGIN}\nb\n${END}`);
    expect(withBlock('', ['b'])).toBe(`${BEGIN}\nb\n${END}\n`);
    expect(withBlock('', [])).toBe(`${BEGIN}\n${END}\n`);
  });

  it('comes out again and leaves every text as it was', () => {
    fc.assert(
      fc.property(unmarked, fc.array(line), place, (before, block, position) => {
        expect(withoutBlock(withBlock(before, block, position))).toBe(before);
      }),
      { numRuns: 5000 },
    );
  });

  it('that was there comes out as if it had not been replaced', () => {
    const marked = fc.tuple(anyText, anyText, anyText).map(([a, b, c]) => [a, BEGIN, b, END, c].join('\n'));
    fc.assert(
      fc.property(marked, fc.array(line), place, (before, block, position) => {
        expect(attempt(() => withoutBlock(withBlock(before, block, position)))).toBe(
          attempt(() => withoutBlock(before)),
        );
      }),
    );
  });

  it('changes nothing the second time', () => {
    fc.assert(
      fc.property(unmarked, fc.array(line), place, place, (before, block, position, other) => {
        const once = withBlock(before, block, position);
        expect(withBlock(once, block, other)).toBe(once);
      }),
    );
  });

  it('is replaced where it is, and everything around it stays', () => {
    fc.assert(
      fc.property(text, text, fc.array(line), fc.array(line), (above, below, old, fresh) => {
        fc.pre(!hasMarker(above) && !hasMarker(below));
        const start = above === '' || above.endsWith('\n') ? above : `${above}\n`;
        const block = (content: string[]) => [BEGIN, ...content, END, ''].join('\n');
        expect(withBlock(start + block(old) + below, fresh)).toBe(start + block(fresh) + below);
        if (below !== '') expect(withoutBlock(start + block(old) + below)).toBe(start + below);
      }),
    );
  });

  it('is found after an editor has changed the white space', () => {
    expect(withoutBlock(`a\r\n${BEGIN}\r\nb\r\n${END}\r\nc\r\n`)).toBe('a\r\nc\r\n');
    expect(withoutBlock(`a\n${BEGIN}  \nb\n${END}\t\nc`)).toBe('a\nc');
    expect(withoutBlock(`a\n${BEGIN}\nb\n${END}\n`)).toBe('a\n');
  });

  it('that is not there is not taken out', () => {
    expect(withoutBlock('a\nb')).toBe('a\nb');
    expect(withoutBlock(`x ${BEGIN}\n${END}x\n`)).toBe(`x ${BEGIN}\n${END}x\n`);
  });
});

describe('a damaged block', () => {
  it.each([
    [`a\n${BEGIN}\nb\n`],
    [`a\n${END}\nb\n`],
    [`${END}\n${BEGIN}\n`],
    [`${BEGIN}\na\n${BEGIN}\nb\n${END}\n`],
    [`${BEGIN}\na\n${END}\nb\n${END}\n`],
    [`${BEGIN}\na\n${END}\nb\n${BEGIN}\nc\n${END}\n`],
  ])('is refused: %j', (damaged) => {
    expect(() => withBlock(damaged, lines)).toThrow(NethooksError);
    expect(() => withoutBlock(damaged)).toThrow(/nothing was changed/);
  });

  it('is never made', () => {
    for (const bad of ['a\nb', 'a\r', BEGIN, `${END} `]) expect(() => withBlock('', [bad])).toThrow(TypeError);
  });
});
