/** `nethooks gc`. */
import { allStores, findGarbage, findingsOf } from '../../attachment/garbage.ts';
import { collect } from '../../attachment/gc.ts';
import { NethooksError } from '../../errors.ts';
import { type Finding, showFinding } from '../../model/finding.ts';
import { readHostRecord } from '../../store/host-record.ts';
import { execUntil } from '../../system/exec.ts';
import { lockHost } from '../../system/lock.ts';
import { giveElsewhere } from '../cni/elsewhere.ts';
import type { OptionsOf } from './commands.ts';
import { EXIT } from './exit.ts';
import { warn } from './output.ts';
import { requireRoot } from './up.ts';

/**
 * Takes back what containers left that were killed, and says what.
 * @throws NethooksError with everything that could not be taken back, after all the rest has been
 */
export async function gc({ dryRun, json, hostLocal }: OptionsOf<'gc'>): Promise<number> {
  requireRoot('gc');
  const exec = execUntil(performance.now() + 60_000);
  const release = dryRun ? () => undefined : await lockHost(exec, 30);
  try {
    const stores = hostLocal ? allStores() : readHostRecord().networks.map(({ name }) => name);
    const garbage = findGarbage({ exec }, { stores, table: true });
    const failures = dryRun ? [] : await collect({ exec, log: warn, wait: true }, garbage, giveElsewhere);
    if (json) console.log(JSON.stringify(garbage, null, 2));
    else print(findingsOf(garbage));
    if (failures.length > 0) throw new NethooksError(failures.join('\n'));
  } finally {
    release();
  }
  return EXIT.ok;
}

function print(findings: Finding[]): void {
  for (const finding of findings) console.log(showFinding(finding));
  if (findings.length === 0) console.log('nothing is left behind');
}
