/**
 * Runs while the executable is built, as a macro of the bundler (https://bun.com/docs/bundler/macros), and what it returns becomes
 * part of that: to parse a template takes longer than to plan a host. In tests it is a function like any other.
 */
import { readFileSync } from 'node:fs';
import Mustache from 'mustache';

/** What Mustache makes of a template; src/plan/template.ts fills it in. */
export type Parsed<View> = ReturnType<typeof Mustache.parse> & {
  /** For the type checker only: what the template is filled in with. */
  readonly view?: (view: View) => void;
};

/** @param name in templates/ */
export const parsed = <View>(name: string): Parsed<View> =>
  Mustache.parse(readFileSync(new URL(`../../templates/${name}`, import.meta.url), 'utf8'));
