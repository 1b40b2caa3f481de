/** Runs a schema over a section of a file: every problem at once, each with what is allowed. */
import * as v from 'valibot';

/** One thing wrong: `section` and `key` as the file has them, `value` as given. */
export interface Fault {
  section: string;
  key?: string;
  value?: unknown;
  message: string;
}

type Schema = v.StrictObjectSchema<v.ObjectEntries, undefined>;

/** The section's values; with a fault in any of them nothing but the faults. */
export function checked<S extends Schema>(
  section: string,
  data: unknown,
  schema: S,
  faults: Fault[],
): v.InferOutput<S> | undefined {
  if (!isRecord(data)) {
    faults.push({ section, value: data, message: 'not a section with keys' });
    return undefined;
  }
  const result = v.safeParse(schema, data);
  if (result.success) return result.output;
  for (const issue of result.issues) {
    const key = String(issue.path?.[0]?.key ?? '');
    const unknown = issue.type === 'strict_object' && issue.expected === 'never';
    const missing = issue.type === 'strict_object' && !unknown;
    const allowed = Object.keys(schema.entries).join(', ');
    faults.push({
      section,
      key,
      ...(missing ? {} : { value: data[key] }),
      message: unknown ? `unknown key; allowed: ${allowed}` : missing ? 'missing' : issue.message,
    });
  }
  return undefined;
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
