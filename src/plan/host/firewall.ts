/** The nftables tables: a fixed number of rules, whatever the number of networks, uplinks, containers, ports and links. */
import { sendersOf } from '../../model/antispoof.ts';
import type { NetworkConfig } from '../../model/config.ts';
import type { HostFacts, LinkFact } from '../../model/facts.ts';
import { elementsAbout, elementsOf, isBridgeSet, NO_POLICY, PolicySets, type Sender } from '../../model/policy.ts';
import type { Step } from '../../model/step.ts';
import { ADMIN_CHAIN, adminChain, JUMPS, markOf } from './admin-rules.ts';
import { BRIDGE_CHAINS, checkedNow, planNotes } from './antispoof.ts';
import { guardedBridges, planIsolation } from './isolation.ts';
import { BRIDGE_TABLE, change, hasTable, parseListing, removeTable, TABLE, tableOf } from './nft-listing.ts';
import { planPublishing } from './publishing.ts';

/** What follows from the configuration, and the sets and maps that containers' policies fill. */
export interface Table {
  /** Name to type (nft(8), SETS and MAPS) and elements. */
  sets: Record<string, TableSet>;
  /** Name to hook (null: none, for rules that others go to) and rules, in the words that nft itself prints. */
  chains: Record<string, Chain>;
  /** The text of the admin's own chain; null for none. */
  admin: string | null;
}

export interface Chain {
  hook: string | null;
  rules: string[];
  /** In the table of the bridge family. */
  bridge?: true;
}

interface TableSet {
  kind: 'set' | 'map';
  type: string;
  elements: string[];
}

/** The uplinks a network masquerades behind now: those configured that are up. `*` needs no list. */
export function activeUplinks(network: NetworkConfig, links: LinkFact[]): string[] {
  if (network.uplinks === '*') return [];
  return network.uplinks.filter((name) => links.some((link) => link.name === name && link.up));
}

/** Published ports. What somebody else's rule translated first stays as it is. */
const PUBLISH = [
  'fib daddr type local dnat ip to ip daddr . meta l4proto . th dport map @published_at',
  'fib daddr type local dnat ip to meta l4proto . th dport map @published',
];

/**
 * The table as it should be.
 *
 * raw: a bridge with route_localnet takes packets to 127.0.0.0/8, which are for this host alone (moby#45610, CVE-2020-8558).
 *   iifname != "lo" ip daddr 127.0.0.0/8 drop
 * prerouting, and output for what the host itself sends: published ports, those of one address before those of all.
 *   fib daddr type local dnat ip to ip daddr . meta l4proto . th dport map @published_at
 *   fib daddr type local dnat ip to meta l4proto . th dport map @published
 * postrouting
 *   oifname @bridges ip saddr 127.0.0.0/8 masquerade     a container cannot answer to 127.0.0.1
 *   ct status dnat ip saddr . oifname @hairpin masquerade   nor past the host to a neighbour that asked the host
 *   ip saddr . ip daddr @local return          what CNI's ipMasq leaves alone: its own subnet,
 *   ip daddr != 224.0.0.0/4 ip saddr @masqueraded masquerade      and multicast; the same for IPv6
 *   oifname @bridges return                    between our own networks nothing else is translated
 *   ip saddr @subnets goto leave               uplinks = *
 *   ip saddr . oifname @uplinks goto leave     uplinks = eth0, eth1
 * leave: with which address of the host
 *   snat ip to ip saddr map @sources           source of a container
 *   snat ip to ip saddr map @network_sources   source of its network
 *   masquerade
 * input: what a confined container asks of the host is its DNS and DHCP.
 *   iifname != @bridges accept
 *   ct state established,related accept
 *   udp dport { 53, 67 } accept
 *   tcp dport 53 accept
 *   ip saddr @confined ip saddr . ip daddr != @egress … != @egress_ports drop
 * forward: the admin's own rules first, where there are any (admin-rules.ts). Then: who may begin to talk to whom. By the connection and not by the packet, as answers come by any interface. Where icc = false the
 * bridge sends bridged packets here as well (isolation.ts). IPv6 has no links.
 *   ct state established,related accept        answers to what was let through
 *   ip saddr @confined ip saddr . ip daddr != @egress … != @egress_ports drop       egress
 *   ct status dnat ip daddr @limited ip daddr . ip saddr != @publish_from drop      publish-from
 *   ct status dnat accept                      published ports
 *   iifname . oifname @reach accept            reach, trusted, and within a network icc
 *   ip saddr . ip daddr . meta l4proto . th dport @links accept
 *   iifname @internal drop                     internal = true has no way out
 *   oifname @closed drop                       whoever has a route to a masqueraded network reaches nothing in it all the same
 *   iifname @bridges oifname @bridges drop     nor does one network of ours another
 *
 * In the table of the bridge family, where a network has antispoof: antispoof.ts.
 *
 * @param guarded bridges of no network any more, whose containers are still kept apart
 * @param senders what ports of bridges may send; null where no network checks that
 */
