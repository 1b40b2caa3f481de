/** A container on the host's own network: what it could do to that. Loaded for such a container only. */
import { readlinkSync } from 'node:fs';
import { NethooksError } from '../../errors.ts';
import { readText } from '../../system/files.ts';

/** Its number (capabilities(7)). */
const CAP_NET_ADMIN = 12n;

/**
 * @param pid the container's init, whose capabilities LXC has set by now, whatever its configuration or `lxc-start -s` says
 * @throws NethooksError when it could change the host's network: its DHCP client, for one, would take the uplink's address away
 */
export function requireNoNetAdmin(name: string, pid: number): void {
  // In a user namespace of its own it has none over ours.
  if (readlinkSync(`/proc/${pid}/ns/user`) !== readlinkSync('/proc/self/ns/user')) return;
  const [, bounding = '0'] = /^CapBnd:\s*([\da-f]+)$/m.exec(readText(`/proc/${pid}/status`) ?? '') ?? [];
  if (((BigInt(`0x${bounding}`) >> CAP_NET_ADMIN) & 1n) === 0n) return;
  throw new NethooksError(
    "it is on the host's network with CAP_NET_ADMIN: a DHCP client in it would take the host's addresses away; " +
      `\`nethooks configure ${name} --net host\` drops that capability, as \`lxc.cap.drop = net_admin\` does; \`--net-admin\` keeps it`,
  );
}
