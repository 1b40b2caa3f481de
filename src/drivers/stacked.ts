/** macvlan and ipvlan: an interface on top of one of the host's, in the container alone. */

import { type Driver, deletion } from '../plan/attachment/driver.ts';
import type { LinkSpec } from '../plan/attachment/spec.ts';
import { insideCommands, stackedCommands } from '../plan/attachment/wiring.ts';

export const stacked: Driver<Extract<LinkSpec, { driver: 'macvlan' | 'ipvlan' }>> = {
  validate: () => undefined,
  plan: ({ link: { driver, mode, master }, placed, mac, mtu }) => ({
    before: [],
    host: stackedCommands({
      type: driver,
      mode,
      master,
      ifname: placed.spec.ifname,
      mac: driver === 'ipvlan' ? null : mac,
      mtu,
    }),
    undo: [],
    inside: insideCommands(placed.spec.ifname, placed.ips, placed.routes),
    undoInside: [deletion(placed.spec.ifname)],
    forwards: false,
  }),
  takeDown: ({ ifname }) => ({ where: 'namespace', line: deletion(ifname) }),
};
