/** How one kind of interface is made and removed. Pure: lines for `ip -batch`, which the applier gives to ip(8). */
import type { DriverName, Interface } from '../../model/attachment.ts';
import type { BridgeFact } from './facts.ts';
import type { LinkSpec, Placed } from './spec.ts';

/** An interface as it is to be made. */
export interface LinkRequest<L extends LinkSpec = LinkSpec> {
  link: L;
  placed: Placed;
  /** Empty for ipvlan. */
  mac: string;
  /** Bytes; null for the kernel's default. */
  mtu: number | null;
  /** The bridge that it joins, as it is; null where there is none. */
  bridge: BridgeFact | null;
  /** Its place among the attachment's interfaces: the default route goes through the first. */
  index: number;
}

/** Lines for `ip -batch`. The namespace is descriptor 3 of whoever runs them. */
export interface LinkPlan {
  /** On the host, before the link: what it is to be joined to. Stays when the attachment fails. */
  before: string[];
  /** On the host; the first line makes the link. */
  host: string[];
  /** On the host: what removes it. */
  undo: string[];
  /** In the namespace. */
  inside: string[];
  /** In the namespace: what removes a link that is not on the host. */
  undoInside: string[];
  /** Whether the host has to forward for it. */
  forwards: boolean;
}

export interface Driver<L extends LinkSpec = LinkSpec> {
  /** @throws NethooksError when it cannot be made as asked */
  validate(request: LinkRequest<L>): void;
  plan(request: LinkRequest<L>): LinkPlan;
  /** Where the interface is removed, and by which line; null when it is not ours to remove. */
  takeDown(iface: Interface): { where: 'host' | 'namespace'; line: string } | null;
}

/** Why an interface could not be made, for front ends that have codes for it. */
export type LinkFault = 'exists' | 'unsupported' | 'no master' | 'no bridge' | 'no namespace';

/** What ip(8) means by its words; null when it is nothing known. */
export function linkFault(stderr: string): LinkFault | null {
  if (/File exists/.test(stderr)) return 'exists';
  if (/Unknown device type|Operation not supported/.test(stderr)) return 'unsupported';
  if (/Device "[^"]+" does not exist/.test(stderr)) return 'no bridge';
  if (/Cannot find device/.test(stderr)) return 'no master';
  if (/Invalid argument|Invalid "netns"/.test(stderr) && /netns/.test(stderr)) return 'no namespace';
  return null;
}

/** Which thing is there already, where the kernel says no more than that: by the `ip` command that it refused. */
export function existing(command: string, ifname: string): string {
  const [, kind, what] = /^(addr|route) \w+ (\S+)/.exec(command) ?? [];
  if (kind === 'addr') return `the container already has address ${what}`;
  if (kind === 'route') return `the container already has a route to ${what}`;
  return `the container already has an interface ${ifname}`;
}

/** The line that removes an interface. */
export const deletion = (device: string): string => `link delete dev ${device}`;

export type DriverTable = { [D in DriverName]: Driver<Extract<LinkSpec, { driver: D }>> };
