/** The few rules that must live in iptables' own chains. */
import type { NetworkConfig } from '../../model/config.ts';
import type { HostFacts } from '../../model/facts.ts';
import type { HostRecord } from '../../model/host-record.ts';
import type { Rule, Step } from '../../model/step.ts';

const TAG = '-m comment --comment nethooks';

/**
 * dnsmasq's replies leave the host with a checksum that hardware should finish and a veth never does: DHCP clients that read
 * raw packets drop them. Native nft has no statement for this, so it is iptables on every host (iptables-extensions(8), CHECKSUM).
 */
export function checksumRule(bridge: string): Rule {
  return {
    table: 'mangle',
    chain: 'POSTROUTING',
    match: `-o ${bridge} -p udp -m udp --dport 68 ${TAG} -j CHECKSUM --checksum-fill`,
  };
}

/**
 * An accept in our own table does not outweigh a drop in somebody else's base chain. Where iptables' policy is to drop (Docker's
 * FORWARD, ufw), or a rule drops whatever reaches it, containers need rules there: in DOCKER-USER where Docker asks it, as it is
 * kept for that.
 */
function openings({ name: bridge, routed, trusted }: NetworkConfig, facts: HostFacts): Rule[] {
  const filter = facts.iptables.filter(({ table }) => table === 'filter').map(({ line }) => line);
  const closed = (chain: string) =>
    filter.some((line) => line.startsWith(`:${chain} DROP`) || dropsAll(chain).test(line));
  const chain = filter.includes('-A FORWARD -j DOCKER-USER') ? 'DOCKER-USER' : 'FORWARD';
  const forward = [
    `-i ${bridge} ${TAG} -j ACCEPT`,
    `-o ${bridge} -m conntrack --ctstate RELATED,ESTABLISHED,DNAT ${TAG} -j ACCEPT`,
    ...(routed ? [`-o ${bridge} ${TAG} -j ACCEPT`] : trusted.map((from) => `-i ${from} -o ${bridge} ${TAG} -j ACCEPT`)),
  ];
  const input = ['-p udp -m udp --dport 53', '-p tcp -m tcp --dport 53', '-p udp -m udp --dport 67'].map(
    (match) => `-i ${bridge} ${match} ${TAG} -j ACCEPT`,
  );
  return [
    ...(closed('FORWARD') ? forward.map((match): Rule => ({ table: 'filter', chain, match })) : []),
    ...(closed('INPUT') ? input.map((match): Rule => ({ table: 'filter', chain: 'INPUT', match })) : []),
  ];
}

/** A rule without a condition, maybe with a comment, that refuses everything. */
const dropsAll = (chain: string): RegExp =>
  new RegExp(`^-A ${chain}( -m comment --comment ("[^"]*"|\\S+))? -j (DROP|REJECT)\\b`);

/** What brings iptables to what the networks need; rules of ours that no network needs any more go. */
export function planRules(networks: NetworkConfig[], facts: HostFacts): Step[] {
  const checksums = networks.filter((network) => network.dhcp).map((network) => checksumRule(network.name));
  const opened = networks.flatMap((network) => openings(network, facts));
  const present = ownRules(facts);
  const missing = (rules: Rule[]) => rules.filter((rule) => !present.some((candidate) => same(candidate, rule)));
  const wanted = [...checksums, ...opened];
  const stale = present.filter((rule) => !wanted.some((candidate) => same(candidate, rule)));
  const mangle = mangleLines(facts).length === 0;
  return [
    step('delete', stale),
    step('append', missing(checksums)).map((one) => (mangle ? { ...one, mangle } : one)),
    // Inserted one after the other at the head, so the last comes first: reversed keeps the order above.
    step('insert', missing(opened).reverse()),
  ].flat();
}

/** Every rule of ours, whichever network it was for, and the table that was made for them if nobody else has come to use it. */
export function planRulesDown(facts: HostFacts, { mangleMade }: HostRecord): Step[] {
  const rules = ownRules(facts);
  const lines = mangleLines(facts);
  const others = lines.filter((line) => !rules.some(({ chain, match }) => line === `-A ${chain} ${match}`));
  // A table with what iptables does not understand is not listed at all, and none of ours any more.
  const mangle = mangleMade && lines.length > 0 && others.every((line) => /^:\S+ ACCEPT /.test(line));
  return mangle ? [{ kind: 'rules', action: 'delete', rules, mangle }] : step('delete', rules);
}

const mangleLines = ({ iptables }: HostFacts): string[] =>
  iptables.filter(({ table }) => table === 'mangle').map(({ line }) => line);

/** Our rules among those that iptables-save lists: those with our comment. */
export function ownRules(facts: HostFacts): Rule[] {
  return facts.iptables.flatMap(({ table, line }) => {
    const match = /^-A (\S+) (.*)$/.exec(line);
    if (!match?.[2]?.includes(`${TAG} `) || (table !== 'mangle' && table !== 'filter')) return [];
    return [{ table, chain: match[1] as string, match: match[2] }];
  });
}

const same = (a: Rule, b: Rule): boolean => a.table === b.table && a.chain === b.chain && a.match === b.match;

const step = (action: 'insert' | 'append' | 'delete', rules: Rule[]): Step[] =>
  rules.length > 0 ? [{ kind: 'rules', action, rules }] : [];
