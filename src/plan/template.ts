import Mustache from 'mustache';
import type { Parsed } from './parsed.ts';

/**
 * Fills a template in: its text, or what was made of that when this was built. Nothing is escaped: what lands in these files is
 * validated configuration, and none of it is HTML.
 *
 * Mustache prints nothing for a name that it does not find. So each template has a type for its view, which a caller with a text has
 * to name, `fill<View>(…)`; test/unit/templates.test.ts compares these types with the names in templates/.
 */
export function fill<View extends object = never>(template: string | Parsed<View>, view: NoInfer<View>): string {
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
