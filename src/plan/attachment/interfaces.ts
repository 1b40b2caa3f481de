/** From a container's LXC configuration to what its networks need: pure. */

import { NethooksError } from '../../errors.ts';
import type { LxcNic } from '../../frontend/lxc/lxc-config.ts';
import { contains, isIPv4, subnetCidr, subnetOf, toNumber } from '../../model/address.ts';
import type { NetworkConfig } from '../../model/config.ts';
import type { NicOptions } from '../../model/container-options.ts';
import { macFor } from '../host/bridge.ts';

/** A network interface of a container on one of our networks. */
export interface Attachment {
  network: string;
  domain: string;
  ifname: string;
  /** The N of `lxc.net.N`. */
  nic?: number;
  address: string;
  /** Prefix length in bits. */
  prefix: number;
  gateway: string;
  mac: string;
  /** Whether the MAC is of our making, and has to be set. */
  setMac: boolean;
  /** Whether the container's own DHCP client sets the address. */
  dhcp?: true;
  /** Bytes; absent when it is the bridge's. */
  mtu?: number;
}

/** An interface and the network that it joins, before it has an address. */
export interface Joining {
  nic: LxcNic;
  network: NetworkConfig;
  /** A static address inside the subnet, from its options or from the LXC configuration. */
  wanted: string | null;
  options?: NicOptions;
}

/**
 * Which of a container's interfaces join networks of ours: the veths whose link is a bridge of ours.
 * @throws NethooksError when what its options say about an interface cannot be
 */
export function joinings(
  nics: LxcNic[],
  networks: NetworkConfig[],
  options: Record<string, NicOptions> = {},
): Joining[] {
  for (const [index, { network }] of Object.entries(options)) {
    const nic = nics.find((candidate) => candidate.index === Number(index));
    if (!nic) throw new NethooksError(`options for lxc.net.${index}: LXC's configuration has no such interface`);
    if (network !== null && (nic.type !== 'veth' || nic.link !== network))
      throw new NethooksError(
        `network = ${network}: lxc.net.${index} is ${nic.type === 'veth' ? `on ${nic.link ?? 'no bridge'}` : nic.type}; ` +
          `\`nethooks configure NAME --net bridge:${network}\` puts it there`,
      );
  }
  return nics.flatMap((nic) => {
    const network = networks.find((candidate) => candidate.name === nic.link);
    const own = options[nic.index];
    if (nic.type !== 'veth' || !network) {
      if (own && (own.address !== 'auto' || own.network !== null))
        throw new NethooksError(`address = ${own.address}: lxc.net.${nic.index} is on no network of ours`);
      return [];
    }
    const given = nic.addresses.map((address) => address.split('/')[0] as string);
    const inside = given.find((address) => contains(network.subnet, address)) ?? null;
    return [{ nic, network, wanted: own ? staticAddress(own, network, inside) : inside, ...(own && { options: own }) }];
  });
}

/** The address that an interface must have; null for any. */
function staticAddress({ address }: NicOptions, network: NetworkConfig, lxc: string | null): string | null {
  if (address === 'dhcp' && network.dhcp === null)
    throw new NethooksError(`address = dhcp: network ${network.name} has no DHCP; allowed: auto, or an address`);
  if (address === 'auto' || address === 'dhcp') return lxc;
  const { first, last } = subnetOf(network.address, network.prefix);
  if (!contains(network.subnet, address) || [first, last].includes(toNumber(address)) || address === network.address)
    throw new NethooksError(
      `address = ${address}: not a container's address in ${network.subnet}, network ${network.name}`,
    );
  if (lxc !== null && lxc !== address)
    throw new NethooksError(`address = ${address}: LXC's configuration says ${lxc}; allowed: one of the two`);
  return address;
}

/** An interface with its address. Without a MAC in the configuration it would get a new one at every start, and a new lease. */
export function attach({ nic, network, options }: Joining, address: string): Attachment {
  return {
    network: network.name,
    domain: network.domain,
    ifname: nic.name,
    nic: nic.index,
    address,
    prefix: network.prefix,
    gateway:
      nic.gateway && isIPv4(nic.gateway) && contains(network.subnet, nic.gateway) ? nic.gateway : network.address,
    mac: nic.hwaddr ?? macFor(address),
    setMac: nic.hwaddr === undefined,
    ...(options?.address === 'dhcp' && { dhcp: true as const }),
    ...(options && options.mtu !== 'auto' && { mtu: options.mtu }),
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
  return attachments.flatMap(({ ifname, address, prefix, gateway, mac, setMac, dhcp, mtu }, index) => {
    const link = NEXTHOP_BASE + 2 * index;
    const device = [
      ...(setMac ? [`link set dev ${ifname} address ${mac}`] : []),
      // Inside only: the bridge would take on the smallest MTU of its ports.
      ...(mtu === undefined ? [] : [`link set dev ${ifname} mtu ${mtu}`]),
      `link set dev ${ifname} up`,
    ];
    if (dhcp) return device;
    return [
      ...device,
      `addr replace ${address}/${prefix} broadcast + dev ${ifname}`,
      `addr replace ${address}/32 dev lo scope host`,
      `nexthop replace id ${link} dev ${ifname}`,
      `route replace ${subnetCidr(`${address}/${prefix}`)} nhid ${link} src ${address} metric ${1000 + index}`,
      ...(index === 0
        ? [
            `nexthop replace id ${link + 1} via ${gateway} dev ${ifname}`,
            `route replace default nhid ${link + 1} src ${address}`,
          ]
        : []),
    ];
  });
}

/**
 * The hosts file of a container in one domain (hosts(5)): the full name first, as reverse look-ups give the first.
 * @param own its names, bare
 * @param linked names below its own that stand for somebody else's address
 */
export function hostsFile(
  own: readonly string[],
  linked: readonly { name: string; address: string }[],
  domain: string,
  attachments: Attachment[],
): string {
  const names = own.map((name) => `${name}.${domain} ${name}`).join(' ');
  const mine = attachments.filter((attachment) => attachment.domain === domain && names !== '');
  return [
    ...mine.map(({ address }) => `${address} ${names}\n`),
    ...linked.map(({ name, address }) => `${address} ${name}.${domain}\n`),
  ].join('');
}

/**
 * A reservation as dnsmasq reads it (dnsmasq(8), --dhcp-host): whoever has this MAC gets this address. No name in it: a lease
 * outlives the container, and its name would go on answering. No `set:TAG` either, by which single containers could be told
 * other servers: dnsmasq 2.90 that reads such a line anew (SIGHUP) after it has used it crashes.
 */
export function dhcpHost({ mac, address }: Attachment): string {
  return `${mac},${address}\n`;
}
