/** From what is to be published to host ports: which are asked for, before anybody has looked which are free. Pure. */
import { NethooksError } from '../../errors.ts';
import type { Published } from '../../model/policy.ts';
import { each, type Port, type PortRange, type PortSpec, type Protocol, showPort } from '../../model/ports.ts';
import type { AttachmentSpec } from './spec.ts';

/** One container port that wants a host port. */
export interface Wanted {
  protocol: Protocol;
  hostAddress: string | null;
  /** Host ports that will do, in order of preference; null for any of the ephemeral range. */
  hostPorts: number[] | null;
  containerPort: number;
  /** The words that ask for it, for messages. */
  text: string;
}

/** What a container asks to publish. */
export interface PublishSpec {
  publish: PortSpec[];
  /** Ports that `publish-all` publishes, and that links open. */
  expose: Port[];
  publishAll: boolean;
  /** The host's address that a publication means that names none (Docker's --ip); 0.0.0.0 for all. */
  publishAddress: string;
}

/** Docker's range for ports that nobody chose (IANA's dynamic ports, RFC 6335). */
export const EPHEMERAL: PortRange = { from: 49153, to: 65535 };

/** What an attachment asks for that wants its interfaces alone. */
export const ASKS_NOTHING = {
  names: [],
  publish: [],
  publishPorts: EPHEMERAL,
  exposed: [],
  links: [],
  masquerade: false,
  files: null,
} satisfies Partial<AttachmentSpec>;

/**
 * Every port to publish, one by one. `publish-all` leaves out what is published anyway.
 * @throws NethooksError for IPv6, and for a host port that is asked for twice
 */
export function wantedPorts({ publish, expose, publishAll, publishAddress }: PublishSpec): Wanted[] {
  const wanted = publish.flatMap((spec) => expand(spec, publishAddress));
  const given = new Set(wanted.map(({ protocol, containerPort }) => showPort({ protocol, port: containerPort })));
  const rest = publishAll ? unique(expose).filter((port) => !given.has(showPort(port))) : [];
  refuseTwice(wanted);
  return [
    ...wanted,
    ...rest.map(({ protocol, port }) => ({
      protocol,
      hostAddress: hostAddressOf(publishAddress),
      hostPorts: null,
      containerPort: port,
      text: `publish-all ${showPort({ protocol, port })}`,
    })),
  ];
}

/** What links to the container open: what it exposes, and what it publishes. */
export function exposedPorts({ publish, expose }: Pick<PublishSpec, 'publish' | 'expose'>): Port[] {
  return unique([
    ...expose,
    ...publish.flatMap(({ container, protocol }) => each(container).map((port) => ({ protocol, port }))),
  ]);
}

/** `192.0.2.2:8080`, as `nethooks port` prints it. */
export const showHostPort = ({ hostAddress, hostPort }: Pick<Published, 'hostAddress' | 'hostPort'>): string =>
  `${hostAddress ?? '0.0.0.0'}:${hostPort}`;

const hostAddressOf = (ip: string): string | null => (ip === '0.0.0.0' ? null : ip);

function expand({ text, ip, host, container, protocol }: PortSpec, publishAddress: string): Wanted[] {
  if (ip?.includes(':')) throw new NethooksError(`publish ${text}: IPv6 is not supported yet`);
  const ports = each(container);
  const choices = host === null ? null : each(host);
  return ports.map((containerPort, index) => ({
    protocol,
    hostAddress: hostAddressOf(ip ?? publishAddress),
    // A range of host ports for one container port is a choice; else they go in pairs.
    hostPorts: choices === null || ports.length === 1 ? choices : [choices[index] as number],
    containerPort,
    text,
  }));
}

/** Two fixed ports that are one; ranges to choose from may overlap. */
function refuseTwice(wanted: Wanted[]): void {
  const seen = new Map<string, Wanted[]>();
  for (const one of wanted) {
    if (one.hostPorts?.length !== 1) continue;
    const port = showPort({ protocol: one.protocol, port: one.hostPorts[0] as number });
    const earlier = seen.get(port)?.find(({ hostAddress }) => collide(hostAddress, one.hostAddress));
    if (earlier)
      throw new NethooksError(`publish ${one.text}: host port ${port} is asked for twice, by ${earlier.text} too`);
    seen.set(port, [...(seen.get(port) ?? []), one]);
  }
}

/** Whether two addresses cannot both have one port: one of them is all of them, or they are the same. */
export const collide = (a: string | null, b: string | null): boolean => a === null || b === null || a === b;

function unique(ports: Port[]): Port[] {
  return [...new Map(ports.map((port) => [showPort(port), port])).values()];
}
