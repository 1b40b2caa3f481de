/** What there is in the network namespace of a running container: plain data. */

export interface InsideRoute {
  device: string;
  /** CIDR. */
  destination: string;
  /** Null: what is on the link itself. */
  gateway: string | null;
}

export interface InsideFact {
  /** Its IPv4 addresses, of all interfaces. */
  local: readonly string[];
  /** Of the main table, IPv4. */
  routes: readonly InsideRoute[];
  /** What its interfaces say of themselves, by name; without those where nobody has looked. */
  links: Record<string, { mac?: string; mtu?: number }>;
}
