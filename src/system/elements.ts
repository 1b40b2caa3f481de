/** Changes what containers have in the sets and maps of our nftables tables, in one transaction (nft(8)). */
import { NethooksError } from '../errors.ts';
import { mapElements, type PolicyElements, PolicySets } from '../model/policy.ts';
import type { ElementsStep } from '../model/step.ts';
import { change, hasTable, parseListing, TABLE } from '../plan/host/nft-listing.ts';
import { type Exec, type ExecResult, failure } from './exec.ts';
import { readTables } from './tables.ts';

const NFT = ['-f', '-'];

/** @throws NethooksError when nft refuses; nothing is changed then. Taking away does not fail because something is gone. */
export async function changeElements(exec: Exec, step: ElementsStep): Promise<void> {
  const { remove, add, guard, setup } = step;
  const additions = [...changes('add', add), ...guardLines(guard)];
  const lines = [...changes('delete', remove), ...additions];
  if (lines.length === 0) return;
  const first = await nft(exec, lines);
  if (first.code === 0) return;
  // An element to delete may be gone after a flush, a key may be there with another value: rare, so nobody looks before.
  const listing = readTables(exec);
  const again = [
    ...(!hasTable(listing, TABLE) && setup !== null && additions.length > 0 ? [setup.trimEnd()] : []),
    ...changes('delete', presentOf(step, listing ?? '')),
    ...additions,
  ];
  if (again.length === 0) return;
  const second = await nft(exec, again);
  if (second.code === 0) return;
  const gone = /No such file or directory/.test(second.stderr);
  const hint = gone ? '; the rules of nethooks are gone, `nethooks up` brings them back' : '';
  throw new NethooksError(`${failure('nft', NFT, second)}${hint}`);
}

/** What has to go before the additions: what is to be removed and still there, and other values of keys that are to be added. */
function presentOf({ remove, add }: ElementsStep, listing: string): PolicyElements {
  const { sets } = parseListing(listing);
  return mapElements((name) => {
    const present = sets[name] ?? [];
    const going = new Set(remove[name]);
    const keys = PolicySets[name].kind === 'map' ? new Set(add[name].map(keyOf)) : new Set<string>();
    const wanted = new Set(add[name]);
    return present.filter((element) => going.has(element) || (keys.has(keyOf(element)) && !wanted.has(element)));
  });
}

/** The key of a map's element: what stands before the colon. */
const keyOf = (element: string): string => element.split(' : ')[0] as string;

const changes = (verb: 'add' | 'delete', elements: PolicyElements): string[] =>
  (Object.keys(PolicySets) as (keyof PolicyElements)[]).flatMap((name) => change(verb, name, elements[name]));

/**
 * Fails where a bridge is not kept apart, and changes nothing else. Not by asking: nft gives up with an answer (EINTR) when somebody else
 * changes a table meanwhile.
 */
const guardLines = (bridges: readonly string[]): string[] => {
  const element = `element ${TABLE} isolated { ${bridges.map((name) => `"${name}"`).join(', ')} }`;
  return bridges.length > 0 ? [`delete ${element}`, `add ${element}`] : [];
};

const nft = (exec: Exec, lines: string[]): Promise<ExecResult> =>
  exec.start('nft', NFT, { input: `${lines.join('\n')}\n` });