export function wantedTable(
  networks: NetworkConfig[],
  links: LinkFact[],
  policies: HostFacts['policies'] = [],
  guarded: string[] = [],
  admin: string | null = null,
  senders: Sender[] | null = null,
): Table {
  const masqueraded = networks.filter((network) => network.masquerade && !network.internal);
  const pairs = masqueraded.flatMap((network) =>
    activeUplinks(network, links).map((uplink) => `${network.subnet} . "${uplink}"`),
  );
  // What CNI masquerades on networks of its own is on none of ours.
  const known = policies.filter(({ network }) => network === null || networks.some(({ name }) => name === network));
  const containers = elementsOf(...known, { ...NO_POLICY, senders: senders ?? [] });
  return {
    sets: {
      bridges: set(IFNAMES, quoted([...networks.map(({ name }) => name), ...guarded])),
      subnets: set(
        'type ipv4_addr; flags interval;',
        masqueraded.filter((network) => network.uplinks === '*').map((network) => network.subnet),
      ),
      uplinks: set('type ipv4_addr . ifname; flags interval;', pairs),
      hairpin: set(
        'type ipv4_addr . ifname; flags interval;',
        networks.map(({ name, subnet }) => `${subnet} . "${name}"`),
      ),
      isolated: set(IFNAMES, quoted([...networks.filter(({ icc }) => !icc).map(({ name }) => name), ...guarded])),
      closed: set(IFNAMES, quoted([...networks.filter(isClosed).map(({ name }) => name), ...guarded])),
      internal: set(IFNAMES, quoted(networks.filter(({ internal }) => internal).map(({ name }) => name))),
      reach: set('type ifname . ifname;', reachable(networks)),
      ...Object.fromEntries(
        Object.entries(PolicySets)
          .filter(([name]) => senders !== null || !isBridgeSet(name))
          .map(([name, { kind, type }]) => {
            const elements = containers[name as keyof typeof PolicySets];
            return [name, { kind, type, elements }];
          }),
      ),
      network_sources: {
        kind: 'map',
        type: 'type ipv4_addr : ipv4_addr; flags interval;',
        elements: masqueraded.flatMap(({ subnet, source }) => (source === null ? [] : [`${subnet} : ${source}`])),
      },
    },
    chains: {
      raw: {
        hook: 'type filter hook prerouting priority -300; policy accept;',
        rules: ['iifname != "lo" ip daddr 127.0.0.0/8 drop'],
      },
      leave: {
        hook: null,
        rules: ['snat ip to ip saddr map @sources', 'snat ip to ip saddr map @network_sources', 'masquerade'],
      },
      prerouting: { hook: 'type nat hook prerouting priority -100; policy accept;', rules: PUBLISH },
      output: { hook: 'type nat hook output priority -100; policy accept;', rules: PUBLISH },
      postrouting: {
        hook: 'type nat hook postrouting priority srcnat; policy accept;',
        rules: [
          'oifname @bridges ip saddr 127.0.0.0/8 masquerade',
          'ct status dnat ip saddr . oifname @hairpin masquerade',
          'ip saddr . ip daddr @local return',
          'ip6 saddr . ip6 daddr @local6 return',
          'ip daddr != 224.0.0.0/4 ip saddr @masqueraded masquerade',
          'ip6 daddr != ff00::/8 ip6 saddr @masqueraded6 masquerade',
          'oifname @bridges return',
          'ip saddr @subnets goto leave',
          'ip saddr . oifname @uplinks goto leave',
        ],
      },
      input: {
        hook: 'type filter hook input priority 0; policy accept;',
        rules: [
          'iifname != @bridges accept',
          'ct state established,related accept',
          'udp dport { 53, 67 } accept',
          'tcp dport 53 accept',
          CONFINED,
        ],
      },
      forward: {
        hook: 'type filter hook forward priority 0; policy accept;',
        rules: [
          ...(admin === null ? [] : JUMPS),
          'ct state established,related accept',
          CONFINED,
          'ct status dnat ip daddr @limited ip daddr . ip saddr != @publish_from drop',
          'ct status dnat accept',
          'iifname . oifname @reach accept',
          'ip saddr . ip daddr . meta l4proto . th dport @links accept',
          'iifname @internal drop',
          'oifname @closed drop',
          'iifname @bridges oifname @bridges drop',
        ],
      },
      ...(senders === null ? {} : BRIDGE_CHAINS),
    },
    admin,
  };
}

/** Whether a network is reached only by published ports. What is not masqueraded has to be reached by its addresses. */
const isClosed = ({ masquerade, routed, internal }: NetworkConfig): boolean => internal || (masquerade && !routed);

/** Pairs of interfaces between which everything may begin: from, to. */
function reachable(networks: NetworkConfig[]): string[] {
  const pairs = networks.flatMap(({ name, icc, reach, trusted }) => [
    ...(icc ? [[name, name]] : []),
    ...networks
      .filter((other) => other.name !== name && (reach === '*' || reach.includes(other.name)))
      .map((other) => [name, other.name]),
    ...trusted.map((from) => [from, name]),
  ]);
  return [...new Set(pairs.map(([from, to]) => `"${from}" . "${to}"`))];
}

