/** Connections that the kernel tracks: what a policy no longer allows must not go on because it once began. */
import { networkInterfaces } from 'node:os';
import { NethooksError } from '../errors.ts';
import { contains } from '../model/address.ts';
import type { Policy } from '../model/policy.ts';
import type { Exec } from './exec.ts';

/** A tracked connection (conntrack(8)): as it began, and as its answers come. */
export interface Tracked {
  protocol: string;
  source: string;
  destination: string;
  sourcePort: number;
  destinationPort: number;
  replySource: string;
  replySourcePort: number;
}

/**
 * Deletes the connections of what `before` allowed and `after` does not; those of what stays go on. A container that has
 * ended has none left. Also deleted are UDP "connections" of clients that asked a port before it was published: the kernel
 * would go on handing their packets to the host.
 * @param log is told when there is no conntrack(8); connections then last until they time out
 */
export function forgetConnections(
  exec: Exec,
  before: Policy | null,
  after: Policy | null,
  log: (line: string) => void,
): void {
  try {
    if (before && !after)
      for (const side of ['--reply-src', '--orig-src']) conntrack(exec, ['-D', side, before.address]);
    else if (before && after) {
      remove(exec, ended(exec, before, after));
      endOtherSources(exec, before, after);
    }
    const udp = newUdpPorts(before, after);
    if (udp.size > 0) remove(exec, stale(exec, udp));
  } catch (error) {
    if (!(error instanceof NethooksError)) throw error;
    log(`connections of what is no longer published or linked may last until they time out: ${error.message}`);
  }
}

/** Lines of `conntrack -L`: `tcp 6 431999 ESTABLISHED src= dst= sport= dport= [UNREPLIED] src= dst= sport= dport= …`. */
export function parseTracked(listing: string): Tracked[] {
  const tuple = String.raw`src=(\S+) dst=(\S+) sport=(\d+) dport=(\d+)`;
  const line = new RegExp(String.raw`^(\S+)\s.*?${tuple}.*?${tuple}`);
  return listing.split('\n').flatMap((text) => {
    const [, protocol, source, destination, sport, dport, replySource, , replySport] = line.exec(text) ?? [];
    if (!protocol || !source || !destination || !replySource) return [];
    const [sourcePort, destinationPort, replySourcePort] = [Number(sport), Number(dport), Number(replySport)];
    return [{ protocol, source, destination, sourcePort, destinationPort, replySource, replySourcePort }];
  });
}

/** Ends what a container began outside under another address than it sends from there now, of every protocol. */
function endOtherSources(exec: Exec, { source: before }: Policy, { source: after }: Policy): void {
  if (before?.to === after?.to) return;
  for (const from of (after ?? before)?.from ?? []) {
    const listing = conntrack(exec, ['-L', '-f', 'ipv4', '--orig-src', from]);
    for (const address of translatedTo(listing))
      if (address !== after?.to) conntrack(exec, ['-D', '-f', 'ipv4', '--orig-src', from, '--reply-dst', address]);
  }
}

/** The addresses under which connections of a listing are seen by whom they were begun with, where that is not the beginner's own. */
export function translatedTo(listing: string): string[] {
  const tuples = /src=(\S+) dst=(\S+) .*?src=(\S+) dst=(\S+)/g;
  const seen = [...listing.matchAll(tuples)].flatMap(([, source, destination, replySource, seenAs = '']) =>
    destination === replySource && seenAs !== source ? [seenAs] : [],
  );
  return [...new Set(seen)];
}

/** Connections through ports and links that are gone. */
function ended(exec: Exec, before: Policy, after: Policy): Tracked[] {
  const ports = new Set(before.publish.map(portKey));
  for (const port of after.publish) ports.delete(portKey(port));
  const linked = linkKeys(before);
  for (const key of linkKeys(after)) linked.delete(key);
  const { publishFrom = [] } = after;
  const own = publishFrom.length > 0 ? ownAddresses() : null;
  const mayUse = (source: string): boolean =>
    own === null || own.has(source) || publishFrom.some((subnet) => contains(subnet, source));
  const toHere = ports.size > 0 || publishFrom.length > 0 ? list(exec, ['--reply-src', before.address]) : [];
  const fromHere = linked.size > 0 ? list(exec, ['--orig-src', before.address]) : [];
  const keys = (t: Tracked): string[] =>
    [t.destination, null].map((hostAddress) =>
      portKey({ protocol: t.protocol, hostAddress, hostPort: t.destinationPort, containerPort: t.replySourcePort }),
    );
  return [
    ...toHere.filter(
      (t) => t.destination !== before.address && (keys(t).some((key) => ports.has(key)) || !mayUse(t.source)),
    ),
    ...fromHere.filter((t) => linked.has(`${t.source} ${t.replySource} ${t.protocol} ${t.replySourcePort}`)),
  ];
}

interface AnyPort {
  protocol: string;
  hostAddress: string | null;
  hostPort: number;
  containerPort: number;
}

const portKey = ({ protocol, hostAddress, hostPort, containerPort }: AnyPort): string =>
  `${protocol} ${hostAddress} ${hostPort} ${containerPort}`;

const linkKeys = ({ links }: Policy): Set<string> =>
  new Set(
    links.flatMap(({ from, to, ports }) => ports.map(({ protocol, port }) => `${from} ${to} ${protocol} ${port}`)),
  );

function newUdpPorts(before: Policy | null, after: Policy | null): Set<number> {
  const old = new Set(before?.publish.map(portKey));
  const fresh = (after?.publish ?? []).filter((port) => port.protocol === 'udp' && !old.has(portKey(port)));
  return new Set(fresh.map(({ hostPort }) => hostPort));
}

/** The host's. */
const ownAddresses = (): Set<string> =>
  new Set(Object.values(networkInterfaces()).flatMap((list) => list?.map(({ address }) => address) ?? []));

/** Packets to the host itself that nothing translated. */
function stale(exec: Exec, ports: Set<number>): Tracked[] {
  const own = ownAddresses();
  return list(exec, ['-p', 'udp']).filter(
    (t) => ports.has(t.destinationPort) && own.has(t.destination) && t.replySource === t.destination,
  );
}

const list = (exec: Exec, filter: string[]): Tracked[] =>
  parseTracked(conntrack(exec, ['-L', '-f', 'ipv4', ...filter]));

function remove(exec: Exec, connections: Tracked[]): void {
  for (const { protocol, source, destination, sourcePort, destinationPort } of connections)
    conntrack(exec, [
      ...['-D', '-f', 'ipv4', '-p', protocol, '--orig-src', source, '--orig-dst', destination],
      ...['--orig-port-src', String(sourcePort), '--orig-port-dst', String(destinationPort)],
    ]);
}

/** Having nothing to delete is no failure, though it exits with 1. */
function conntrack(exec: Exec, args: string[]): string {
  const { code, stdout, stderr } = exec('conntrack', args);
  if (code === 0 || /\b0 flow entries/.test(stderr)) return stdout;
  throw new NethooksError(`conntrack ${args.join(' ')}: ${stderr.trim() || `exit status ${code}`}`);
}
