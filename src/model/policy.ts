/**
 * What the kernel should have for one container: plain data, kept in the container's record, so that it can be put back after
 * a flush and taken away whatever the configuration says by then.
 */
import { bare, type Cidr, isV6, subnetCidr } from './address.ts';
import type { Port, Protocol } from './ports.ts';

/** A port of the host that leads to a port of the container. */
export interface Published {
  protocol: Protocol;
  /** The host's address that it is published at; null is all of them. */
  hostAddress: string | null;
  hostPort: number;
  containerPort: number;
}

/** What this container (the parent) may reach of another one (the child) where containers are kept apart. */
export interface Link {
  /** The child. */
  container: string;
  /** What the parent calls it. */
  alias: string;
  /** The parent's address. */
  from: string;
  /** The child's address. */
  to: string;
  /** The child's exposed ports. */
  ports: Port[];
}

/** What a container may reach. */
export interface Egress {
  subnet: Cidr;
  /** Of TCP and UDP; null: everything there. */
  port: number | null;
}

/** What a container sends over its port of a bridge: frames with its own MAC, from its own addresses. */
export interface Sender {
  /** ifindex of the port, in the host: it stays when the port is renamed, and nobody gets it again. */
  port: number;
  mac: string;
  /** IPv4, without prefix length. */
  addresses: string[];
  /** Whether its network keeps containers apart: then ports that nobody registered pass nothing on to it, and use neither. */
  apart: boolean;
}

export interface Policy {
  /** The network, which is also the bridge, whose address is published; null on none of ours. */
  network: string | null;
  /** The container's address on it; empty on none of ours. */
  address: string;
  /** ifindex of its port on the bridge, in the host (ip-link(8)); null when nobody knows. */
  port: number | null;
  /** The networks it is on that keep containers apart (icc = false): it must not run without the rules for that. */
  isolated: string[];
  publish: Published[];
  /** Whose connections to published ports are let through; none or undefined: everybody's. */
  publishFrom?: Cidr[];
  /** What it may begin to talk to, from all of its addresses, beside its networks' DNS and DHCP; undefined: everything. */
  egress?: { from: string[]; to: Egress[] };
  /** What it sends outside comes from this address of the host, instead of the one that masquerading takes. */
  source?: { from: string[]; to: string };
  links: Link[];
  /** What links to this container open: its exposed and its published ports. */
  exposed: Port[];
  /** Addresses with prefix length that are masqueraded outside of their subnet (CNI's ipMasq), on networks that are not ours. */
  masquerade: Cidr[];
  /** Never in a record: it follows from the interfaces, and from what their networks check (model/antispoof.ts). */
  senders?: Sender[];
}

/** A container that needs nothing. */
export const NO_POLICY: Policy = {
  network: null,
  address: '',
  port: null,
  isolated: [],
  publish: [],
  links: [],
  exposed: [],
  masquerade: [],
};

/** Whether the kernel has to do nothing for it, and it opens nothing to links. */
export const isEmptyPolicy = ({ isolated, publish, links, exposed, masquerade, egress, source }: Policy): boolean =>
  source === undefined &&
  isolated.length + publish.length + links.length + exposed.length + masquerade.length + (egress?.to.length ?? 0) === 0;

/** Whether packets from 127.0.0.1 go to the container: they leave over the bridge, and answers come back (ip-sysctl, route_localnet). */
export const needsLocalnet = ({ publish }: Policy): boolean =>
  publish.some(({ hostAddress }) => hostAddress === null || hostAddress.startsWith('127.'));

/**
 * The sets and maps that containers fill (nft(8)). `shared`: an element may be several containers' at once. `bridge`: in the table of the
 * bridge family.
 */
export const PolicySets = {
  published: { kind: 'map', type: 'type inet_proto . inet_service : ipv4_addr . inet_service;', shared: false },
  published_at: {
    kind: 'map',
    type: 'type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service;',
    shared: false,
  },
  links: { kind: 'set', type: 'type ipv4_addr . ipv4_addr . inet_proto . inet_service;', shared: false },
  limited: { kind: 'set', type: 'type ipv4_addr;', shared: false },
  publish_from: { kind: 'set', type: 'type ipv4_addr . ipv4_addr; flags interval;', shared: false },
  confined: { kind: 'set', type: 'type ipv4_addr;', shared: false },
  egress: { kind: 'set', type: 'type ipv4_addr . ipv4_addr; flags interval;', shared: false },
  egress_ports: {
    kind: 'set',
    type: 'type ipv4_addr . ipv4_addr . inet_proto . inet_service; flags interval;',
    shared: false,
  },
  sources: { kind: 'map', type: 'type ipv4_addr : ipv4_addr;', shared: false },
  masqueraded: { kind: 'set', type: 'type ipv4_addr;', shared: false },
  masqueraded6: { kind: 'set', type: 'type ipv6_addr;', shared: false },
  local: { kind: 'set', type: 'type ipv4_addr . ipv4_addr; flags interval;', shared: true },
  local6: { kind: 'set', type: 'type ipv6_addr . ipv6_addr; flags interval;', shared: true },
  ports: { kind: 'set', type: 'type iface_index;', shared: false, bridge: true },
  port_macs: { kind: 'set', type: 'type iface_index . ether_addr;', shared: false, bridge: true },
  senders: { kind: 'set', type: 'type iface_index . ether_addr . ipv4_addr;', shared: false, bridge: true },
  apart: { kind: 'set', type: 'type iface_index;', shared: false, bridge: true },
  taken_macs: { kind: 'set', type: 'type ether_addr;', shared: false, bridge: true },
  taken: { kind: 'set', type: 'type ipv4_addr;', shared: false, bridge: true },
} as const;

