/** A pair without a bridge: the host's end has the gateway's address, and the host a route to each container. */

import { hostMac } from '../model/derived.ts';
import { type Driver, deletion } from '../plan/attachment/driver.ts';
import type { LinkSpec } from '../plan/attachment/spec.ts';
import { insideCommands, ptpHostCommands, vethCommands } from '../plan/attachment/wiring.ts';

export const ptp: Driver<Extract<LinkSpec, { driver: 'ptp' }>> = {
  validate: () => undefined,
  plan: ({ link: { hostLink }, placed, mac, mtu }) => ({
    before: [],
    host: [
      ...vethCommands({
        hostName: hostLink,
        hostMac: hostMac(mac),
        ifname: placed.spec.ifname,
        mac,
        mtu,
        bridge: null,
        hairpin: false,
      }),
      ...ptpHostCommands(hostLink, placed.ips),
    ],
    undo: [deletion(hostLink)],
    inside: insideCommands(placed.spec.ifname, placed.ips, placed.routes, { ptp: true }),
    undoInside: [],
    forwards: true,
  }),
  takeDown: ({ hostLink }) => (hostLink === null ? null : { where: 'host', line: deletion(hostLink) }),
};
