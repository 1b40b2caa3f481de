/** Records: JSON files of ours that may have been cut off by a full disk or a power cut, and must never stop anybody. */
import { renameSync } from 'node:fs';
import type { Shape } from '../model/shape.ts';
import { readText } from './files.ts';

/** What a file holds; `missing`, or `broken` when it is not of the right shape. */
export type Found<T> = { state: 'found'; value: T } | { state: 'missing' } | { state: 'broken' };

/** @param shape what the readers of the value rely on */
export function readJson<T>(path: string, shape: Shape): Found<T> {
  let text: string | null;
  try {
    text = readText(path);
  } catch {
    return { state: 'broken' }; // a directory in its place
  }
  if (text === null) return { state: 'missing' };
  try {
    const value: unknown = JSON.parse(text);
    return shape(value) ? { state: 'found', value: value as T } : { state: 'broken' };
  } catch {
    return { state: 'broken' };
  }
}

/** Moves a broken file out of the way, to `PATH.broken`, where the last one of its kind is kept for who wants to look. */
export function setAside(path: string): void {
  try {
    renameSync(path, `${path}.broken`);
  } catch {
    // Somebody else has just done so.
  }
}
