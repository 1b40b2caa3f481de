/** What nft prints about our tables, as data to compare with. */
import { isBridgeSet } from '../../model/policy.ts';

/** Family and name. */
export const TABLE = 'inet nethooks';
/** Where what ports of bridges send is checked; only there where a network asks for it. Sets and chains have other names than in TABLE. */
export const BRIDGE_TABLE = 'bridge nethooks';

/** Whether a listing has a table. */
export const hasTable = (listing: string | null, table: string): boolean =>
  listing?.split('\n').includes(`table ${table} {`) ?? false;

export interface Ruleset {
  /** Our tables as `nft list table` would print them; null when there is none. */
  own: string | null;
  /** Interfaces in firewalld's zone for us; null where it does not run. */
  zoned: string[] | null;
  /** Tables of others, family and name, with a chain that may drop what comes in or is passed on. */
  dropping: string[];
}

/** What `nft list ruleset` printed. */
export function parseRuleset(listing: string): Ruleset {
  let own: string | null = null;
  let zoned: string[] | null = null;
  const dropping: string[] = [];
  // Behind the brace of a table that has an owner is who that is: `# progname firewalld`.
  for (const [text, table = ''] of listing.matchAll(/^table (\S+ \S+) \{[^\n]*\n.*?^\}\n/gms)) {
    if (table === FIREWALLD) zoned = [...text.matchAll(ZONED)].map(([, name]) => name as string);
    if (table === TABLE || table === BRIDGE_TABLE) own = (own ?? '') + text;
    else if (JUDGES.test(text) && REFUSES.test(text)) dropping.push(table);
  }
  return { own, zoned, dropping };
}

export const FIREWALLD = 'inet firewalld';
/** What firewalld asks before it hands a packet to our zone; since 2.0 it comes back from there. */
const ZONED = /iifname "([^"]+)" (?:goto|jump) filter_IN_nethooks\b/g;
const JUDGES = /^\t\ttype filter hook (input|forward) /m;
/** What drops, or may lead to what does. */
const REFUSES = /policy drop;|\b(drop|reject|jump|goto|queue)\b/;

/** What `nft list table` printed, of one table or of both: elements by set or map, rules by chain. Counters are left out. */
export function parseListing(listing: string): { sets: Record<string, string[]>; chains: Record<string, string[]> } {
  const sets: Record<string, string[]> = {};
  const chains: Record<string, string[]> = {};
  for (const [, kind, name = '', body = ''] of listing.matchAll(/^\t(set|map|chain) (\S+) \{\n(.*?)^\t\}/gms)) {
    if (kind === 'chain') {
      const lines = body.split('\n').map((line) => ruleText(line).trim());
      chains[name] = lines.filter((line) => line !== '' && !/^type \S+ hook /.test(line));
    } else {
      const elements = /elements = \{(.*?)\}/s.exec(body)?.[1] ?? '';
      sets[name] = elements.split(',').flatMap((element) => element.trim() || []);
    }
  }
  return { sets, chains };
}

/** One form for all versions: before 1.0 nft says `dnat ip addr . port to`, since then it takes both and says `dnat ip to`. */
const ruleText = (line: string): string =>
  line.replace(/ counter packets \d+ bytes \d+/, '').replace('dnat ip addr . port to', 'dnat ip to');

/** The line that adds or deletes elements of our tables; none when there are none. */
export const change = (verb: 'add' | 'delete', set: string, elements: readonly string[]): string[] =>
  elements.length > 0 ? [`${verb} element ${tableOf(set)} ${set} { ${elements.join(', ')} }`] : [];

/** `add` first, because deleting a table that is not there is an error (nft(8) got `destroy` only in 1.0.7). */
export const removeTable = (table: string): string => `add table ${table}\ndelete table ${table}\n`;

/** The table that a set or map is in. */
export const tableOf = (set: string): string => (isBridgeSet(set) ? BRIDGE_TABLE : TABLE);
