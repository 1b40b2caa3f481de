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
  links: Link[];
  /** What links to this container open: its exposed and its published ports. */
  exposed: Port[];
  /** Addresses with prefix length that are masqueraded outside of their subnet (CNI's ipMasq), on networks that are not ours. */
  masquerade: Cidr[];
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
export const isEmptyPolicy = ({ isolated, publish, links, exposed, masquerade, egress }: Policy): boolean =>
  isolated.length + publish.length + links.length + exposed.length + masquerade.length + (egress?.to.length ?? 0) === 0;

/** Whether packets from 127.0.0.1 go to the container: they leave over the bridge, and answers come back (ip-sysctl, route_localnet). */
export const needsLocalnet = ({ publish }: Policy): boolean =>
  publish.some(({ hostAddress }) => hostAddress === null || hostAddress.startsWith('127.'));

/** The sets and maps that containers fill (nft(8)). `shared`: an element may be several containers' at once. */
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
  masqueraded: { kind: 'set', type: 'type ipv4_addr;', shared: false },
  masqueraded6: { kind: 'set', type: 'type ipv6_addr;', shared: false },
  local: { kind: 'set', type: 'type ipv4_addr . ipv4_addr; flags interval;', shared: true },
  local6: { kind: 'set', type: 'type ipv6_addr . ipv6_addr; flags interval;', shared: true },
} as const;

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
 *   masqueraded   10.77.0.5
 *   local         10.77.0.0/16 . 10.77.0.0/16               what stays in its own subnet is not masqueraded
 */
export function elementsOf(...policies: Policy[]): PolicyElements {
  const sets = Object.fromEntries(Object.keys(PolicySets).map((name) => [name, new Set<string>()])) as Record<
    keyof PolicyElements,
    Set<string>
  >;
  for (const { address, publish, publishFrom = [], egress, links, masquerade } of policies) {
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

/** Elements of our table that lead to or from addresses, for a record that does not say which are its own. */
export function elementsAbout(
  addresses: readonly string[],
  sets: Readonly<Record<string, readonly string[]>>,
): PolicyElements {
  const about = (element: string): boolean => element.split(/ [.:] /).some((word) => addresses.includes(word));
  return mapElements((name) => (sets[name] ?? []).filter(about));
}
