/** Fields of JSON objects that somebody else wrote. Pure. */
import { CniError, CODE } from './error.ts';

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A string; null when there is none, or an empty one. Throws CniError (config) for anything else. */
export function text(holder: Record<string, unknown>, key: string): string | null {
  const value = holder[key];
  if (value === undefined || value === null || value === '') return null;
  if (typeof value === 'string') return value;
  throw wrong(key, value, 'a string');
}

/** Throws CniError (config) for anything but a list of strings; none is an empty one. */
export function strings(holder: Record<string, unknown>, key: string): string[] {
  const value = holder[key] ?? [];
  if (Array.isArray(value) && value.every((entry) => typeof entry === 'string')) return value;
  throw wrong(key, value, 'a list of strings');
}

export const wrong = (key: string, value: unknown, allowed: string): CniError =>
  new CniError(CODE.config, `${key}: ${JSON.stringify(value)?.slice(0, 200)}: allowed: ${allowed}`);
