/**
 * The `ip -batch` lines that put an interface into a network namespace: pure. The namespace is the open file descriptor 3 of whoever
 * runs them. A link is made where it belongs, with its name, its MAC and its bridge, in one line: nothing is renamed or moved.
 */
import { bare, hostCidr, isV6, subnetCidr, word } from '../../model/address.ts';

/** One address of the interface. */
export interface WiredIp {
  /** With prefix length. */
  address: string;
  gateway?: string | undefined;
}

/** A route inside the namespace. */
export interface WiredRoute {
  dst: string;
  gw?: string | undefined;
  mtu?: number | undefined;
  advmss?: number | undefined;
  priority?: number | undefined;
  table?: number | undefined;
  scope?: number | undefined;
}

/** A pair of which one end stays on the host. */
export interface VethWiring {
  hostName: string;
  hostMac: string;
  ifname: string;
  mac: string;
  /** Bytes; null for the kernel's 1500. */
  mtu: number | null;
  /** The bridge that the host's end joins; null when it stands alone (ptp). */
  bridge: string | null;
  hairpin: boolean;
}

/** An interface on top of one of the host's. */
export interface StackedWiring {
  type: 'macvlan' | 'ipvlan';
  mode: string;
  master: string;
  ifname: string;
  /** null: ipvlan has its master's. */
  mac: string | null;
  mtu: number | null;
}

/** The namespace, for whoever runs the lines. */
export const NAMESPACE = '/proc/self/fd/3';

const mtuWords = (mtu: number | null): string => (mtu === null ? '' : ` mtu ${mtu}`);

/** On the host. The other end cannot be up yet: the kernel does not let one end of half a pair come up. */
export function vethCommands({ hostName, hostMac, ifname, mac, mtu, bridge, hairpin }: VethWiring): string[] {
  const near = `name ${hostName} address ${hostMac}${mtuWords(mtu)} up${bridge === null ? '' : ` master ${bridge}`}`;
  const far = `name ${ifname} address ${mac}${mtuWords(mtu)} netns ${NAMESPACE}`;
  return [
    `link add ${near} type veth peer ${far}`,
    ...(bridge !== null && hairpin ? [`link set dev ${hostName} type bridge_slave hairpin on`] : []),
  ];
}

/** On the host. */
export function stackedCommands({ type, mode, master, ifname, mac, mtu }: StackedWiring): string[] {
  const address = mac === null ? '' : ` address ${mac}`;
  return [
    `link add link ${master} name ${ifname}${address}${mtuWords(mtu)} netns ${NAMESPACE} up type ${type} mode ${mode}`,
  ];
}

/** On the host, for a pair without a bridge: the gateway's address on every pair, and the way to each container. */
export function ptpHostCommands(hostName: string, ips: readonly WiredIp[]): string[] {
  return ips.flatMap(({ address, gateway }) => [
    ...(gateway ? [`addr replace ${hostCidr(gateway)} dev ${hostName}${isV6(gateway) ? ' nodad' : ''}`] : []),
    `route replace ${hostCidr(address)} dev ${hostName}`,
  ]);
}

/**
 * Inside. With `ptp` even neighbours in the subnet are reached through the gateway: there is nobody else on the wire.
 * @param mtu to set on the interface; null to leave it
 */
export function insideCommands(
  ifname: string,
  ips: readonly WiredIp[],
  routes: readonly WiredRoute[],
  { ptp = false, mtu = null as number | null } = {},
): string[] {
  return [
    `link set dev ${ifname}${mtuWords(mtu)} up`,
    ...ips.map(({ address }) => {
      if (isV6(address)) return `addr add ${word(address)} dev ${ifname} nodad${ptp ? ' noprefixroute' : ''}`;
      return `addr add ${word(address)} broadcast + dev ${ifname}${ptp ? ' noprefixroute' : ''}`;
    }),
    ...(ptp ? ips.flatMap((ip) => throughGateway(ifname, ip)) : []),
    ...routes.map((route) => routeCommand(ifname, ips, route)),
  ];
}

