/** The addresses as they are used: with the gateways that a bridge or a pair implies, and the default routes that were asked for. Pure. */
import { canonicalCidr, formatIp, parseIp, subnetAround } from '../../model/address.ts';
import { withDefaultRoutes } from '../../plan/attachment/wiring.ts';
import type { Conf } from './conf.ts';
import type { Result, Route } from './result.ts';

/**
 * `isDefaultGateway` is one default route of each family, as in the stock bridge (calcGateways), and none where there is one already.
 * Of several routes to one destination the first counts: with the stock plugins too the kernel has the others refused.
 */
export function withGateways(conf: Pick<Conf, 'kind' | 'isGateway' | 'isDefaultGateway'>, result: Result): Result {
  const implied = conf.kind === 'ptp' || (conf.kind === 'bridge' && conf.isGateway);
  const ips = result.ips.map((ip) => (implied && !ip.gateway ? { ...ip, gateway: firstAddress(ip.address) } : ip));
  const routes = conf.isDefaultGateway ? withDefaultRoutes(result.routes, ips) : result.routes;
  return { ...result, ips, routes: distinct(routes as Route[]) };
}

/** The first of several routes to one destination. One with another metric, or in another table, is another route. */
export function distinct(routes: readonly Route[]): Route[] {
  const first = new Map<string, Route>();
  for (const route of routes) {
    const key = `${canonicalCidr(route.dst)} ${route.table ?? ''} ${route.priority ?? ''}`;
    if (!first.has(key)) first.set(key, route);
  }
  return [...first.values()];
}

/** The address that a gateway has when nothing says which: the first of the subnet that an address with prefix length is in. */
export function firstAddress(address: string): string {
  const [text = '', prefix] = address.split('/');
  const ip = parseIp(text);
  if (!ip) throw new TypeError(`not an address: ${JSON.stringify(address)}`);
  return formatIp({ bits: ip.bits, value: subnetAround(ip, Number(prefix ?? ip.bits)).first + 1n });
}
