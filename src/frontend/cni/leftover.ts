/**
 * What a DEL without a record takes back: after an ADD that was refused, after a reboot. The configuration may be as wrong as it was
 * for that ADD, so only what says where something may be held is read, and nothing is an error. Pure.
 */

import type { AddressStore } from '../../model/attachment.ts';
import { isSafeName } from '../../model/names.ts';
import { DEFAULT_DATA_DIR } from '../../store/addresses.ts';
import { type Kind, kindIfClear } from './conf.ts';
import { isRecord } from './result.ts';

export interface Leftover {
  /** Null when the configuration does not say what the interface would be. */
  kind: Kind | null;
  /** Where addresses may be held; null when another plugin would hold them, or nobody. */
  store: AddressStore | null;
  /** The plugin that may hold addresses; its name may be anything. */
  plugin: string | null;
}

/** @param name the CNI network's name, checked */
export function leftoverOf(conf: Record<string, unknown>, name: string): Leftover {
  const kind = kindIfClear(conf);
  if (kind === 'network') {
    const network = typeof conf.network === 'string' && isSafeName(conf.network) ? conf.network : null;
    return { kind, store: network === null ? null : { dataDir: DEFAULT_DATA_DIR, network }, plugin: null };
  }
  const ipam = isRecord(conf.ipam) ? conf.ipam : {};
  if (ipam.type === 'host-local' || ipam.type === 'nethooks') {
    const { dataDir } = ipam;
    const given = typeof dataDir === 'string' && dataDir.startsWith('/');
    return { kind, store: { dataDir: given ? dataDir : DEFAULT_DATA_DIR, network: name }, plugin: null };
  }
  return { kind, store: null, plugin: typeof ipam.type === 'string' && ipam.type !== '' ? ipam.type : null };
}
