/** A DHCPINFORM (RFC 2131, 3.4), sent by a process of its own in the container's network namespace. */
import { createSocket } from 'node:dgram';

/** What a server told. */
export interface DhcpAnswer {
  routers: string[];
  servers: string[];
  domain: string;
}

const TRIES = 3;
const WAIT_MS = 1000;
const [CLIENT_PORT, SERVER_PORT] = [68, 67];
const COOKIE = [99, 130, 83, 99];
const OPTION = { router: 3, servers: 6, domain: 15, type: 53, parameters: 55, end: 255 } as const;
const [INFORM, ACK] = [8, 5];

/** Asks, in the network namespace that this process is in. Rejects when nobody answers. */
export function inform(address: string): Promise<DhcpAnswer> {
  const transaction = Buffer.from(Array.from({ length: 4 }, () => Math.floor(Math.random() * 256)));
  const packet = informPacket(address, transaction);
  return new Promise((resolve, reject) => {
    const socket = createSocket({ type: 'udp4', reuseAddr: true });
    let tries = 0;
    let timer: NodeJS.Timeout | undefined;
    const end = (action: () => void): void => {
      clearTimeout(timer);
      socket.close();
      action();
    };
    const ask = (): void => {
      if (tries++ === TRIES) {
        end(() => reject(new Error(`no DHCP server answered ${TRIES} times ${WAIT_MS} ms`)));
        return;
      }
      socket.send(packet, SERVER_PORT, '255.255.255.255');
      timer = setTimeout(ask, WAIT_MS);
    };
    socket.on('error', (error) => end(() => reject(error)));
    socket.on('message', (message) => {
      const answer = parseAnswer(message, transaction);
      if (answer) end(() => resolve(answer));
    });
    // Bound to the address, not only to the port: the kernel finds the way for a broadcast by it, without any route.
    socket.bind(CLIENT_PORT, address, () => {
      socket.setBroadcast(true);
      ask();
    });
  });
}

/** @param transaction 4 bytes that the answer repeats */
export function informPacket(address: string, transaction: Uint8Array): Buffer {
  const packet = Buffer.alloc(240);
  packet.set([1, 1, 6, 0, ...transaction], 0); // a request, over Ethernet with MACs of 6 bytes
  packet.set(address.split('.').map(Number), 12); // ciaddr
  packet.set(COOKIE, 236);
  const parameters = [OPTION.router, OPTION.servers, OPTION.domain];
  const options = [OPTION.type, 1, INFORM, OPTION.parameters, parameters.length, ...parameters, OPTION.end];
  return Buffer.concat([packet, Buffer.from(options), Buffer.alloc(60)]);
}

/** What a DHCPACK for this transaction says; null for anything else. Its values come from the network: only addresses and names pass. */
export function parseAnswer(message: Buffer, transaction: Uint8Array): DhcpAnswer | null {
  if (message.length < 241 || message[0] !== 2 || !message.subarray(4, 8).equals(transaction)) return null;
  const options = new Map<number, Buffer>();
  for (let at = 240; at < message.length && message[at] !== OPTION.end; ) {
    const [code = 0, length = 0] = [message[at], message[at + 1]];
    if (code === 0) {
      at += 1;
      continue;
    }
    options.set(code, message.subarray(at + 2, at + 2 + length));
    at += 2 + length;
  }
  if (options.get(OPTION.type)?.[0] !== ACK) return null;
  const addresses = (bytes: Buffer | undefined): string[] =>
    Array.from({ length: Math.floor((bytes?.length ?? 0) / 4) }, (_, index) =>
      [...(bytes?.subarray(4 * index, 4 * index + 4) ?? [])].join('.'),
    );
  const domain = (options.get(OPTION.domain)?.toString('latin1') ?? '').replace(/\0+$/, '');
  return {
    routers: addresses(options.get(OPTION.router)),
    servers: addresses(options.get(OPTION.servers)),
    domain: /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/i.test(domain) ? domain : '',
  };
}
