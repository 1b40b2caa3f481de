/** Brings the kernel from one policy of a container to the next: exactly the difference, in one nft transaction. */
import { readdirSync, writeFileSync } from 'node:fs';
import { NethooksError } from '../errors.ts';
import { localnetNote } from '../model/paths.ts';
import { elementsOf, type Policy, type PolicyElements, PolicySets } from '../model/policy.ts';
import { change } from '../plan/host/firewall.ts';
import { parseListing, TABLE } from '../plan/host/nft-listing.ts';
import { needsLocalnet } from '../plan/host/publishing.ts';
import { type Exec, type ExecResult, failure } from '../system/exec.ts';
import { ensureText, readText } from '../system/files.ts';
import { forgetConnections } from './connections.ts';

/** Whom to tell what is no reason to stop. */
export type Log = (line: string) => void;

const NAMES = Object.keys(PolicySets) as (keyof PolicyElements)[];
const NFT = ['-f', '-'];

/**
 * @param before what the container has there, whether or not all of it still is; null for nothing
 * @param after what it is to have; null for nothing
 * @throws NethooksError when it cannot have it; nothing is changed then. Taking away does not fail because something is gone.
 */
export function applyPolicy(exec: Exec, before: Policy | null, after: Policy | null, log: Log = () => undefined): void {
  const wanted = elementsOf(...(after ? [after] : []));
  const gone = subtract(elementsOf(...(before ? [before] : [])), wanted);
  if (after) requireFiltering(after);
  // All that is wanted, not only what is new: adding what is there is no change, and a flush may have taken it.
  const additions = [...changes('add', wanted), ...(after ? guard(after) : [])];
  transaction(exec, gone, additions);
  if (after) openBridge(after);
  forgetConnections(exec, before, after, log);
}

/** Puts back what a running container should have, whatever is there. */
export const restorePolicy = (exec: Exec, policy: Policy): void => applyPolicy(exec, null, policy);

function transaction(exec: Exec, gone: PolicyElements, additions: string[]): void {
  const deletions = changes('delete', gone);
  if (deletions.length + additions.length === 0) return;
  const first = nft(exec, [...deletions, ...additions]);
  if (first.code === 0) return;
  // An element to delete may be gone, after a flush: delete what is there. That is rare, so nobody looks before.
  const listing = exec('nft', ['list', 'table', ...TABLE.split(' ')]);
  const now = parseListing(listing.code === 0 ? listing.stdout : '').sets;
  const present = Object.fromEntries(
    NAMES.map((name) => [name, gone[name].filter((element) => now[name]?.includes(element))]),
  ) as PolicyElements;
  const lines = [...changes('delete', present), ...additions];
  if (lines.length === 0) return;
  const second = nft(exec, lines);
  if (second.code === 0) return;
  const hint = listing.code === 0 ? '' : '; the rules of nethooks are gone, `nethooks up` brings them back';
  throw new NethooksError(`${failure('nft', NFT, second)}${hint}`);
}

const nft = (exec: Exec, lines: string[]): ExecResult => exec('nft', NFT, { input: `${lines.join('\n')}\n` });

const changes = (verb: 'add' | 'delete', elements: PolicyElements): string[] =>
  NAMES.flatMap((name) => change(verb, name, elements[name]));

/** What `from` has and `without` has not. */
function subtract(from: PolicyElements, without: PolicyElements): PolicyElements {
  const rest = (name: keyof PolicyElements): string[] => {
    const other = new Set(without[name]);
    return from[name].filter((element) => !other.has(element));
  };
  return Object.fromEntries(NAMES.map((name) => [name, rest(name)])) as PolicyElements;
}

/** The transaction fails if the container's networks do not keep it apart as they should, so that it does not run without. */
const guard = ({ isolated }: Policy): string[] =>
  isolated.length > 0 ? [`get element ${TABLE} isolated { ${isolated.map((name) => `"${name}"`).join(', ')} }`] : [];

/** The same for the bridge, which must send what it passes on through those rules. */
function requireFiltering({ isolated }: Policy): void {
  const open = isolated.find((network) => !bridgeCalls(network) || !bridgeCalls(network, 'ip6tables'));
  if (open === undefined) return;
  throw new NethooksError(
    `network ${open} has icc = false, but its bridge passes packets on unseen; \`nethooks up\` brings that into order`,
  );
}

/** Whether bridged packets go through netfilter's IP hooks: of this bridge, or of all. */
function bridgeCalls(bridge: string, hook: 'iptables' | 'ip6tables' = 'iptables'): boolean {
  return (
    number(`/sys/class/net/${bridge}/bridge/nf_call_${hook}`) === 1 ||
    number(`/proc/sys/net/bridge/bridge-nf-call-${hook}`) === 1
  );
}

/** What publishing needs of the bridge, beside rules (publishing.ts). */
function openBridge(policy: Policy): void {
  const { network, publish, port } = policy;
  // Noted, so that it is taken back.
  if (needsLocalnet(policy) && ensure(`/proc/sys/net/ipv4/conf/${network}/route_localnet`))
    ensureText(localnetNote(network), '');
  // Where bridged packets are translated, the container's own go back through the port they came from.
  if (publish.length > 0 && port !== null && bridgeCalls(network)) {
    const name = readdirSync(`/sys/class/net/${network}/brif`).find(
      (candidate) => number(`/sys/class/net/${candidate}/ifindex`) === port,
    );
    if (name !== undefined) ensure(`/sys/class/net/${name}/brport/hairpin_mode`);
  }
}

const number = (path: string): number | null => {
  const text = readText(path)?.trim();
  return text ? Number(text) : null;
};

/** Sets a switch of the kernel; whether it was off. */
function ensure(path: string): boolean {
  if (number(path) === 1) return false;
  writeFileSync(path, '1');
  return true;
}
