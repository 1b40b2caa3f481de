/**
 * Runs while the executable is built, as a macro of the bundler (https://bun.com/docs/bundler/macros), and what it returns becomes
 * part of that: to parse a template takes longer than to plan a host. In tests it is a function like any other.
 */
import { readFileSync } from 'node:fs';
import Mustache from 'mustache';

/** What Mustache makes of a template; src/plan/template.ts fills it in. */
export type Parsed = ReturnType<typeof Mustache.parse>;

/** @param name in templates/ */
export const parsed = (name: string): Parsed =>
  Mustache.parse(readFileSync(new URL(`../../templates/${name}`, import.meta.url), 'utf8'));
