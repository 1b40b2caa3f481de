/** Docker's words for ports: what `publish`, `expose` and `nethooks port` take. Pure text to data; nothing is allocated here. */
import { NethooksError } from '../errors.ts';
import { isIPv4, isIPv6 } from './address.ts';

export type Protocol = 'tcp' | 'udp' | 'sctp';

const PROTOCOLS: readonly Protocol[] = ['tcp', 'udp', 'sctp'];

/** A port of a container. */
export interface Port {
  protocol: Protocol;
  port: number;
}

/** Inclusive, 1 to 65535. */
export interface PortRange {
  from: number;
  to: number;
}

/** One publication as it was written. */
export interface PortSpec {
  /** The words it came from, for messages. */
  text: string;
  /** The host's address to publish at, 0.0.0.0 for all; null when it says none. IPv6 without brackets. */
  ip: string | null;
  /** Host ports: as many as container ports, or any number to choose one from; null for an ephemeral one. */
  host: PortRange | null;
  container: PortRange;
  protocol: Protocol;
}

const ALLOWED = 'allowed: [[IP:][HOST-PORT or range]:]CONTAINER-PORT or range[/tcp|udp|sctp]';
const PORT_ALLOWED = 'allowed: 1 to 65535';

/**
 * Reads `[[ip]:][hostPort|range]:containerPort|range[/protocol]` or `containerPort|range[/protocol]`, where host port 0 is any. IPv6
 * stands in brackets. Source: docker-run(1), --publish. Or the long form of docker-service-create(1), `published=8080,target=80`.
 * @throws NethooksError with the text and what is allowed
 */
export function parsePortSpec(text: string): PortSpec {
  const where = `publish ${text || '""'}`;
  if (text.includes('=')) return parseLongForm(text, where);
  const { body, protocol } = splitProtocol(text, where);
  const bracketed = /^\[([^\]]*)\]:(.*)$/.exec(body);
  const parts = (bracketed?.[2] ?? body).split(':');
  if (bracketed ? parts.length !== 2 : parts.length > 3) {
    const hint = !bracketed && isIPv6(parts.slice(0, -2).join(':')) ? '; IPv6 addresses stand in [brackets]' : '';
    throw new NethooksError(`${where}: not a port; ${ALLOWED}${hint}`);
  }
  const container = range(parts.at(-1) ?? '', where, 'container port');
  const host = hostPorts(parts.at(-2) ?? '', container, where);
  return { text, ip: address(bracketed?.[1], parts, where), host, container, protocol };
}

const LONG_KEYS = ['published', 'target', 'protocol', 'host_ip', 'mode'] as const;
const LONG_ALLOWED = 'allowed: target=PORT[,published=PORT][,protocol=tcp|udp|sctp][,host_ip=IP][,mode=host]';

function parseLongForm(text: string, where: string): PortSpec {
  const fields: Partial<Record<(typeof LONG_KEYS)[number], string>> = {};
  for (const field of text.split(',')) {
    const [name, ...value] = field.split('=');
    const key = LONG_KEYS.find((one) => one === name);
    if (key === undefined || value.length !== 1 || fields[key] !== undefined)
      throw new NethooksError(
        `${where}: ${JSON.stringify(field)}: ${key !== undefined && fields[key] !== undefined ? 'again' : 'unknown'}; ${LONG_ALLOWED}`,
      );
    fields[key] = value[0] as string;
  }
  const { published = '', target, host_ip: ip = null, mode = 'host' } = fields;
  if (target === undefined) throw new NethooksError(`${where}: target is missing; ${LONG_ALLOWED}`);
  if (mode !== 'host') throw new NethooksError(`${where}: mode=${mode}: allowed: host`);
  if (ip !== null && !isIPv4(ip) && !isIPv6(ip))
    throw new NethooksError(`${where}: host_ip=${ip}: no IP address; ${LONG_ALLOWED}`);
  const container = range(target, where, 'target');
  const protocol = protocolOf(fields.protocol ?? 'tcp', where);
  return { text, ip, host: hostPorts(published, container, where), container, protocol };
}

/** The ports of the host for those of a container; null for any, which is also what 0 means. */
function hostPorts(text: string, container: PortRange, where: string): PortRange | null {
  if (text === '' || text === '0') return null;
  const host = range(text, where, 'host port');
  if (length(host) !== length(container) && length(container) !== 1)
    throw new NethooksError(
      `${where}: ${length(host)} host ports for ${length(container)} container ports; allowed: as many as there are container ports`,
    );
  return host;
}

/** Whether two publications say the same. */
export const samePublication = (a: PortSpec, b: PortSpec): boolean =>
  JSON.stringify({ ...a, text: '' }) === JSON.stringify({ ...b, text: '' });

/**
 * Reads `port|range[/protocol]`, as `expose` and `nethooks port NAME` take it.
 * @throws NethooksError with the text and what is allowed
 */
export function parseExpose(text: string): Port[] {
  const where = `port ${text || '""'}`;
  const { body, protocol } = splitProtocol(text, where);
  return each(range(body, where, 'port')).map((port) => ({ protocol, port }));
}

/** Every port of a range. */
export function each({ from, to }: PortRange): number[] {
  return Array.from({ length: to - from + 1 }, (_, index) => from + index);
}

/** `80/tcp`, as Docker writes a port. */
export const showPort = ({ protocol, port }: Port): string => `${port}/${protocol}`;

function splitProtocol(text: string, where: string): { body: string; protocol: Protocol } {
  const slash = text.indexOf('/');
  if (slash < 0) return { body: text, protocol: 'tcp' };
  return { body: text.slice(0, slash), protocol: protocolOf(text.slice(slash + 1), where) };
}

function protocolOf(text: string, where: string): Protocol {
  const protocol = PROTOCOLS.find((name) => name === text.toLowerCase());
  if (!protocol) throw new NethooksError(`${where}: unknown protocol ${JSON.stringify(text)}; allowed: tcp, udp, sctp`);
  return protocol;
}

function address(bracketed: string | undefined, parts: string[], where: string): string | null {
  if (bracketed !== undefined) {
    if (isIPv6(bracketed)) return bracketed;
    throw new NethooksError(`${where}: [${bracketed}] is no IPv6 address`);
  }
  const ip = parts.length === 3 ? (parts[0] as string) : '';
  if (ip !== '' && !isIPv4(ip)) throw new NethooksError(`${where}: ${JSON.stringify(ip)} is no IP address; ${ALLOWED}`);
  return ip === '' ? null : ip;
}

function range(text: string, where: string, what: string): PortRange {
  if (text === '') throw new NethooksError(`${where}: the ${what} is missing; ${ALLOWED}`);
  const [, first, last] = /^(\d+)(?:-(\d+))?$/.exec(text) ?? [];
  if (first === undefined)
    throw new NethooksError(
      `${where}: ${what} ${JSON.stringify(text)} is no port and no range of ports; ${PORT_ALLOWED}`,
    );
  const [from, to] = [Number(first), Number(last ?? first)];
  for (const port of [from, to])
    if (port < 1 || port > 65535) throw new NethooksError(`${where}: ${what} ${port}: no port; ${PORT_ALLOWED}`);
  if (from > to) throw new NethooksError(`${where}: ${what} range ${text} ends before it begins`);
  return { from, to };
}

const length = ({ from, to }: PortRange): number => to - from + 1;
