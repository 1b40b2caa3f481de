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
  /** The bridge's own MAC where nobody has set it, to be set before the port joins; absent or null to leave it. */
  bridgeMac?: string | null;
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

const NAMESPACE = '/proc/self/fd/3';

const mtuWords = (mtu: number | null): string => (mtu === null ? '' : ` mtu ${mtu}`);

/** On the host. The other end cannot be up yet: the kernel does not let one end of half a pair come up. */
export function vethCommands(wiring: VethWiring): string[] {
  const { hostName, hostMac, ifname, mac, mtu, bridge, hairpin, bridgeMac = null } = wiring;
  const near = `name ${hostName} address ${hostMac}${mtuWords(mtu)} up${bridge === null ? '' : ` master ${bridge}`}`;
  const far = `name ${ifname} address ${mac}${mtuWords(mtu)} netns ${NAMESPACE}`;
  return [
    ...(bridge !== null && bridgeMac !== null ? [`link set dev ${bridge} address ${bridgeMac}`] : []),
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

/** FNV-1a: short names for long ids. Not for secrets. */
function fnv(text: string, seed: number): number {
  let hash = 0x811c9dc5 ^ seed;
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  return hash >>> 0;
}

const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0').slice(-digits);

/** The host's end of a container's pair. Made from its ids, so that it is found again without a record: `veth` and 8 digits, as rkt's. */
export const hostLinkOf = (networkName: string, id: string, ifname: string): string =>
  `veth${hex(fnv(`${networkName}/${id}/${ifname}`, 0), 8)}`;

/** A MAC of our own making for an interface whose address is not known before it is there: the same at every start, for DHCP. */
export function macOf(networkName: string, id: string, ifname: string): string {
  const text = `${networkName}/${id}/${ifname}`;
  const digits = `${hex(fnv(text, 1), 8)}${hex(fnv(text, 2), 2)}`;
  return ['06', ...(digits.match(/../g) as string[])].join(':');
}
