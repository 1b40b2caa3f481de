/** `nethooks gc`. */
import { collect, findGarbage, type Garbage } from '../../attachment/gc.ts';
import { NethooksError } from '../../errors.ts';
import { elementsOf } from '../../model/policy.ts';
import { showHostPort } from '../../plan/attachment/publish.ts';
import { DEFAULT_DATA_DIR } from '../../store/address-store.ts';
import { readRecord } from '../../store/host-record.ts';
import { execUntil } from '../../system/exec.ts';
import { filesIn } from '../../system/files.ts';
import { lockHost } from '../../system/lock.ts';
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
    const networks = hostLocal ? filesIn(DEFAULT_DATA_DIR) : readRecord().networks.map(({ name }) => name);
    const garbage = findGarbage(networks);
    const failures = dryRun ? [] : collect(exec, garbage, warn);
    if (json) console.log(JSON.stringify(garbage, null, 2));
    else print(garbage);
    if (failures.length > 0) throw new NethooksError(failures.join('\n'));
  } finally {
    release();
  }
  return EXIT.ok;
}

function print({ dead, ports, parents, vanished, attachments, stale }: Garbage): void {
  const lines = [
    ...dead.flatMap(({ name, attachments, policy }) => [
      `${name} runs no more: its names, ${attachments.map(({ address }) => address).join(', ')}`,
      ...Object.entries(elementsOf(...(policy ? [policy] : []))).flatMap(([set, elements]) =>
        elements.map((element) => `${name}: ${set} ${element}`),
      ),
    ]),
    ...ports.map((port) => `${port.container}: host port ${showHostPort(port)}/${port.protocol}`),
    ...parents.map((parent) => `${parent}: its links`),
    ...vanished.map(({ container, addresses }) => `${container} is no more: ${addresses.join(', ') || 'what it kept'}`),
    ...attachments.map(({ network, id, ifname, netns }) => `${id} ${ifname} on ${network}: ${netns} has gone`),
    ...stale.map(
      ({ store, address, holder }) => `${holder.id} held ${address} of ${store.network} before the last boot`,
    ),
  ];
  for (const line of lines) console.log(line);
  if (lines.length === 0) console.log('nothing is left behind');
}
