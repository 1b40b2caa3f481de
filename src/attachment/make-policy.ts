/** From what a container asks for to its policy: which host ports it gets, which addresses its links mean. */
import type { NetworkConfig } from '../model/config.ts';
import type { Link, Policy, Published } from '../model/policy.ts';
import type { PortRange } from '../model/ports.ts';
import type { Attachment } from '../plan/attachment/interfaces.ts';
import { linkTo, type Place } from '../plan/attachment/link.ts';
import { EPHEMERAL, exposedPorts, type PublishWish, wantedPorts } from '../plan/attachment/publish.ts';
import { readKept, readRunning } from '../store/container.ts';
import { watchChild } from '../store/links.ts';
import { type HostPort, reservePorts } from '../store/ports.ts';

/** What a container asks for. */
export interface PolicyWish extends PublishWish {
  /** Where host ports come from that nobody chose. */
  publishPorts: PortRange;
  link: { container: string; alias: string }[];
}

export const NO_WISH: PolicyWish = {
  publish: [],
  expose: [],
  publishAll: false,
  publishAddress: '0.0.0.0',
  publishPorts: EPHEMERAL,
  link: [],
};

export interface MadePolicy {
  /** null when the container needs nothing of the kernel, and opens nothing to links. */
  policy: Policy | null;
  /** Host ports that were not the container's before, for a rollback. */
  fresh: HostPort[];
}

/** What of the container is known by now. */
export interface Connected {
  name: string;
  attachments: Attachment[];
  /** Those of its interfaces; the address on the first is published. */
  networks: NetworkConfig[];
  /** See Policy. */
  port: number | null;
}

/**
 * Reserves the host ports and puts the policy together.
 * @param log is told of links to containers that have no address yet; they begin when those start
 * @throws NethooksError when a host port cannot be had; none is reserved then
 */
export function makePolicy(
  { name, attachments, networks, port }: Connected,
  wish: PolicyWish,
  remembered: readonly Published[],
  log: (line: string) => void,
): MadePolicy {
  const first = attachments[0];
  if (!first) return { policy: null, fresh: [] };
  const { published, fresh } = reservePorts(name, wantedPorts(wish), wish.publishPorts, { remembered });
  const links = wish.link.flatMap(({ container, alias }) => {
    // First the note, then the look: whoever of the two starts last sees the other.
    watchChild(container, name, alias);
    const link = resolveLink(attachments, container, alias);
    if (link === null)
      log(`link ${container}:${alias}: container ${container} has no address yet; its start completes the link`);
    return link ?? [];
  });
  const isolated = networks.filter(({ icc }) => !icc).map((network) => network.name);
  const exposed = exposedPorts(wish);
  if (published.length + links.length + exposed.length + isolated.length === 0) return { policy: null, fresh };
  const policy = { network: first.network, address: first.address, port, isolated, publish: published, links, exposed };
  return { policy, fresh };
}

/** A link as the child is now, or was when it last ran: its address is kept for it. Null when it has none. */
export function resolveLink(parent: Place[], child: string, alias: string): Link | null {
  const running = readRunning(child);
  const kept = readKept(child);
  const places = running?.attachments ?? kept.attachments;
  const exposed = running?.policy?.exposed ?? kept.exposed;
  return linkTo(parent, { name: child, places, exposed }, alias);
}
