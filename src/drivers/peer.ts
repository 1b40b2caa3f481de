/** A pair between two containers. Who makes it has this driver, and the other end the driver `none`. */

import { type Driver, deletion } from '../plan/attachment/driver.ts';
import type { LinkSpec } from '../plan/attachment/spec.ts';
import { insideCommands, NAMESPACE } from '../plan/attachment/wiring.ts';

export const peer: Driver<Extract<LinkSpec, { driver: 'peer' }>> = {
  validate: () => undefined,
  plan: ({ link: { netns, ifname, mac: otherMac }, placed, mac }) => ({
    before: [],
    host: [
      `link add name ${placed.spec.ifname} address ${mac} netns ${NAMESPACE} type veth peer name ${ifname} address ${otherMac} netns ${netns}`,
    ],
    undo: [],
    inside: insideCommands(placed.spec.ifname, placed.ips, []),
    undoInside: [deletion(placed.spec.ifname)],
    forwards: false,
  }),
  takeDown: ({ ifname }) => ({ where: 'namespace', line: deletion(ifname) }),
};
