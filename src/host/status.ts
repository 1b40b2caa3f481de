/** What `nethooks status` knows, as data. */

import { sizeOf } from '../model/address.ts';
import type { DriverName } from '../model/attachment.ts';
import type { Config, NetworkConfig } from '../model/config.ts';
import type { LinkOption } from '../model/container-options.ts';
import type { HostFacts } from '../model/facts.ts';
import { type Finding, inOneLine } from '../model/finding.ts';
import type { Published } from '../model/policy.ts';
import { headline, type Plan } from '../model/step.ts';
import { BRIDGE_CHAINS } from '../plan/host/antispoof.ts';
import { served } from '../plan/host/dnsmasq.ts';
import { activeUplinks, wantedTable } from '../plan/host/firewall.ts';
import { parseListing } from '../plan/host/nft-listing.ts';
import { checksumRule, ownRules } from '../plan/host/rules.ts';
import { type Holder, listAddresses, storeOf } from '../store/addresses.ts';
import { type Lease, readLeases } from '../store/leases.ts';
import { type AttachmentStatus, listAttachments } from './attachments.ts';

export interface LeaseStatus extends Lease {
  /** The name that answers for a machine without a hook; empty for none. */
  hostname: string;
}

export interface ContainerStatus {
  /** The container, or the holder's id for one that is not LXC's. */
  name: string;
  address: string;
  ifname: string;
  /** The name that answers now, or null. */
  dnsName: string | null;
  running: boolean;
  /** pid of its init, for a container of LXC that runs. */
  pid: number | null;
  /** In the forms of `ps`; of what runs. */
  ports: Published[];
  links: LinkOption[];
  /** The host's address that it sends from, outside, if it has one of its own. */
  source: string | null;
  /** Containers on its network, by their names: they have no interface of their own. */
  sharedBy: string[];
}

/** What is connected and holds no address of our networks: a pair of its own, macvlan, another plugin's addresses. */
export interface OtherStatus {
  name: string;
  running: boolean;
  interfaces: { ifname: string; driver: DriverName; addresses: string[] }[];
  ports: Published[];
  links: LinkOption[];
}

/** Of a rule; not needed where the configuration or the uplinks ask for none. */
export type Presence = 'present' | 'missing' | 'not needed';

export interface NetworkStatus {
  name: string;
  address: string;
  domain: string;
  /** Whether the bridge is there, up and has its address. */
  bridge: boolean;
  /** The interfaces masqueraded behind now; `*` for any. */
  uplinks: string[];
  defaultDevice: string | null;
  masquerade: Presence;
  checksum: Presence;
  /** Of the rules by which its containers send with their own addresses only. */
  antispoof: Presence;
  /** The address that its containers send from, outside; null for that of the uplink. */
  source: string | null;
  /** Whether its containers reach each other without a link. */
  icc: boolean;
  /** Whether whoever has a route to it reaches everything in it. */
  routed: boolean;
  /** Whether its containers have no way out of this host. */
  internal: boolean;
  /** Whether there is DNS or DHCP for a dnsmasq to do. */
  served: boolean;
  /** pid of its dnsmasq; null when none runs. */
  dnsmasq: number | null;
  reserved: { held: number; of: number };
  containers: ContainerStatus[];
  leases: LeaseStatus[];
}

export interface Status {
  networks: NetworkStatus[];
  others: OtherStatus[];
  forwarding: boolean;
  resolver: string;
  upstreams: string[];
  /** Empty when `up` has nothing to do or to say. */
  findings: Finding[];
}

/**
 * Puts the status together from facts, the plan that `up` would apply, and the store.
 * @param mistake what is wrong with the file, where `config` is the last good one
 */
export function statusOf(config: Config, facts: HostFacts, plan: Plan, mistake: string | null = null): Status {
  const attachments = listAttachments();
  return {
    networks: config.networks.map((network) => networkStatus(network, facts, attachments)),
    others: others(config, attachments),
    forwarding: facts.ipForward === '1',
    resolver: config.host.resolver === 'auto' ? facts.resolver.kind : config.host.resolver,
    upstreams: facts.upstreams,
    findings: [
      ...mistakes(mistake),
      ...plan.refusals.map((text) => finding('mistake', text)),
      ...(plan.faults ?? []).map(({ text }) => finding('missing', text)),
      ...plan.steps.map((step) => finding('missing', headline(step), 'nethooks up')),
      ...plan.warnings.map((text) => finding('warning', text)),
      ...attachments.flatMap(refusal),
      ...attachments.flatMap(leftover),
    ],
  };
}

const finding = (severity: Finding['severity'], text: string, remedy: string | null = null): Finding => ({
  severity,
  about: 'host',
  text,
  remedy,
});

