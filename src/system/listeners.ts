/** Who has which port of the host: the kernel's tables (proc(5)), and the processes behind them. */
import { readdirSync, readlinkSync } from 'node:fs';
import { formatIp, toAddress } from '../model/address.ts';
import type { PortHolder } from '../model/facts.ts';
import { RUN } from '../model/paths.ts';
import type { Protocol } from '../model/ports.ts';
import type { Exec } from './exec.ts';
import { readText } from './files.ts';

export interface Socket {
  protocol: Protocol;
  /** 0.0.0.0 or :: for all. */
  address: string;
  port: number;
  inode: string;
}

export interface Listener extends Omit<Socket, 'inode'> {
  /** Who: `named (pid 812)`, or `an unknown process`. */
  owner: string;
}

const DNS_AND_DHCP = [53, 67];
const FILES: Record<Protocol, string[]> = { tcp: ['tcp', 'tcp6'], udp: ['udp', 'udp6'], sctp: ['sctp/eps'] };
/** States of a socket: a TCP socket that listens, a UDP socket that is connected to one peer. */
const [LISTEN, ESTABLISHED] = ['0A', '01'];

/** Who listens on the DNS and DHCP ports in this network namespace: for when a dnsmasq could not. */
export function listeners(): Listener[] {
  const sockets = boundSockets(new Set(['udp', 'tcp'])).filter(({ port }) => DNS_AND_DHCP.includes(port));
  if (sockets.length === 0) return [];
  const owners = ownersOf(new Set(sockets.map((socket) => socket.inode)));
  return sockets.map(({ inode, ...socket }) => ({ ...socket, owner: showOwner(owners.get(inode)) }));
}

/** All of them, as an address to bind. */
const EVERY = ['0.0.0.0', '::'];

/** What of this host asks on port 53 or 67 where our daemons are to answer. */
export interface Ports {
  networks: { name: string; address: string }[];
  /** Processes of ours. */
  own: number[];
}

/** Who else has them. Descriptors of all processes are read, and a program is started, only where somebody unknown may be in the way. */
export function portHolders(exec: Exec, { networks, own }: Ports): PortHolder[] {
  if (networks.length === 0) return [];
  const addresses = networks.map(({ address }) => address);
  const ours = new Set(own.flatMap((pid) => socketsOf(String(pid))));
  const inTheWay = ({ port, address, inode }: Socket): boolean =>
    DNS_AND_DHCP.includes(port) && !ours.has(inode) && [...EVERY, ...addresses].includes(address);
  // Whoever answers DNS or DHCP has a UDP socket. To list those of TCP the kernel goes through all connections, which takes ms.
  const udp = boundSockets(new Set(['udp'])).filter(inTheWay);
  if (udp.length === 0) return [];
  const near = [...udp, ...boundSockets(new Set(['tcp'])).filter(inTheWay)];
  const sockets = socketDetails(exec);
  const found = near.flatMap((socket) => {
    const { device, onlyV6 } = sockets.get(socket.inode) ?? { device: null, onlyV6: false };
    const reached = networks.filter(
      ({ name, address }) => (device === null || device === name) && [...EVERY, address].includes(socket.address),
    );
    return onlyV6 || reached.length === 0 ? [] : [{ ...socket, networks: reached.map(({ name }) => name) }];
  });
  if (found.length === 0) return [];
  const owners = ownersOf(new Set(found.map(({ inode }) => inode)));
  return found.flatMap(({ inode, networks: reached, port, protocol, address }): PortHolder[] => {
    const owner = owners.get(inode)?.[0] ?? null;
    if (protocol === 'sctp' || (owner !== null && isOurs(owner.pid))) return [];
    const served = port === 67 && owner !== null ? servedOver(owner.pid, reached) : reached;
    return served.length === 0 ? [] : [{ port, protocol, address, networks: served, owner }];
  });
}

/** Whether it is a daemon of ours that nobody has noted. */
const isOurs = (pid: number): boolean =>
  (readQuietly(`/proc/${pid}/cmdline`, readText) ?? '').includes(`${RUN}/dnsmasq/`);

/** Of DHCP servers that listen on interfaces one by one, with packet sockets (packet(7)), those that they listen on. */
function servedOver(pid: number, networks: string[]): string[] {
  const held = new Set(socketsOf(String(pid)));
  const lines = (readText('/proc/net/packet') ?? '').split('\n').map((line) => line.trim().split(/\s+/));
  const indexes = lines.filter((words) => held.has(words[8] ?? '')).map((words) => words[4]);
  if (indexes.length === 0) return networks;
  return networks.filter((name) => indexes.includes(readText(`/sys/class/net/${name}/ifindex`)?.trim()));
}

