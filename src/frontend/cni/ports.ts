/** Published ports of an attachment, and the rules of a network that keeps its containers apart: the same as LXC containers get. */

import { applyPolicy } from '../../attachment/policy.ts';
import { bare, isV6 } from '../../model/address.ts';
import type { NetworkConfig } from '../../model/config.ts';
import type { Policy } from '../../model/policy.ts';
import { EPHEMERAL, type Wanted } from '../../plan/attachment/publish.ts';
import { type AttachmentRecord, portHolder } from '../../store/attachments.ts';
import { releasePorts, reservePorts } from '../../store/ports.ts';
import type { CniContext } from './add.ts';
import { isConmonOf } from './conmon.ts';
import type { Result } from './result.ts';

/**
 * @returns what the kernel has now for the attachment; null when it needs nothing there
 * @throws NethooksError when a host port is somebody else's, or the network cannot keep the container apart; nothing is left then
 */
export function openPorts(
  { exec, log }: CniContext,
  record: AttachmentRecord,
  network: NetworkConfig,
  publish: readonly Wanted[],
  { ips }: Result,
): Policy | null {
  const own = ips.find(({ address }) => !isV6(address));
  if (!own) return null;
  const { published, fresh } = reservePorts(portHolder(record), publish, EPHEMERAL, { isOwn: isConmonOf(record.id) });
  const policy: Policy = {
    network: network.name,
    address: bare(own.address),
    port: null,
    isolated: network.icc ? [] : [network.name],
    publish: published,
    links: [],
    exposed: [],
  };
  try {
    applyPolicy(exec, null, policy, log);
  } catch (error) {
    releasePorts(portHolder(record), fresh);
    throw error;
  }
  return policy;
}

/** Takes them back. */
export function closePorts({ exec, log }: CniContext, record: AttachmentRecord): void {
  if (!record.policy) return;
  applyPolicy(exec, record.policy, null, log);
  releasePorts(portHolder(record), record.policy.publish);
  record.policy = null;
}
