import Mustache from 'mustache';

/** Parses a template ahead of its use; Mustache keeps the result. */
export function prime(template: string): void {
  Mustache.parse(template);
}

/** Fills a template in. Nothing is escaped: what lands in these files is validated configuration, and none of it is HTML. */
export function fill(template: string, view: object): string {
  return Mustache.render(template, view, {}, { escape: String });
}