/** What only ss(8) says of sockets, by inode: the interface that one is bound to, and whether it is for IPv6 alone. */
function socketDetails(exec: Exec): Map<string, { device: string | null; onlyV6: boolean }> {
  const { stdout } = exec('ss', ['-Hnltue', 'sport = :53 or sport = :67']);
  return new Map(
    stdout.split('\n').flatMap((line) => {
      const [, , , , local = ''] = line.split(/\s+/);
      const inode = /\bino:(\d+)/.exec(line)?.[1];
      const device = /%([^\s:]+):\d+$/.exec(local)?.[1] ?? null;
      return inode === undefined ? [] : [[inode, { device, onlyV6: line.includes('v6only:1') }] as const];
    }),
  );
}

/** Whether a process has a UDP socket on a port, at that address or at all. */
export function answersAt(pid: number, port: number, address: string): boolean {
  const held = new Set(socketsOf(String(pid)));
  return boundSockets(new Set(['udp'])).some(
    (socket) => socket.port === port && [EVERY[0], address].includes(socket.address) && held.has(socket.inode),
  );
}

/** Every socket of this network namespace that takes what comes to a port: TCP and SCTP listening, UDP bound. */
export function boundSockets(protocols: ReadonlySet<Protocol>): Socket[] {
  return [...protocols].flatMap((protocol) =>
    FILES[protocol].flatMap((file) => {
      const lines = (readText(`/proc/net/${file}`) ?? '').split('\n').slice(1);
      return lines.flatMap((line) => (protocol === 'sctp' ? sctpEndpoint(line) : socket(protocol, line)));
    }),
  );
}

/** A process that has a socket open. */
export interface Owner {
  pid: number;
  /** Of its program (proc(5), comm). */
  name: string;
}

/** The processes that have sockets open, by the sockets' inodes. Reads every process's descriptors, so it takes a while. */
export function ownersOf(inodes: ReadonlySet<string>): Map<string, Owner[]> {
  const owners = new Map<string, Owner[]>();
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    const held = socketsOf(pid).filter((inode) => inodes.has(inode));
    if (held.length === 0) continue;
    const owner = { pid: Number(pid), name: readQuietly(`/proc/${pid}/comm`, readText)?.trim() ?? '?' };
    for (const inode of new Set(held)) owners.set(inode, [...(owners.get(inode) ?? []), owner]);
  }
  return owners;
}

/** Inodes of a process's sockets. */
function socketsOf(pid: string): string[] {
  const descriptors = readQuietly(`/proc/${pid}/fd`, (path) => readdirSync(path)) ?? [];
  return descriptors.flatMap((fd) => {
    const target = readQuietly(`/proc/${pid}/fd/${fd}`, (path) => readlinkSync(path));
    return /^socket:\[(\d+)\]$/.exec(target ?? '')?.[1] ?? [];
  });
}

/** Null when the process or the descriptor has gone meanwhile, or is not ours to look at. */
function readQuietly<T>(path: string, read: (path: string) => T): T | null {
  try {
    return read(path);
  } catch {
    return null;
  }
}

/** One of them, in words. */
export const showOwner = ([owner]: readonly Owner[] = []): string =>
  owner ? `${owner.name} (pid ${owner.pid})` : 'an unknown process';

function socket(protocol: Protocol, line: string): Socket[] {
  const [, local = '', , state, , , , , , inode = ''] = line.trim().split(/\s+/);
  const [hex = '', port = ''] = local.split(':');
  if (port === '' || (protocol === 'tcp' ? state !== LISTEN : state === ESTABLISHED)) return [];
  return [{ protocol, address: decode(hex), port: Number.parseInt(port, 16), inode }];
}

/** `ENDPT SOCK STY SST HBKT LPORT UID INODE LADDRS…`, decimal. */
function sctpEndpoint(line: string): Socket[] {
  const [, , , , , port, , inode = '', ...addresses] = line.trim().split(/\s+/);
  return addresses.map((address) => ({ protocol: 'sctp' as const, address, port: Number(port), inode }));
}

/** Addresses are hexadecimal in host byte order, word by word. */
function decode(hex: string): string {
  const digits = (hex.match(/.{8}/g) ?? []).map((word) => (word.match(/../g) as string[]).reverse().join('')).join('');
  if (hex.length === 8) return toAddress(Number.parseInt(digits, 16));
  if (hex.startsWith('0000000000000000FFFF0000')) return toAddress(Number.parseInt(digits.slice(24), 16));
  return formatIp({ bits: 128, value: BigInt(`0x${digits}`) });
}
