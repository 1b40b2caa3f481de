/** From a container's LXC configuration to what its networks need: pure. */
import type { NetworkConfig } from '../config/types.ts';
import { macFor } from './bridge.ts';
import { cidr, contains, isIPv4 } from './ipv4.ts';
import type { LxcNic } from './lxc-config.ts';

/** A network interface of a container on one of our networks. */
export interface Attachment {
  network: string;
  domain: string;
  ifname: string;
  address: string;
  /** Prefix length in bits. */
  prefix: number;
  gateway: string;
  mac: string;
  /** Whether the MAC is of our making, and has to be set. */
  setMac: boolean;
}

/** An interface and the network that it joins, before it has an address. */
export interface Joining {
  nic: LxcNic;
  network: NetworkConfig;
  /** The address that the LXC configuration itself gives it, inside the subnet. */
  wanted: string | null;
}

/** Which of a container's interfaces join networks of ours: the veths whose link is a bridge of ours. */
export function joinings(nics: LxcNic[], networks: NetworkConfig[]): Joining[] {
  return nics.flatMap((nic) => {
    const network = networks.find((candidate) => candidate.name === nic.link);
    if (nic.type !== 'veth' || !network) return [];
    const given = nic.addresses.map((address) => address.split('/')[0] as string);
    return [{ nic, network, wanted: given.find((address) => contains(network.subnet, address)) ?? null }];
  });
}

/** An interface with its address. Without a MAC in the configuration it would get a new one at every start, and a new lease. */
export function attach({ nic, network }: Joining, address: string): Attachment {
  return {
    network: network.name,
    domain: network.domain,
    ifname: nic.name,
    address,
    prefix: network.prefix,
    gateway: nic.gateway && isIPv4(nic.gateway) ? nic.gateway : network.address,
    mac: nic.hwaddr ?? macFor(address),
    setMac: nic.hwaddr === undefined,
  };
}

/** Our nexthop objects' ids begin here, far from what a routing daemon in the container counts up from. */
const NEXTHOP_BASE = 0x6e680000;

/**
 * Lines for `ip -batch` in the container's network namespace. The default route goes through the first interface.
 *
 * A DHCP client in the container begins by dropping every address (udhcpc's `deconfig`), and with an interface's last address
 * the kernel drops its routes, for as long as the lease takes. So the address is anchored: it is on `lo` as well, and a
 * second set of routes hangs on nexthop objects (ip-nexthop(8)), which outlive addresses and go when the link goes.
 */
export function attachCommands(attachments: Attachment[]): string[] {
  return attachments.flatMap(({ ifname, address, prefix, gateway, mac, setMac }, index) => {
    const link = NEXTHOP_BASE + 2 * index;
    return [
      ...(setMac ? [`link set dev ${ifname} address ${mac}`] : []),
      `link set dev ${ifname} up`,
      `addr replace ${address}/${prefix} broadcast + dev ${ifname}`,
      `addr replace ${address}/32 dev lo scope host`,
      `nexthop replace id ${link} dev ${ifname}`,
      `route replace ${cidr(address, prefix)} nhid ${link} src ${address} metric ${1000 + index}`,
      ...(index === 0
        ? [
            `nexthop replace id ${link + 1} via ${gateway} dev ${ifname}`,
            `route replace default nhid ${link + 1} src ${address}`,
          ]
        : []),
    ];
  });
}

/** The hosts file of a container in one domain (hosts(5)): the full name first, as reverse look-ups give the first. */
export function hostsFile(name: string, domain: string, attachments: Attachment[]): string {
  return attachments
    .filter((attachment) => attachment.domain === domain)
    .map(({ address }) => `${address} ${name}.${domain} ${name}\n`)
    .join('');
}

/**
 * A reservation as dnsmasq reads it (dnsmasq(8), --dhcp-host): whoever has this MAC gets this address. No name in it: a lease
 * outlives the container, and its name would go on answering.
 */
export function dhcpHost({ mac, address }: Attachment): string {
  return `${mac},${address}\n`;
}
