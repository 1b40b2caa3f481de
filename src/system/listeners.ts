/** Who listens on the DNS and DHCP ports: looked up only when a dnsmasq could not, because the kernel's tables are long to read. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { toAddress } from '../plan/ipv4.ts';
import { readText } from './files.ts';

export interface Listener {
  protocol: 'udp' | 'tcp';
  /** 0.0.0.0 or :: for all. */
  address: string;
  port: number;
  /** Who: `named (pid 812)`, or `an unknown process`. */
  owner: string;
}

const PORTS = [53, 67];
const LISTEN = '0A';

/** Every TCP socket listening and every UDP socket bound on port 53 or 67 in this network namespace, with its owner. */
export function listeners(): Listener[] {
  const sockets = (['udp', 'udp6', 'tcp', 'tcp6'] as const).flatMap((file) => readSockets(file));
  if (sockets.length === 0) return [];
  const owners = ownersOf(new Set(sockets.map((socket) => socket.inode)));
  return sockets.map(({ inode, ...socket }) => ({ ...socket, owner: owners.get(inode) ?? 'an unknown process' }));
}

function readSockets(file: 'udp' | 'udp6' | 'tcp' | 'tcp6') {
  return (readText(`/proc/net/${file}`) ?? '')
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const [, local = '', , state, , , , , , inode = ''] = line.trim().split(/\s+/);
      const [hex = '', port = ''] = local.split(':');
      const protocol = file.startsWith('udp') ? ('udp' as const) : ('tcp' as const);
      if (!PORTS.includes(Number.parseInt(port, 16)) || (protocol === 'tcp' && state !== LISTEN)) return [];
      return [{ protocol, address: decode(hex), port: Number.parseInt(port, 16), inode }];
    });
}

/** proc(5): addresses are hexadecimal in host byte order, word by word. IPv6 matters only where it covers IPv4. */
function decode(hex: string): string {
  if (hex.length === 8) return toAddress(Number.parseInt((hex.match(/../g) as string[]).reverse().join(''), 16));
  return /^0+$/.test(hex) ? '::' : hex;
}

function ownersOf(inodes: Set<string>): Map<string, string> {
  const owners = new Map<string, string>();
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      for (const fd of readdirSync(`/proc/${pid}/fd`)) {
        const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1];
        if (inode && inodes.has(inode))
          owners.set(inode, `${readFileSync(`/proc/${pid}/comm`, 'utf8').trim()} (pid ${pid})`);
      }
    } catch {
      // The process ended, or is not ours to look at.
    }
  }
  return owners;
}