function throughGateway(ifname: string, { address, gateway }: WiredIp): string[] {
  if (!gateway) return [];
  const source = bare(address);
  return [
    `route replace ${hostCidr(gateway)} dev ${ifname} scope link src ${source}`,
    `route replace ${subnetCidr(address)} via ${gateway} dev ${ifname} src ${source}`,
  ];
}

/**
 * Without a gateway of its own a route goes through the first address's of its family; without any it is the link's. Appended: where
 * another interface has such a route already, that one is used as long as it is there, as with the stock plugins.
 */
function routeCommand(ifname: string, ips: readonly WiredIp[], route: WiredRoute): string {
  const { dst, gw, mtu, advmss, priority, table, scope } = route;
  const same = ips.filter(({ address }) => isV6(address) === isV6(dst));
  const via = gw ?? same.find(({ gateway }) => gateway)?.gateway;
  const option = (name: string, value: number | undefined): string => (value ? ` ${name} ${Number(value)}` : '');
  return (
    `route append ${word(dst)}${via && scope !== 253 ? ` via ${word(via)}` : ''} dev ${ifname}` +
    `${option('scope', scope)}${option('mtu', mtu)}${option('advmss', advmss)}` +
    `${option('metric', priority)}${option('table', table)}`
  );
}

/** Our nexthop objects' ids begin here, far from what a routing daemon in the container counts up from. */
const NEXTHOP_BASE = 0x6e680000;

/** An interface that LXC made. */
export interface AnchoredWiring {
  ifname: string;
  ip: WiredIp | null;
  /** null: it stays as it is. */
  mac: string | null;
  /** Bytes; null for the bridge's. */
  mtu: number | null;
  /** Whether the container's own DHCP client sets the address. */
  dhcp: boolean;
  /** Its place among the container's interfaces; the default route goes through the first. */
  index: number;
}

/**
 * Lines for `ip -batch` in the container's network namespace.
 *
 * A DHCP client in the container begins by dropping every address (udhcpc's `deconfig`), and with an interface's last address
 * the kernel drops its routes, for as long as the lease takes. So the address is anchored: it is on `lo` as well, and a
 * second set of routes hangs on nexthop objects (ip-nexthop(8)), which outlive addresses and go when the link goes.
 */
export function anchoredCommands({ ifname, ip, mac, mtu, dhcp, index }: AnchoredWiring): string[] {
  // The MTU inside only: the bridge would take on the smallest of its ports.
  const device = [`link set dev ${ifname}${mac === null ? '' : ` address ${mac}`}${mtuWords(mtu)} up`];
  if (dhcp || ip === null) return device;
  const link = NEXTHOP_BASE + 2 * index;
  const source = bare(ip.address);
  return [
    ...device,
    `addr replace ${word(ip.address)} broadcast + dev ${ifname}`,
    `addr replace ${hostCidr(source)} dev lo scope host`,
    `nexthop replace id ${link} dev ${ifname}`,
    `route replace ${subnetCidr(ip.address)} nhid ${link} src ${source} metric ${1000 + index}`,
    ...(index === 0 && ip.gateway
      ? [
          `nexthop replace id ${link + 1} via ${word(ip.gateway)} dev ${ifname}`,
          `route replace default nhid ${link + 1} src ${source}`,
          // A client deletes one default route, ours, some ms before it adds its own (busybox's script for udhcpc).
          `route replace default nhid ${link + 1} src ${source} metric 1000`,
        ]
      : []),
  ];
}

/** The routes with one default route for each family, through its first address that has a gateway, where there is none yet. */
export function withDefaultRoutes(routes: readonly WiredRoute[], ips: readonly WiredIp[]): WiredRoute[] {
  const missing = [false, true].filter(
    (v6) => !routes.some(({ dst }) => /^(0\.0\.0\.0|::)\/0$/.test(dst) && isV6(dst) === v6),
  );
  const through = missing.flatMap((v6) => ips.find(({ address, gateway }) => gateway && isV6(address) === v6) ?? []);
  const defaults = through.map(({ address, gateway }) => ({ dst: isV6(address) ? '::/0' : '0.0.0.0/0', gw: gateway }));
  return [...routes, ...defaults];
}

/** The CNI network name of what `nethooks attach` makes, after which its interfaces are named. */
export const ATTACHED = 'attach';
