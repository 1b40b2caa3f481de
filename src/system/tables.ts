/** Reads tables (nft(8)). */
import { NethooksError } from '../errors.ts';
import { BRIDGE_TABLE, parseRuleset, type Ruleset, TABLE } from '../plan/host/nft-listing.ts';
import { antispoofNotes } from './antispoof.ts';
import { type Exec, failure } from './exec.ts';
import { readText } from './files.ts';

const list = (table: string): string[] => ['list', 'table', ...table.split(' ')];

/** Ours, that of the bridge family only where a note says that something is in it, one behind the other; null when there is neither, or nft says nothing. */
export function readTables(exec: Exec): string | null {
  const tables = Object.keys(antispoofNotes()).length > 0 ? [TABLE, BRIDGE_TABLE] : [TABLE];
  const listings = tables.map((table) => exec('nft', list(table))).filter(({ code }) => code === 0);
  return listings.length > 0 ? byIndex(listings.map(({ stdout }) => stdout).join('')) : null;
}

/**
 * Everybody's tables in one listing.
 * @throws NethooksError when nft fails
 */
export async function readRuleset(exec: Exec): Promise<Ruleset> {
  const args = ['list', 'ruleset'];
  const result = await exec.start('nft', args);
  if (result.code !== 0) throw new NethooksError(failure('nft', args, result));
  const ruleset = parseRuleset(result.stdout);
  return { ...ruleset, own: ruleset.own && byIndex(ruleset.own) };
}

/** nft prints the names of interfaces that are there, for sets of indexes. */
function byIndex(listing: string): string {
  const index = (quoted: string, name: string): string => readText(`/sys/class/net/${name}/ifindex`)?.trim() ?? quoted;
  return listing.replaceAll(/^\tset \S+ \{\n\t\ttype iface_index.*?^\t\}/gms, (set) =>
    set.replaceAll(/"([^"/]+)"/g, index),
  );
}
