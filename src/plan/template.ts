import Mustache from 'mustache';
import type { Parsed } from './parsed.ts';

/**
 * Fills a template in: its text, or what was made of that when this was built. Nothing is escaped: what lands in these files is
 * validated configuration, and none of it is HTML.
 */
export function fill(template: string | Parsed, view: object): string {
  const config = { escape: String };
  if (typeof template === 'string') return Mustache.render(template, view, {}, config);
  // @types/mustache has what `parse` returns right, and here wrong.
  return new Mustache.Writer().renderTokens(
    template as unknown as string[][],
    new Mustache.Context(view),
    {},
    '',
    config,
  );
}
