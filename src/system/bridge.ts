/** What the kernel says about a bridge in sysfs. */
import { readText } from './files.ts';

/** NET_ADDR_PERM is hardware's, NET_ADDR_SET what somebody has set (Documentation/ABI/testing/sysfs-class-net, addr_assign_type). */
const FIXED = ['0', '3'];

/**
 * Whether a bridge keeps its MAC. One that nobody has set is the lowest of its ports', so it changes as they come and go, and whoever
 * talks to the bridge's address sends to a MAC that is gone until ARP notices.
 */
export const hasFixedMac = (bridge: string): boolean =>
  FIXED.includes(readText(`/sys/class/net/${bridge}/addr_assign_type`)?.trim() ?? '');
