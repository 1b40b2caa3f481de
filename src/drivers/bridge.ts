/** A pair whose host end is a port of a bridge: of one of our networks, or of one that CNI's plugin `bridge` would make. */
import { NethooksError } from '../errors.ts';
import { isV6 } from '../model/address.ts';
import { bridgeMac, hostMac } from '../model/derived.ts';
import { type Driver, deletion } from '../plan/attachment/driver.ts';
import type { BridgeFact } from '../plan/attachment/facts.ts';
import type { LinkSpec, Placed } from '../plan/attachment/spec.ts';
import { insideCommands, vethCommands } from '../plan/attachment/wiring.ts';

type Link = Extract<LinkSpec, { driver: 'bridge' }>;

export const bridge: Driver<Link> = {
  validate({ link, placed, bridge: fact }) {
    if (link.ensure === null && fact === null)
      throw new NethooksError(`network ${link.bridge} has no bridge; \`nethooks up\` brings it back`);
    if (link.ensure !== null) bridgeCommands(link, placed, fact, null);
  },
  plan({ link, placed, mac, mtu, bridge: fact }) {
    // A bridge's MTU is that of its smallest port: a new one must not make it smaller, nor be larger than it can use.
    const size = mtu ?? (fact && fact.mtu !== 1500 ? fact.mtu : null);
    const wiring = {
      hostName: link.hostLink,
      hostMac: hostMac(mac),
      ifname: placed.spec.ifname,
      mac,
      mtu: size,
      bridge: link.bridge,
      hairpin: link.hairpin,
    };
    return {
      before: bridgeCommands(link, placed, fact, mtu),
      host: vethCommands(wiring),
      undo: [deletion(link.hostLink)],
      inside: insideCommands(placed.spec.ifname, placed.ips, placed.routes),
      undoInside: [],
      forwards: link.ensure?.isGateway === true,
    };
  },
  takeDown: ({ hostLink }) => (hostLink === null ? null : { where: 'host', line: deletion(hostLink) }),
};

/**
 * What a bridge lacks, and the bridge itself where it is missing. It stays when the attachment fails: others may have come to use it.
 * @throws NethooksError when it has another IPv4 address, which only `force` may take away
 */
export function bridgeCommands(
  { bridge: name, ensure }: Link,
  { ips }: Pick<Placed, 'ips'>,
  fact: BridgeFact | null,
  mtu: number | null,
): string[] {
  if (ensure === null) return [];
  const addresses = ensure.isGateway
    ? ips.flatMap(({ address, gateway }) => (gateway ? [`${gateway}/${address.split('/')[1]}`] : []))
    : [];
  const now = fact?.addresses ?? [];
  const missing = addresses.filter((address) => !now.includes(address));
  const others = missing.some((address) => !isV6(address)) ? now.filter((address) => !isV6(address)) : [];
  if (others.length > 0 && !ensure.force)
    throw new NethooksError(
      `"${name}" already has an IP address different from ${addresses.join(', ')}: ${others.join(', ')}; ` +
        '"forceAddress": true takes it away',
    );
  const size = mtu === null ? '' : ` mtu ${mtu}`;
  return [
    // With a MAC of its own before the first port joins, or it would take on its ports', and change with them.
    ...(fact === null ? [`link add name ${name} address ${bridgeMac(name, addresses)}${size} type bridge`] : []),
    ...(fact !== null && !fact.fixedMac ? [`link set dev ${name} address ${fact.mac}`] : []),
    ...others.map((address) => `addr del ${address} dev ${name}`),
    ...missing.map((address) => `addr replace ${address}${isV6(address) ? ' nodad' : ' broadcast +'} dev ${name}`),
    ...(fact?.up ? [] : [`link set dev ${name} up`]),
    ...(ensure.promisc && !fact?.promisc ? [`link set dev ${name} promisc on`] : []),
  ];
}
