/** The addresses as they are used: with the gateways that a bridge or a pair implies, and the default routes that were asked for. Pure. */
import { canonicalCidr, formatIp, isV6, parseIp, subnetAround } from '../../model/address.ts';
import type { Conf } from './conf.ts';
import { isDefault, type Result, type Route } from './result.ts';

/**
 * `isDefaultGateway` is one default route of each family, as in the stock bridge (calcGateways), and none where there is one already.
 * Of several routes to one destination the first counts: with the stock plugins too the kernel has the others refused.
 */
export function withGateways(conf: Pick<Conf, 'kind' | 'isGateway' | 'isDefaultGateway'>, result: Result): Result {
  const implied = conf.kind === 'ptp' || (conf.kind === 'bridge' && conf.isGateway);
  const ips = result.ips.map((ip) => (implied && !ip.gateway ? { ...ip, gateway: firstAddress(ip.address) } : ip));
  const isThere = (routes: readonly Route[], v6: boolean) =>
    routes.some((route) => isDefault(route) && isV6(route.dst) === v6);
  const defaults = ips.flatMap(({ address, gateway }) =>
    gateway && !isThere(result.routes, isV6(address))
      ? [{ dst: isV6(address) ? '::/0' : '0.0.0.0/0', gw: gateway }]
      : [],
  );
  return { ...result, ips, routes: distinct([...result.routes, ...(conf.isDefaultGateway ? defaults : [])]) };
}

/** A route with another metric, or in another table, is another route. */
function distinct(routes: readonly Route[]): Route[] {
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
