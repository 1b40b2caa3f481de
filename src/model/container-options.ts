/** A container's options after validation: plain JSON data, so that hooks read it back from the cache as it is. */

import type { Cidr } from './address.ts';
import type { NameDefaults } from './config.ts';
import type { Egress } from './policy.ts';
import type { Port, PortSpec } from './ports.ts';

/** What one interface of a container is given. */
export interface NicOptions {
  /** The network that it must be on; null: whichever LXC's configuration names. */
  network: string | null;
  /**
   * `auto`: the sticky address of the reserve. `dhcp`: the same, but the container's own DHCP client sets it. Otherwise a static
   * IPv4 address.
   */
  address: string;
  /** Bytes; `auto`: the bridge's, which LXC gives it. */
  mtu: number | 'auto';
}

/** `link = container:alias` (Docker's --link). */
export interface LinkOption {
  /** The child: whose exposed ports may be reached. */
  container: string;
  /** What the parent calls it. */
  alias: string;
}

/** Everything that can be said about one container. Empty lists and null say nothing: the network's and the host's words hold. */
export interface ContainerOptions extends NameDefaults {
  /** By the N of `lxc.net.N`. */
  nics: Record<string, NicOptions>;
  /** Seen inside only, as Docker's -h; null: what LXC's configuration says. */
  hostname: string | null;
  /** Further DNS names, in each network's domain. */
  aliases: string[];
  publish: PortSpec[];
  expose: Port[];
  publishAll: boolean;
  /** Subnets without overlaps; none: everybody. */
  publishFrom: Cidr[];
  egress: Egress[];
  /** The host's address that it sends from, outside; null: its network's. */
  source: string | null;
  link: LinkOption[];
  /** Whether it may change a network that is not its own. */
  netAdmin: boolean;
  /** `auto`: written unless it is a symbolic link; `force`: then too; `none`: never. */
  resolvConf: 'auto' | 'force' | 'none';
}

export const NIC_DEFAULTS: NicOptions = { network: null, address: 'auto', mtu: 'auto' };

/** A container that says nothing. */
export const NO_OPTIONS: ContainerOptions = {
  nics: {},
  hostname: null,
  aliases: [],
  publish: [],
  expose: [],
  publishAll: false,
  publishFrom: [],
  egress: [],
  source: null,
  link: [],
  netAdmin: false,
  dns: [],
  dnsSearch: [],
  dnsOption: [],
  extraHost: [],
  resolvConf: 'auto',
};
