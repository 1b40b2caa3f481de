/**
 * Repairs that do not hold: somebody else takes away what the checks bring back. The first few follow at once; then the checks wait
 * longer and longer, as a host on which two programs fight is worse off than one where something is missing. Pure.
 */

/** Repairs in a row. Times are seconds since boot. */
export interface Healing {
  count: number;
  /** When the last one was. */
  at: number;
  /** What it was about, in one line. */
  what: string;
  /** Why it failed; null where it did not. */
  error: string | null;
}

/** This many follow one another without a wait. */
const AT_ONCE = 5;
const LONGEST_S = 3600;
/** What is there for so long was not taken away: the next repair is the first of another row. */
const HELD_S = 120;

/** When a check may repair again. */
export const nextRepair = ({ count, at }: Healing): number =>
  count < AT_ONCE ? at : at + Math.min(LONGEST_S, 60 * 2 ** (count - AT_ONCE));

/** Whether what was repaired last has held, by the time of a check that found nothing missing. */
export const hasHeld = (healing: Healing, now: number): boolean => now - healing.at >= HELD_S;

/** A row with one more repair. */
export const repaired = (row: Healing | null, repair: Pick<Healing, 'what' | 'error'>, now: number): Healing => ({
  ...repair,
  count: (row?.count ?? 0) + 1,
  at: now,
});

/** The row in words; null for a single repair, which is nobody's concern. */
export function healingText(row: Healing, now: number): string | null {
  const { count, what, error } = row;
  if (error === null && count < 2) return null;
  const wait = Math.ceil((nextRepair(row) - now) / 60);
  const next = wait > 0 ? `; the next try is in ${wait} min` : '';
  return error === null
    ? `repaired ${count} times in a row, as somebody else takes it away again: ${what}${next}`
    : `could not be repaired (${count} in a row): ${what}: ${error}${next}`;
}
