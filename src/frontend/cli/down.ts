/** `nethooks down`: from the record of what was applied, whatever the configuration says by now. */
import { endDeadLeases } from '../../attachment/leases.ts';
import { NethooksError } from '../../errors.ts';
import { changeHost, planChange } from '../../host/change.ts';
import type { HostRecord } from '../../model/host-record.ts';
import type { HostSpec } from '../../plan/host/host.ts';
import { readHostRecord } from '../../store/host-record.ts';
import { execUntil } from '../../system/exec.ts';
import type { OptionsOf } from './commands.ts';
import { EXIT } from './exit.ts';
import { printPlan, warn } from './output.ts';
import { requireRoot } from './up.ts';

/** @param names networks to take down; none means all */
export async function down(names: string[], options: OptionsOf<'down'>): Promise<number> {
  requireRoot('down');
  const known = readHostRecord().networks.map((network) => network.name);
  const unknown = names.filter((name) => !known.includes(name));
  if (unknown.length > 0)
    throw new NethooksError(`no network ${unknown.join(', ')} is up; up: ${known.join(', ') || 'none'}`, EXIT.usage);
  const change = { spec: (record: HostRecord) => without(record, names), files: options.files ?? false };
  const exec = execUntil(performance.now() + 60_000);
  if (options.dryRun) printPlan((await planChange(exec, change)).plan, options.json ? 'json' : 'todo');
  else {
    const how = { exec, log: warn, wait: true };
    const plan = await changeHost(how, change, 30);
    await endDeadLeases(how);
    printPlan(plan, options.json ? 'json' : 'done');
  }
  return EXIT.ok;
}

function without({ host, networks }: HostRecord, names: string[]): HostSpec {
  const staying = names.length === 0 ? [] : networks.filter((network) => !names.includes(network.name));
  // default.conf is left as it is: it follows the configuration, and `--files` takes it out.
  return { host, networks: staying, hooks: null };
}
