/** An interface that somebody else made: LXC, or another plugin. It is addressed, and never removed. */

import type { Driver } from '../plan/attachment/driver.ts';
import type { Placed, PlacedIp } from '../plan/attachment/spec.ts';
import { anchoredCommands, insideCommands } from '../plan/attachment/wiring.ts';

export const none: Driver<{ driver: 'none' }> = {
  validate: () => undefined,
  plan: ({ placed, mac, mtu, index }) => ({
    before: [],
    host: [],
    undo: [],
    inside: placed.spec.anchored
      ? anchoredCommands({
          ifname: placed.spec.ifname,
          ip: withoutWayOut(placed) ?? null,
          mac: placed.spec.mac === null ? mac : null,
          mtu,
          dhcp: placed.spec.dhcp === true,
          index,
        })
      : insideCommands(placed.spec.ifname, placed.ips, placed.routes),
    undoInside: [],
    forwards: false,
  }),
  takeDown: () => null,
};

/** A network that is internal has no gateway. */
function withoutWayOut({ spec, ips: [first] }: Placed): PlacedIp | undefined {
  return first && spec.network?.internal ? { address: first.address } : first;
}