const mistakes = (text: string | null): Finding[] =>
  text === null
    ? []
    : [
        ...text.split('\n').map((line) => finding('mistake', line)),
        finding('warning', 'the last good configuration is in use until the file is mended'),
      ];

const refusal = ({ name, refused }: AttachmentStatus): Finding[] =>
  refused === null
    ? []
    : [
        {
          ...finding('warning', `its start at ${refused.at.slice(0, 19)}Z was refused: ${inOneLine(refused.reason)}`),
          about: name,
        },
      ];

const leftover = ({ name, state }: AttachmentStatus): Finding[] =>
  state === 'gone'
    ? [
        {
          ...finding('warning', 'is no more; its names, ports and addresses are still held', 'nethooks gc'),
          about: name,
        },
      ]
    : [];

function networkStatus(
  network: NetworkConfig,
  facts: HostFacts,
  attachments: readonly AttachmentStatus[],
): NetworkStatus {
  const { name, address, prefix, reserve } = network;
  const link = facts.links.find((candidate) => candidate.name === name);
  const checksum = checksumRule(name);
  const uplinks = network.uplinks === '*' ? ['*'] : activeUplinks(network, facts.links);
  const held = listAddresses(storeOf(name));
  return {
    name,
    address: `${address}/${prefix}`,
    domain: network.domain,
    bridge: link?.kind === 'bridge' && link.up && link.addresses.includes(`${address}/${prefix}`),
    uplinks,
    defaultDevice: facts.defaultDevice,
    masquerade: presence(network.masquerade && uplinks.length > 0, masquerades(network, facts)),
    checksum: presence(
      network.dhcp !== null,
      ownRules(facts).some((rule) => rule.chain === checksum.chain && rule.match === checksum.match),
    ),
    antispoof: presence(network.antispoof, checksSenders(name, facts)),
    source: network.source,
    icc: network.icc,
    routed: network.routed,
    internal: network.internal,
    served: served(network),
    dnsmasq: facts.dnsmasq[name]?.pid ?? null,
    reserved: { held: held.length, of: sizeOf(reserve) },
    containers: held.map(({ address: own, holder }) => containerStatus(network, own, holder, attachments)),
    leases: readLeases(name).map((lease) => ({ ...lease, hostname: leasedName(lease, attachments) })),
  };
}

const checksSenders = (name: string, { antispoof, nft }: HostFacts): boolean =>
  antispoof.noted[name] !== undefined &&
  Object.entries(BRIDGE_CHAINS).every(
    ([chain, { rules }]) => parseListing(nft ?? '').chains[chain]?.join('\n') === rules.join('\n'),
  );

const presence = (needed: boolean, there: boolean): Presence => (there ? 'present' : needed ? 'missing' : 'not needed');

/** Whether the kernel has the rules, and the network in the set that they ask. */
function masquerades(network: NetworkConfig, facts: HostFacts): boolean {
  const { sets, chains } = parseListing(facts.nft ?? '');
  const { postrouting } = wantedTable([network], facts.links).chains;
  const set = network.uplinks === '*' ? sets.subnets : sets.uplinks;
  const there = chains.postrouting?.join('\n') === postrouting?.rules.join('\n');
  return there && (set?.some((element) => element.split(' ')[0] === network.subnet) ?? false);
}

function containerStatus(
  { domain }: NetworkConfig,
  address: string,
  { id, ifname }: Holder,
  attachments: readonly AttachmentStatus[],
): ContainerStatus {
  const attachment = attachments.find(
    ({ holder, interfaces }) => holder === id && interfaces.some((one) => one.ifname === ifname),
  );
  return {
    name: id.replace(/^lxc-/, ''),
    address,
    ifname,
    dnsName: attachment?.names.find((name) => name.endsWith(`.${domain}`)) ?? null,
    running: attachment?.state === 'running',
    pid: attachment?.pid ?? null,
    ports: attachment?.ports ?? [],
    links: attachment?.links ?? [],
    source: attachment?.source ?? null,
    sharedBy: attachments.flatMap(({ name, shares }) =>
      shares !== null && attachment?.id === `lxc/${shares}` ? [name] : [],
    ),
  };
}

function others({ networks }: Config, attachments: readonly AttachmentStatus[]): OtherStatus[] {
  const ours = new Set<string | null>(networks.map(({ name }) => name));
  return attachments
    .filter(
      ({ shares, interfaces }) => shares === null && interfaces.some(({ store }) => !ours.has(store?.network ?? null)),
    )
    .map(({ name, state, interfaces, ports, links }) => ({
      name,
      running: state === 'running',
      interfaces: interfaces.map(({ ifname, driver, addresses }) => ({ ifname, driver, addresses })),
      ports,
      links,
    }));
}

const leasedName = ({ address }: Lease, attachments: readonly AttachmentStatus[]): string =>
  attachments.find(({ id }) => id === `dhcp/${address}`)?.names[0] ?? '';
