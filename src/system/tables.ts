/** Reads our tables (nft(8)): that of the bridge family only where a note says that something is in it. */
import { NethooksError } from '../errors.ts';
import { BRIDGE_TABLE, TABLE } from '../plan/host/nft-listing.ts';
import { antispoofNotes } from './antispoof.ts';
import { type Exec, type ExecResult, failure } from './exec.ts';
import { readText } from './files.ts';

const list = (table: string): string[] => ['list', 'table', ...table.split(' ')];

/** Both, one behind the other; null when there is neither, or nft says nothing. */
export function readTables(exec: Exec): string | null {
  const tables = Object.keys(antispoofNotes()).length > 0 ? [TABLE, BRIDGE_TABLE] : [TABLE];
  const listings = tables.map((table) => exec('nft', list(table))).filter(({ code }) => code === 0);
  return listings.length > 0 ? byIndex(listings.map(({ stdout }) => stdout).join('')) : null;
}

/**
 * Those that are asked for, at the same time.
 * @throws NethooksError when one cannot be read that may be there
 */
export async function readTablesAtOnce(exec: Exec, tables: readonly string[]): Promise<string | null> {
  const results = await Promise.all(tables.map((table) => exec.start('nft', list(table))));
  const there = results.filter((result, index) => isThere(result, tables[index] as string));
  return there.length > 0 ? byIndex(there.map(({ stdout }) => stdout).join('')) : null;
}

/** A kernel that knows no bridge family says so in other words. */
function isThere(result: ExecResult, table: string): boolean {
  if (result.code === 0) return true;
  if (/No such file or directory/.test(result.stderr) || table === BRIDGE_TABLE) return false;
  throw new NethooksError(failure('nft', list(table), result));
}

/** nft prints the names of interfaces that are there, for sets of indexes. */
function byIndex(listing: string): string {
  const index = (quoted: string, name: string): string => readText(`/sys/class/net/${name}/ifindex`)?.trim() ?? quoted;
  return listing.replaceAll(/^\tset \S+ \{\n\t\ttype iface_index.*?^\t\}/gms, (set) =>
    set.replaceAll(/"([^"/]+)"/g, index),
  );
}
