/** Which subnet and bridge name the first network of a host gets. */

import { overlaps } from '../../model/address.ts';
import type { LinkFact, RouteFact } from '../../model/facts.ts';

/** Private /24 subnets (RFC 1918), the likeliest to be free and remembered first. */
function* candidates(): Generator<string> {
  for (let third = 0; third < 256; third++) yield `10.0.${third}`;
  for (let second = 16; second < 32; second++) yield `172.${second}.200`;
  for (let third = 255; third >= 0; third--) yield `192.168.${third}`;
}

/** The first three octets of a /24 that no route and no interface of this host overlaps; null when all are taken. */
export function freeSubnet(links: LinkFact[], routes: RouteFact[]): string | null {
  const used = [...routes.map((route) => route.destination), ...links.flatMap((link) => link.addresses)];
  for (const octets of candidates()) if (!used.some((other) => overlaps(other, `${octets}.0/24`))) return octets;
  return null;
}

/** br0, or the first brN that is not on the host yet. */
export function freeBridge(links: LinkFact[]): string {
  for (let number = 0; ; number++) if (!links.some((link) => link.name === `br${number}`)) return `br${number}`;
}