/** Whether a set is in the table of the bridge family. */
export const isBridgeSet = (name: string): boolean =>
  Object.hasOwn(PolicySets, name) && 'bridge' in PolicySets[name as keyof typeof PolicySets];

export type PolicyElements = Record<keyof typeof PolicySets, string[]>;

/**
 * What policies put into them, in the words that nft prints.
 *
 *   published     tcp . 8080 : 10.0.0.2 . 80
 *   published_at  127.0.0.1 . tcp . 8080 : 10.0.0.2 . 80
 *   links         10.0.0.2 . 10.0.0.3 . tcp . 5432          parent . child
 *   limited       10.0.0.2                                  its ports are for those in publish_from alone
 *   publish_from  10.0.0.2 . 192.0.2.0/24
 *   confined      10.0.0.2                                  reaches only what is in egress and egress_ports
 *   egress        10.0.0.2 . 192.0.2.0/24
 *   egress_ports  10.0.0.2 . 192.0.2.0/24 . tcp . 443
 *   sources       10.0.0.2 : 192.0.2.9
 *   masqueraded   10.77.0.5
 *   local         10.77.0.0/16 . 10.77.0.0/16               what stays in its own subnet is not masqueraded
 *   ports         12                                        the ports whose senders are known, by ifindex
 *   port_macs     12 . 02:6e:0a:00:00:02
 *   senders       12 . 02:6e:0a:00:00:02 . 10.0.0.2
 *   apart         12                                        those of networks with icc = false; the same for
 *   taken_macs    02:6e:0a:00:00:02                         what nobody else there may send with
 *   taken         10.0.0.2
 */
export function elementsOf(...policies: Policy[]): PolicyElements {
  const sets = Object.fromEntries(Object.keys(PolicySets).map((name) => [name, new Set<string>()])) as Record<
    keyof PolicyElements,
    Set<string>
  >;
  for (const { address, publish, publishFrom = [], egress, source, links, masquerade, senders = [] } of policies) {
    if (publish.length > 0 && publishFrom.length > 0) sets.limited.add(address);
    if (publish.length > 0) for (const one of publishFrom) sets.publish_from.add(`${address} . ${printed(one)}`);
    for (const from of egress?.from ?? []) {
      sets.confined.add(from);
      for (const { subnet, port } of egress?.to ?? []) {
        const there = `${from} . ${printed(subnet)}`;
        if (port === null) sets.egress.add(there);
        else for (const protocol of ['tcp', 'udp']) sets.egress_ports.add(`${there} . ${protocol} . ${port}`);
      }
    }
    for (const from of source?.from ?? []) sets.sources.add(`${from} : ${source?.to}`);
    for (const { port, mac, addresses, apart } of senders) {
      sets.ports.add(`${port}`);
      sets.port_macs.add(`${port} . ${mac}`);
      for (const own of addresses) sets.senders.add(`${port} . ${mac} . ${own}`);
      if (!apart) continue;
      sets.apart.add(`${port}`);
      sets.taken_macs.add(mac);
      for (const own of addresses) sets.taken.add(own);
    }
    for (const { protocol, hostAddress, hostPort, containerPort } of publish) {
      const mapping = `${protocol} . ${hostPort} : ${address} . ${containerPort}`;
      if (hostAddress === null) sets.published.add(mapping);
      else sets.published_at.add(`${hostAddress} . ${mapping}`);
    }
    // Two names for one container are one permission.
    for (const { from, to, ports } of links)
      for (const { protocol, port } of ports) sets.links.add(`${from} . ${to} . ${protocol} . ${port}`);
    for (const one of masquerade) {
      const within = subnetCidr(one).replace(/\/(32|128)$/, ''); // which nft leaves out
      sets[isV6(one) ? 'masqueraded6' : 'masqueraded'].add(bare(one));
      sets[isV6(one) ? 'local6' : 'local'].add(`${within} . ${within}`);
    }
  }
  return Object.fromEntries(Object.entries(sets).map(([name, set]) => [name, [...set]])) as PolicyElements;
}

/** nft leaves /32 out. */
const printed = (subnet: Cidr): string => subnet.replace(/\/32$/, '');

/** What `from` has and `without` has not. */
export function subtractElements(from: PolicyElements, without: PolicyElements): PolicyElements {
  return mapElements((name) => {
    const other = new Set(without[name]);
    return from[name].filter((element) => !other.has(element));
  });
}

/** Elements made set by set. */
export const mapElements = (make: (name: keyof PolicyElements) => string[]): PolicyElements =>
  Object.fromEntries(
    (Object.keys(PolicySets) as (keyof PolicyElements)[]).map((name) => [name, make(name)]),
  ) as PolicyElements;

/**
 * Elements of our tables that lead to or from addresses, for a record that does not say which are its own. With an address goes the port
 * that sends with it, and its MAC.
 */
export function elementsAbout(
  addresses: readonly string[],
  sets: Readonly<Record<string, readonly string[]>>,
): PolicyElements {
  const about =
    (known: readonly string[]) =>
    (element: string): boolean =>
      element.split(/ [.:] /).some((word) => known.includes(word));
  const own = (sets.senders ?? []).filter(about(addresses)).flatMap((element) => element.split(' . '));
  return mapElements((name) =>
    (sets[name] ?? []).filter(about(isBridgeSet(name) ? [...addresses, ...own] : addresses)),
  );
}
