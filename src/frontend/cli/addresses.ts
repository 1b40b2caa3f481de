/** `nethooks addresses`: every address that is held, by whom, and whether that still lives. */
import { join } from 'node:path';
import { isDestroyed } from '../../attachment/destroyed.ts';
import { isIPv4, toNumber } from '../../model/address.ts';
import { holderIdOf } from '../../model/attachment.ts';
import { DEFAULT_DATA_DIR, listAddresses } from '../../store/addresses.ts';
import { isAlive, listRecords, readContainer, readKeptIfThere } from '../../store/records.ts';
import { filesIn, readText } from '../../system/files.ts';
import type { OptionsOf } from './commands.ts';
import { EXIT } from './exit.ts';
import { requireRoot } from './up.ts';

export interface HeldAddress {
  address: string;
  /** The holder's id in the store, and its interface; empty in old files. */
  id: string;
  ifname: string;
  /** `live`: its namespace is there; `stopped`: an LXC container that keeps its address; `stale`: gone; `unknown`: not ours. */
  state: 'live' | 'stopped' | 'stale' | 'unknown';
  /** ISO 8601. */
  since: string;
}

export interface StoreReport {
  network: string;
  /** What was given out last, by index of the range set. */
  lastReserved: Record<string, string>;
  addresses: HeldAddress[];
}

/** Reads all stores, host-local's too. */
export async function addresses(names: string[], { json }: OptionsOf<'addresses'>): Promise<number> {
  requireRoot('addresses');
  const all = reports().filter(({ network }) => names.length === 0 || names.includes(network));
  if (json) console.log(JSON.stringify(all, null, 2));
  else for (const report of all) print(report);
  if (!json && all.length === 0) console.log('no address is held');
  return EXIT.ok;
}

function reports(): StoreReport[] {
  const attachments = new Map(
    listRecords().flatMap((record) =>
      record.interfaces.map(({ ifname }) => [`${holderIdOf(record.owner)} ${ifname}`, record] as const),
    ),
  );
  return filesIn(DEFAULT_DATA_DIR)
    .sort()
    .map((network) => {
      const directory = join(DEFAULT_DATA_DIR, network);
      const last = filesIn(directory).filter((file) => file.startsWith('last_reserved_ip'));
      return {
        network,
        lastReserved: Object.fromEntries(
          last.map((file) => [file.split('.')[1] ?? '0', (readText(join(directory, file)) ?? '').trim()]),
        ),
        addresses: listAddresses({ dataDir: DEFAULT_DATA_DIR, network })
          .map(({ address, holder, reservedAt }) => {
            const record = attachments.get(`${holder.id} ${holder.ifname}`);
            const state = record ? (isAlive(record) ? 'live' : 'stale') : stateOf(holder.id);
            return { address, ...holder, state, since: new Date(reservedAt).toISOString() } as HeldAddress;
          })
          .sort((a, b) => order(a.address) - order(b.address)),
      };
    });
}

/** Of a holder that CNI did not bring: an LXC container, or somebody else's. */
function stateOf(id: string): HeldAddress['state'] {
  const name = /^lxc-(.+)$/.exec(id)?.[1];
  if (name === undefined) return 'unknown';
  const running = readContainer(name);
  if (running && isAlive(running)) return 'live';
  return isDestroyed(name, readKeptIfThere(name)) ? 'stale' : 'stopped';
}

/** IPv6 behind IPv4. */
const order = (address: string): number => (isIPv4(address) ? toNumber(address) : Number.POSITIVE_INFINITY);

function print({ network, lastReserved, addresses: held }: StoreReport): void {
  const last = Object.values(lastReserved).join(', ');
  console.log(`${network}  ${held.length} held${last === '' ? '' : `, last reserved ${last}`}`);
  for (const { address, id, ifname, state, since } of held)
    console.log(
      `  ${address.padEnd(15)} ${state.padEnd(8)} ${`${id} ${ifname}`.padEnd(40)} since ${since.slice(0, 19)}Z`,
    );
}
