/** `nethooks hook probe`: asks what standard input says from the network namespace that it is started in, and prints the answers. */
import { createSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';

export type Question =
  | { ask: 'dns'; server: string /** An A record of it. */; name: string }
  | { ask: 'tcp'; address: string; port: number };

/** `dns`: the addresses, none for a name that is not known; `tcp`: whether somebody has it. Null: no answer. */
export type Answer = string[] | 'connected' | 'refused' | null;

/** How long (ms) an answer may take. */
const LIMIT_MS = 1000;

export async function run(): Promise<void> {
  const questions = JSON.parse(readFileSync(0, 'utf8')) as Question[];
  process.stdout.write(JSON.stringify(await answersTo(questions)));
}

/** From the network namespace that we are in. */
export const answersTo = (questions: readonly Question[]): Promise<Answer[]> =>
  Promise.all(questions.map((one): Promise<Answer> => (one.ask === 'dns' ? askDns(one) : askTcp(one))));

/** A query of RFC 1035: header, name, type A, class IN. */
function query(id: number, name: string): Buffer {
  const labels = name.split('.').flatMap((label) => [Buffer.from([label.length]), Buffer.from(label, 'ascii')]);
  const header = Buffer.alloc(12);
  header.writeUInt16BE(id, 0);
  header.writeUInt16BE(0x0100, 2); // recursion desired
  header.writeUInt16BE(1, 4);
  return Buffer.concat([header, ...labels, Buffer.from([0, 0, 1, 0, 1])]);
}

/** Addresses are where the records' data are four bytes; names are passed over. */
function addressesIn(reply: Buffer, question: number): string[] {
  const addresses: string[] = [];
  let at = question;
  for (let left = reply.readUInt16BE(6); left > 0 && at + 12 <= reply.length; left--) {
    while (at < reply.length && (reply[at] as number) !== 0 && (reply[at] as number) < 0xc0)
      at += (reply[at] as number) + 1;
    at += (reply[at] ?? 0) >= 0xc0 ? 2 : 1;
    if (at + 10 > reply.length) break;
    const [type, length] = [reply.readUInt16BE(at), reply.readUInt16BE(at + 8)];
    if (type === 1 && length === 4) addresses.push([...reply.subarray(at + 10, at + 14)].join('.'));
    at += 10 + length;
  }
  return addresses;
}

const askDns = ({ server, name }: { server: string; name: string }): Promise<Answer> =>
  new Promise((resolve) => {
    const id = process.pid & 0xffff;
    const packet = query(id, name);
    const socket = createSocket('udp4');
    const end = (answer: Answer): void => {
      clearTimeout(timer);
      socket.close();
      resolve(answer);
    };
    const timer = setTimeout(() => end(null), LIMIT_MS);
    socket.on('error', () => end(null));
    socket.on('message', (reply) => {
      if (reply.length >= 12 && reply.readUInt16BE(0) === id) end(addressesIn(reply, packet.length));
    });
    socket.send(packet, 53, server, (error) => {
      if (error) end(null);
    });
  });

const askTcp = ({ address, port }: { address: string; port: number }): Promise<Answer> =>
  new Promise((resolve) => {
    const socket = connect({ host: address, port, timeout: LIMIT_MS });
    const end = (answer: Answer): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.on('connect', () => end('connected'));
    socket.on('timeout', () => end(null));
    socket.on('error', (error: NodeJS.ErrnoException) => end(error.code === 'ECONNREFUSED' ? 'refused' : null));
  });
