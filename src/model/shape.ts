/**
 * What a file of ours must look like before anybody relies on it: it may be cut off, edited, or of another version. For the hot path,
 * which loads no library for it.
 */

/** Whether a value parsed from JSON has a shape. */
export type Shape = (value: unknown) => boolean;

export const text: Shape = (value) => typeof value === 'string';
export const number: Shape = (value) => typeof value === 'number' && Number.isFinite(value);
export const boolean: Shape = (value) => typeof value === 'boolean';

export const word =
  (...allowed: readonly unknown[]): Shape =>
  (value) =>
    allowed.includes(value);

export const either =
  (...shapes: readonly Shape[]): Shape =>
  (value) =>
    shapes.some((shape) => shape(value));

export const orNull = (shape: Shape): Shape => either((value) => value === null, shape);
export const optional = (shape: Shape): Shape => either((value) => value === undefined, shape);

export const listOf =
  (shape: Shape): Shape =>
  (value) =>
    Array.isArray(value) && value.every(shape);

/** An object that has these; others may be there, too. */
export const fields =
  (shapes: Readonly<Record<string, Shape>>): Shape =>
  (value) =>
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    Object.entries(shapes).every(([key, shape]) => shape((value as Record<string, unknown>)[key]));
