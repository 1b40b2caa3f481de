/**
 * What the kernel should have for one container: plain data, kept in the container's record, so that it can be put back after
 * a flush and taken away whatever the configuration says by then. src/attachment/policy.ts brings the kernel from one to the next.
 */
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

export interface Policy {
  /** The network, which is also the bridge, whose address is published. */
  network: string;
  /** The container's address on it. */
  address: string;
  /** ifindex of its port on the bridge, in the host (ip-link(8)); null when nobody knows. */
  port: number | null;
  /** The networks it is on that keep containers apart (icc = false): it must not run without the rules for that. */
  isolated: string[];
  publish: Published[];
  links: Link[];
  /** What links to this container open: its exposed and its published ports. */
  exposed: Port[];
}

/** The sets and maps that containers fill (nft(8)). */
export const PolicySets = {
  published: { kind: 'map', type: 'type inet_proto . inet_service : ipv4_addr . inet_service;' },
  published_at: { kind: 'map', type: 'type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service;' },
  links: { kind: 'set', type: 'type ipv4_addr . ipv4_addr . inet_proto . inet_service;' },
} as const;

export type PolicyElements = Record<keyof typeof PolicySets, string[]>;

/**
 * What policies put into them, in the words that nft prints.
 *
 *   published     tcp . 8080 : 10.0.0.2 . 80
 *   published_at  127.0.0.1 . tcp . 8080 : 10.0.0.2 . 80
 *   links         10.0.0.2 . 10.0.0.3 . tcp . 5432          parent . child
 */
export function elementsOf(...policies: Policy[]): PolicyElements {
  const published: string[] = [];
  const published_at: string[] = [];
  const links = new Set<string>();
  for (const { address, publish, links: linked } of policies) {
    for (const { protocol, hostAddress, hostPort, containerPort } of publish) {
      const mapping = `${protocol} . ${hostPort} : ${address} . ${containerPort}`;
      if (hostAddress === null) published.push(mapping);
      else published_at.push(`${hostAddress} . ${mapping}`);
    }
    // Two names for one container are one permission.
    for (const { from, to, ports } of linked)
      for (const { protocol, port } of ports) links.add(`${from} . ${to} . ${protocol} . ${port}`);
  }
  return { published, published_at, links: [...links] };
}
