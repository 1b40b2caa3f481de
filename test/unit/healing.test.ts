import { describe, expect, it } from 'vitest';
import { type Healing, hasHeld, healingText, nextRepair, repaired } from '../../src/model/healing.ts';

const lost = { what: 'nft: add table inet nethooks', error: null };
/** A row of repairs, each as early as it may be. */
const rowOf = (count: number): Healing => {
  let row = repaired(null, lost, 1000);
  while (row.count < count) row = repaired(row, lost, nextRepair(row));
  return row;
};
const waits = (count: number): number => nextRepair(rowOf(count)) - rowOf(count).at;

describe('repairs that do not hold', () => {
  it('the first follow at once, then waits double up to an hour', () => {
    expect([1, 4, 5, 6, 7, 11, 30].map(waits)).toEqual([0, 0, 60, 120, 240, 3600, 3600]);
  });

  it('what is there two minutes later has held', () => {
    expect([60, 120].map((seconds) => hasHeld(rowOf(3), rowOf(3).at + seconds))).toEqual([false, true]);
  });

  it('are said from the second on, failures from the first', () => {
    const text = (row: Healing) => healingText(row, row.at);
    expect(text(rowOf(1))).toBeNull();
    expect(text(rowOf(2))).toBe(
      'repaired 2 times in a row, as somebody else takes it away again: nft: add table inet nethooks',
    );
    expect(text(rowOf(6))).toMatch(/repaired 6 times .*; the next try is in 2 min$/);
    expect(text(repaired(null, { ...lost, error: 'nft is not installed' }, 5))).toBe(
      'could not be repaired (1 in a row): nft: add table inet nethooks: nft is not installed',
    );
  });
});
