/** The host's routes, without a process. */
import { readFileSync } from 'node:fs';
import { toAddress } from '../model/address.ts';
import type { RouteFact } from '../model/facts.ts';

/**
 * The main table from /proc/net/route, whose numbers are little-endian hexadecimal (proc(5)): no process needed. Routes wider than
 * a /8 say where the rest of the world is (a VPN halves 0.0.0.0/0), not that a subnet is in use.
 */
export function readRoutes(): { routes: RouteFact[]; defaultDevice: string | null } {
  const address = (hex: string): number => Number.parseInt((hex.match(/../g) ?? []).reverse().join(''), 16);
  const all = readFileSync('/proc/net/route', 'utf8')
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const [device, destination, , , , , , mask] = line.split('\t');
      if (!device || !destination || !mask) return [];
      const prefix = address(mask).toString(2).replaceAll('0', '').length;
      return [{ device, prefix, destination: `${toAddress(address(destination))}/${prefix}` }];
    });
  return {
    routes: all.filter(({ prefix }) => prefix >= 8).map(({ device, destination }) => ({ device, destination })),
    defaultDevice: all.find(({ prefix }) => prefix === 0)?.device ?? null,
  };
}
