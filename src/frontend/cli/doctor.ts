/** `nethooks doctor`: everything that may keep containers from their network, each with its reason and its remedy. */
import { chmodSync, writeFileSync } from 'node:fs';
import { knownConfig } from '../../config/cache.ts';
import { changeHost, planChange } from '../../host/change.ts';
import { type Finding, showFinding } from '../../model/finding.ts';
import type { Fix, Found } from '../../plan/checks/check.ts';
import { drift } from '../../plan/checks/drift.ts';
import { CHECKS } from '../../plan/checks/index.ts';
import { listRefusals } from '../../store/refusals.ts';
import { execUntil } from '../../system/exec.ts';
import { printable } from '../../system/log.ts';
import { sweepAll } from '../sweep.ts';
import type { OptionsOf } from './commands.ts';
import { gatherCheckFacts } from './doctor-facts.ts';
import { EXIT } from './exit.ts';
import { warn } from './output.ts';
import { changeTo, requireRoot, workingConfig } from './up.ts';

type Diagnosis = Finding & { id: string; why: string; fix?: Fix };

/** Exit status 3 when it finds anything; with `fix`, when anything is left. */
export async function doctor({ json, fix, probe }: OptionsOf<'doctor'>): Promise<number> {
  requireRoot('doctor');
  const found = await examine(probe === true);
  const fixes = fix ? found.flatMap((one) => one.fix ?? []) : [];
  if (fixes.length > 0) await mend(fixes);
  const left = fixes.length > 0 ? await examine(probe === true) : found;
  const mended = found.filter((one) => !left.some(({ about, text }) => about === one.about && text === one.text));
  if (json) console.log(JSON.stringify({ mended, findings: left }, null, 2));
  else {
    for (const one of mended) console.log(`mended   ${one.id.padEnd(20)} ${line(one)}`);
    print(left);
  }
  return left.length > 0 ? EXIT.drift : EXIT.ok;
}

async function examine(probing: boolean): Promise<Diagnosis[]> {
  const exec = execUntil(performance.now() + 60_000);
  const { config, mistake } = await knownConfig();
  const { plan, facts: host } = await planChange(exec, changeTo(config));
  const facts = await gatherCheckFacts(exec, config.networks, host);
  const diagnosis = (one: Found, id: string, why: string): Diagnosis => ({ about: 'host', ...one, id, why });
  const probed = probing ? await (await import('./probe.ts')).probe(exec, config.networks, host) : [];
  return [
    ...[...(mistake ?? '').split('\n'), ...plan.refusals]
      .filter((text) => text !== '')
      .map((text) => diagnosis({ severity: 'mistake', text, remedy: null }, 'configuration', WHY_MISTAKE)),
    ...drift(plan).map((one) => diagnosis(one, one.id, one.why)),
    ...CHECKS.flatMap((check) => check.find(facts).map((one) => diagnosis(one, check.id, check.why))),
    ...probed.map((one) => diagnosis(one, one.id, one.why)),
    ...[...listRefusals()].map(([name, { reason }]) =>
      diagnosis(
        { severity: 'warning', about: name, text: `its last start was refused: ${reason}`, remedy: null },
        'refused',
        WHY_REFUSED,
      ),
    ),
  ];
}

const WHY_MISTAKE = 'what the file says is not in force: the last good configuration is';
const WHY_REFUSED = 'the container does not run';

/** Each thing once, however much it mends; `up` looks at what those before it have done. */
async function mend(fixes: readonly Fix[]): Promise<void> {
  for (const fix of fixes) {
    if (fix.kind === 'sysctl') writeFileSync(`/proc/sys/${fix.key}`, fix.value);
    if (fix.kind === 'mode') chmodSync(fix.path, fix.mode);
  }
  const how = { exec: execUntil(performance.now() + 60_000), log: warn, wait: true };
  if (fixes.some(({ kind }) => kind === 'up')) await changeHost(how, changeTo(await workingConfig()), WAIT_SECONDS);
  if (fixes.some(({ kind }) => kind === 'gc' || kind === 'up')) await sweepAll(how);
}

/** How long it waits for another nethooks. */
const WAIT_SECONDS = 30;

const line = (one: Finding): string => printable(showFinding(one));

function print(found: readonly Diagnosis[]): void {
  for (const one of found) {
    console.log(`${one.severity.padEnd(8)} ${one.id.padEnd(20)} ${line(one)}`);
    console.log(`${' '.repeat(9)}why: ${one.why}`);
    if (one.remedy !== null) console.log(`${' '.repeat(9)}mend: ${printable(one.remedy)}`);
  }
  if (found.length === 0) console.log('nothing is wrong');
}
