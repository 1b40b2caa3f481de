/**
 * firewalld rejects what comes from an interface in none of its zones, in a base chain of its own, so no rule of ours helps. Our bridges
 * get a zone that accepts, in files that firewalld reads whenever it starts; while it runs it is told to read them now. Each of its starts
 * and reloads empties iptables' table `mangle`, so our checksum rules are in its direct.xml as well (firewalld.zone(5), firewalld.policy(5),
 * firewalld.direct(5)).
 */
import type { NetworkConfig } from '../../model/config.ts';
import type { HostFacts } from '../../model/facts.ts';
import { FIREWALLD_DIRECT, FIREWALLD_POLICY, FIREWALLD_ZONE } from '../../model/paths.ts';
import type { FileStep, Rule, Step } from '../../model/step.ts';
import { isUnzoned } from './filters/foreign.ts';
import { checksumRule } from './rules.ts';

const HEAD = '<?xml version="1.0" encoding="utf-8"?>\n';

/** The zone of our bridges; null without any. */
const zone = (networks: NetworkConfig[]): string | null =>
  networks.length === 0
    ? null
    : `${HEAD}<zone target="ACCEPT">
  <short>nethooks</short>
  <description>Bridges of nethooks, whose own rules say who reaches whom.</description>
${networks.map(({ name }) => `  <interface name="${name}"/>\n`).join('')}</zone>
`;

/**
 * Lets others begin to talk to containers, where a network says so; null where none does. With the name of a zone firewalld would not
 * start any more.
 */
const policy = (networks: NetworkConfig[]): string | null =>
  networks.some(({ routed, trusted }) => routed || trusted.length > 0)
    ? `${HEAD}<policy target="ACCEPT">
  <short>nethooks-in</short>
  <ingress-zone name="ANY"/>
  <egress-zone name="nethooks"/>
</policy>
`
    : null;

/** The steps to firewalld's files; empty where it is not installed. */
export function planFirewalld(networks: NetworkConfig[], facts: HostFacts): Step[] {
  const { firewalld, files } = facts;
  if (firewalld === null) return [];
  const wanted: [string, string | null][] = [
    [FIREWALLD_ZONE, zone(networks)],
    [FIREWALLD_POLICY, policy(networks)],
    [FIREWALLD_DIRECT, direct(files[FIREWALLD_DIRECT] ?? null, networks)],
  ];
  const changes = wanted.flatMap(([path, content]): FileStep[] => {
    const before = files[path] ?? null;
    return before === content ? [] : [{ kind: 'file', path, before, content }];
  });
  return [
    ...changes,
    ...(needsReload(changes, networks, facts) ? [{ kind: 'neighbour', program: 'firewalld' } as const] : []),
  ];
}

/** Whether firewalld is about to read its files and, with them, to bring the checksum rules. */
export const bringsRules = (steps: Step[]): boolean =>
  steps.some((step) => step.kind === 'neighbour' && step.program === 'firewalld');

const needsReload = (changes: FileStep[], networks: NetworkConfig[], facts: HostFacts): boolean =>
  facts.firewalld !== null && facts.firewalld.zoned !== null && (changes.length > 0 || isUnzoned(networks, facts));

const EMPTY = `${HEAD}<direct>\n</direct>\n`;

/** direct.xml with our rules as its last ones; null for none. Left as it is where its end is not found. */
function direct(text: string | null, networks: NetworkConfig[]): string | null {
  const lines = networks.flatMap(({ name, dhcp }) => (dhcp ? [directRule(checksumRule(name))] : []));
  const others = (text ?? EMPTY).replace(OURS, '');
  const content = others.replace(/^<\/direct>/m, `${lines.join('')}</direct>`);
  return content === EMPTY ? null : content;
}

const directRule = ({ table, chain, match }: Rule): string =>
  `  <rule ipv="ipv4" table="${table}" chain="${chain}" priority="0">${match}</rule>\n`;
const OURS = /^ *<rule [^>]*>[^<]*--comment nethooks -j CHECKSUM[^<]*<\/rule>\n/gm;
