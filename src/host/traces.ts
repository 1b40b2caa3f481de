/** What is still known of networks whose configuration is gone: what is up, records, held addresses. */

import type { Interface } from '../model/attachment.ts';
import type { LinkFact } from '../model/facts.ts';
import { isSafeName } from '../model/names.ts';
import { ALIAS } from '../plan/host/bridge.ts';
import type { Trace } from '../plan/host/former-networks.ts';
import { DEFAULT_DATA_DIR, listAddresses, storeOf } from '../store/addresses.ts';
import { readHostRecord } from '../store/host-record.ts';
import { listKept, readKept, recordsWhere } from '../store/records.ts';
import { filesIn } from '../system/files.ts';

/**
 * Those that say most first.
 * @param named bridges that containers with our hooks name
 */
export function readTraces(links: readonly LinkFact[], named: readonly string[]): Trace[] {
  return [
    ...links
      .filter(({ alias }) => alias === ALIAS)
      .map(({ name, addresses }) => ({ network: name, address: addresses[0] ?? null, held: [] })),
    ...readHostRecord().networks.map(({ name, address, prefix }) => ({
      network: name,
      address: `${address}/${prefix}`,
      held: [],
    })),
    ...[
      ...recordsWhere(({ kind }) => kind === 'lxc').flatMap(({ interfaces }) => interfaces),
      ...listKept().flatMap((name) => readKept(name).interfaces),
    ].flatMap(traceOf),
    ...filesIn(DEFAULT_DATA_DIR).filter(isSafeName).flatMap(storeTrace),
    ...named.map((network) => ({ network, address: null, held: [] })),
  ];
}

/** A container's gateway is its bridge's address, unless somebody has chosen another; with its own prefix length. */
function traceOf({ network, addresses, gateways }: Interface): Trace[] {
  if (network === null) return [];
  const [, prefix] = addresses[0]?.split('/') ?? [];
  const gateway = gateways[0];
  return [{ network, address: gateway && prefix && prefix !== '32' ? `${gateway}/${prefix}` : null, held: addresses }];
}

/** A network of somebody else's has no container of LXC's in its store. */
function storeTrace(name: string): Trace[] {
  const held = listAddresses(storeOf(name)).filter(({ holder }) => holder.id.startsWith('lxc-'));
  return held.length === 0 ? [] : [{ network: name, address: null, held: held.map(({ address }) => address) }];
}
