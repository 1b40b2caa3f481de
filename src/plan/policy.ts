/**
 * What the kernel should have for one container: plain data, kept in the container's record, so that it can be put back after
 * a flush and taken away whatever the configuration says by then. src/engine/policy.ts brings the kernel from one to the next.
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
  /** Whether the network keeps its containers apart (icc = false): then the container must not run without the rules for it. */
  isolated: boolean;
  publish: Published[];
  links: Link[];
  /** What links to this container open: its exposed and its published ports. */
  exposed: Port[];
}
