/** `nethooks gc`. */
import { allStores, collect, findGarbage, type Garbage } from '../../attachment/gc.ts';
import { NethooksError } from '../../errors.ts';
import { attachmentId, showOwner } from '../../model/attachment.ts';
import { elementsOf } from '../../model/policy.ts';
import { showHostPort } from '../../plan/attachment/publish.ts';
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
    const garbage = findGarbage({ exec }, stores);
    const failures = dryRun ? [] : await collect({ exec, log: warn, wait: true }, garbage, giveElsewhere);
    if (json) console.log(JSON.stringify(garbage, null, 2));
    else print(garbage);
    if (failures.length > 0) throw new NethooksError(failures.join('\n'));
  } finally {
    release();
  }
  return EXIT.ok;
}

function print({ dead, vanished, ports, entries, files, links, elements, addresses }: Garbage): void {
  const named = new Set(dead.map(({ owner }) => attachmentId(owner)));
  const lines = [
    ...dead.flatMap(({ owner, interfaces, policy, state }) => {
      const who = showOwner(attachmentId(owner));
      const what = state === 'attached' ? 'is no more' : 'was left half-way';
      const held = interfaces.flatMap((one) => one.addresses.map((address) => address.split('/')[0]));
      return [
        `${who} ${what}: its names, ${held.join(', ') || 'no address'}`,
        ...listElements(elementsOf(...(policy ? [policy] : []))).map((line) => `${who}: ${line}`),
      ];
    }),
    ...ports
      .filter(({ container }) => !named.has(container))
      .map((port) => `${showOwner(port.container)}: host port ${showHostPort(port)}/${port.protocol}`),
    ...entries
      .filter(({ holder }) => holder === null || !named.has(holder))
      .map(({ register, key, holder }) => `${holder === null ? 'nobody' : showOwner(holder)}: ${key} in ${register}`),
    ...links.map(({ parent, child }) => `${parent}: its link to ${child}`),
    ...vanished.map(
      ({ container, addresses: held }) => `${container} is no more: ${held.join(', ') || 'what it kept'}`,
    ),
    ...addresses.map(({ store, address, holder }) => `${holder.id} holds ${address} of ${store.network} for nobody`),
  ];
  // What belongs to something that is named already goes with that.
  const rest = [...(lines.length > 0 ? [] : files), ...(dead.length > 0 ? [] : listElements(elements))];
  for (const line of [...lines, ...rest]) console.log(line);
  if (lines.length + rest.length === 0) console.log('nothing is left behind');
}

const listElements = (elements: Garbage['elements']): string[] =>
  Object.entries(elements).flatMap(([set, list]) => list.map((element) => `${set} ${element}`));
