/** What the kernel says about a bridge in sysfs. */
import { readText } from './files.ts';

/** NET_ADDR_SET (linux/netdevice.h): somebody has set the MAC. */
const SET = '3';

/**
 * The MAC of a bridge that nobody has set: the lowest of its ports', so it changes as they come and go, and whoever talks to the
 * bridge's address sends to a MAC that is gone until ARP notices. Null when it is set, and when there is no such bridge.
 */
export function unfixedMac(bridge: string): string | null {
  const directory = `/sys/class/net/${bridge}`;
  try {
    if (readText(`${directory}/addr_assign_type`)?.trim() === SET) return null;
    if (readText(`${directory}/bridge/bridge_id`) === null) return null;
    return readText(`${directory}/address`)?.trim() || null;
  } catch {
    return null; // it has just been deleted (EINVAL, ENODEV)
  }
}
