/** What CHECK compares inside the container: what `ip` shows there with the result of ADD. Pure. */
import { canonicalCidr, isV6 } from '../../model/address.ts';
import type { Request } from './request.ts';
import { isDefault, isRecord, type Result, type Route } from './result.ts';

/**
 * Lines for `ip -json -batch` in the namespace. Without `table all`, `route show` in a batch lists IPv4 alone, whatever the prefix
 * (iproute2 6.1, ip/iproute.c); with it, the prefix selects the family.
 */
export const SHOW_INSIDE = ['address show', 'route show table all root 0.0.0.0/0', 'route show table all root ::/0'];

/**
 * The first thing that the container lacks; null when all is there.
 * @param output what `ip` printed for {@link SHOW_INSIDE}, one list per line
 */
export function differenceInside(
  output: string,
  { ifname, netns }: Pick<Request, 'ifname' | 'netns'>,
  expected: Result,
): string | null {
  const link = shown(output).find((one) => one.ifname === ifname);
  if (!link) return `interface ${ifname} is not in the container`;
  const own = expected.interfaces.findIndex(({ name, sandbox }) => name === ifname && sandbox === netns);
  const wanted = expected.interfaces[own];
  if (wanted?.mac && wanted.mac.toLowerCase() !== link.address)
    return `interface ${ifname} has MAC ${link.address}, not ${wanted.mac}`;
  const addresses = link.addr_info.map(({ local, prefixlen }) => `${local}/${prefixlen}`);
  const missing = expected.ips
    .filter((ip) => ip.interface === undefined || ip.interface === own)
    .filter(({ address }) => !addresses.includes(canonicalCidr(address)));
  if (missing.length > 0) return `interface ${ifname} lacks ${missing.map(({ address }) => address).join(', ')}`;
  const [, ipv4 = [], ipv6 = []] = output
    .split('\n')
    .filter((line) => line.startsWith('['))
    .map((line) => (JSON.parse(line) as unknown[]).filter(isRecord));
  const lost = expected.routes.find((route) => !(isV6(route.dst) ? ipv6 : ipv4).some((one) => isRoute(one, route)));
  return lost ? `the route to ${lost.dst} is missing in the container` : null;
}

/** What `ip -json address show` says about a link. */
export interface ShownLink {
  ifname: string;
  address?: string;
  flags: string[];
  addr_info: { local?: string; prefixlen?: number }[];
}

/** The lists of links that `ip -json` printed, one after the other, as one list. */
export function shown(stdout: string): ShownLink[] {
  return stdout
    .split('\n')
    .filter((line) => line.startsWith('['))
    .flatMap((line) => JSON.parse(line) as ShownLink[])
    .filter((link) => link.ifname !== undefined);
}

/** Whether a route that `ip -json` shows is the one of the result: what the result does not say may be anything. */
function isRoute(one: Record<string, unknown>, { dst, gw, table }: Route): boolean {
  const wanted = isDefault({ dst }) ? 'default' : canonicalCidr(dst).replace(/\/(32|128)$/, '');
  if (one.dst !== wanted) return false;
  if (table !== undefined && table !== MAIN_TABLE && one.table !== String(table)) return false;
  return !gw || gatewaysOf(one).includes(canonicalCidr(gw));
}

/** `ip` leaves this table out. */
const MAIN_TABLE = 254;

/** One, or those of a multipath route; an IPv4 route may have one of IPv6 (`via`). */
function gatewaysOf({ gateway, via, nexthops }: Record<string, unknown>): unknown[] {
  const more = Array.isArray(nexthops) ? nexthops.filter(isRecord).flatMap(gatewaysOf) : [];
  return [gateway, isRecord(via) ? via.host : undefined, ...more];
}
