/** Who has which port of the host: the kernel's tables (proc(5)), and the processes behind them. */
import { readdirSync, readlinkSync } from 'node:fs';
import { toAddress } from '../model/address.ts';
import type { Protocol } from '../model/ports.ts';
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

/** Addresses are hexadecimal in host byte order, word by word. IPv6 matters only where it covers IPv4. */
function decode(hex: string): string {
  const ipv4 = (word: string): string =>
    toAddress(Number.parseInt((word.match(/../g) as string[]).reverse().join(''), 16));
  if (hex.length === 8) return ipv4(hex);
  if (hex.startsWith('0000000000000000FFFF0000')) return ipv4(hex.slice(24));
  return /^0+$/.test(hex) ? '::' : hex;
}