/** What a container that may not reach everything begins with somebody else. */
const CONFINED =
  'ip saddr @confined ip saddr . ip daddr != @egress ip saddr . ip daddr . meta l4proto . th dport != @egress_ports drop';

const IFNAMES = 'type ifname;';
const quoted = (names: string[]): string[] => names.map((name) => `"${name}"`);
const set = (type: string, elements: string[]): TableSet => ({ kind: 'set', type, elements });

/** nft before 1.0 needs it said what the map holds; later versions understand both. */
const ruleForAllVersions = (rule: string): string => rule.replace('dnat ip to', 'dnat ip addr . port to');

/** One transaction from what is there to what is wanted; nothing when they agree. */
export function planFirewall(networks: NetworkConfig[], facts: HostFacts): Step[] {
  const guarded = guardedBridges(networks, facts);
  const checked = checkedNow(networks, facts);
  const senders =
    Object.keys(checked).length > 0 ? facts.attached.flatMap((interfaces) => sendersOf(interfaces, checked)) : null;
  const wanted = wantedTable(networks, facts.links, facts.policies, guarded, facts.adminRules?.text, senders);
  const script = transaction(wanted, facts.nft, facts.unsure);
  const nft: Step[] = script === '' ? [] : [{ kind: 'nft', script, undo: restore(facts.nft, script) }];
  return [...nft, ...planNotes(checked, facts), ...planIsolation(networks, facts), ...planPublishing(networks, facts)];
}

/** Removes the table; what keeps containers apart that still run stays until they are gone, and what CNI masquerades. */
export function planFirewallDown(facts: HostFacts): Step[] {
  const masquerades = facts.policies.some(({ network }) => network === null);
  const stays = guardedBridges([], facts).length > 0 || Object.keys(checkedNow([], facts)).length > 0;
  if (masquerades || stays) return planFirewall([], facts);
  const ours = [TABLE, BRIDGE_TABLE].filter((table) => hasTable(facts.nft, table));
  const script = ours.map(removeTable).join('');
  const nft: Step[] = script === '' ? [] : [{ kind: 'nft', script, undo: restore(facts.nft, script) }];
  return [...nft, ...planNotes({}, facts), ...planIsolation([], facts), ...planPublishing([], facts)];
}

/** What makes the table where there is none, for whoever needs it and finds it missing; without containers. */
export const tableScript = (networks: NetworkConfig[]): string => transaction(wantedTable(networks, []), null);

/**
 * Only differences: flushing a set makes the kernel wait, 10 ms of a 4 ms transaction.
 * @param unsure addresses whose elements stay
 */
function transaction({ sets, chains, admin }: Table, listing: string | null, unsure: readonly string[] = []): string {
  const now = parseListing(listing ?? '');
  const pinned: Record<string, string[]> = elementsAbout(unsure, now.sets);
  const bridge = Object.keys(sets).some(isBridgeSet);
  const missing = (table: string): boolean => !hasTable(listing, table);
  const lines = [
    ...(missing(TABLE) ? [`add table ${TABLE}`] : []),
    ...(bridge && missing(BRIDGE_TABLE) ? [`add table ${BRIDGE_TABLE}`] : []),
    ...(!bridge && !missing(BRIDGE_TABLE) ? [`delete table ${BRIDGE_TABLE}`] : []),
  ];
  for (const [name, { kind, type, elements }] of Object.entries(sets)) {
    const present = new Set(now.sets[name]);
    const wanted = new Set([...elements, ...(pinned[name] ?? [])]);
    if (!now.sets[name]) lines.push(`add ${kind} ${tableOf(name)} ${name} { ${type} }`);
    // What nobody has a record of goes: records are read after the table, so none has come in between.
    lines.push(
      ...change(
        'delete',
        name,
        [...present].filter((element) => !wanted.has(element)),
      ),
    );
    lines.push(
      ...change(
        'add',
        name,
        elements.filter((element) => !present.has(element)),
      ),
    );
  }
  const adminNow = now.chains[ADMIN_CHAIN];
  if (admin !== null && adminNow?.[0] !== markOf(admin)) lines.push(...adminChain(admin));
  for (const [name, { hook, rules, bridge: onBridges }] of Object.entries(chains)) {
    const chain = `chain ${onBridges ? BRIDGE_TABLE : TABLE} ${name}`;
    const present = now.chains[name];
    if (present?.join('\n') === rules.join('\n')) continue;
    lines.push(present ? `flush ${chain}` : `add ${chain}${hook === null ? '' : ` { ${hook} }`}`);
    lines.push(...rules.map((rule) => `${chain.replace('chain', 'add rule')} ${ruleForAllVersions(rule)}`));
  }
  if (admin === null && adminNow) lines.push(`delete chain ${TABLE} ${ADMIN_CHAIN}`);
  return lines.map((line) => `${line}\n`).join('');
}

/** Puts back what was there, in place of what the script left. */
const restore = (listing: string | null, script: string): string =>
  `${removeTable(TABLE)}${script.includes(BRIDGE_TABLE) ? removeTable(BRIDGE_TABLE) : ''}${listing ?? ''}`;
