/** Real TCP and UDP between network namespaces of a lab host: servers that answer with who they see, clients that say what came. */
import { type ChildProcess, spawn } from 'node:child_process';
import type { ThrowawayHost } from '../../src/demo/throwaway.ts';
import { must } from './host.ts';

/** Where something runs: the fake internet, the host, or a network namespace of the host by its ip-netns(8) name. */
export type Side = 'internet' | 'host' | (string & {});

/** `tcp 192.0.2.2:8080`. */
export type Target = `${'tcp' | 'udp'} ${string}:${number}`;

const ANSWER = `
const [, ...binds] = process.argv;
const net = require('node:net'), dgram = require('node:dgram');
let open = 2 * binds.length;
const ready = () => { if (--open === 0) console.log('ready'); };
for (const bind of binds) {
  const [address, port] = bind.split(':');
  net.createServer((socket) => {
    socket.on('error', () => {});
    // Says who it sees at the beginning, and after every line it is sent.
    const say = () => socket.write(port + ' ' + socket.remoteAddress + '\\n');
    say();
    socket.on('data', say);
    socket.on('end', () => socket.end());
  }).listen(Number(port), address, ready);
  const udp = dgram.createSocket('udp4');
  udp.on('message', (_, from) => udp.send(port + ' ' + from.address + '\\n', from.port, from.address));
  udp.bind(Number(port), address, ready);
}
`;

const ASK = `
const targets = process.argv.slice(1);
const net = require('node:net'), dgram = require('node:dgram');
const WAIT = 700;
const ask = (target) => new Promise((resolve) => {
  const [protocol, to] = target.split(' ');
  const [address, port] = to.split(':');
  if (protocol === 'tcp') {
    const socket = net.connect(Number(port), address);
    const end = (what) => { resolve(what); socket.destroy(); };
    socket.setTimeout(WAIT, () => end('silence'));
    socket.on('data', (data) => end(String(data).trim()));
    socket.on('error', (error) => end(error.code === 'ECONNREFUSED' ? 'refused' : error.code));
    socket.on('close', () => resolve('closed'));
  } else {
    const socket = dgram.createSocket('udp4');
    const end = (what) => { resolve(what); try { socket.close(); } catch {} };
    socket.on('error', (error) => end(error.code === 'ECONNREFUSED' ? 'refused' : error.code));
    socket.on('message', (data, from) => end(from.address === address ? String(data).trim() : 'answer from ' + from.address));
    socket.connect(Number(port), address, (error) => { if (!error) socket.send('x', () => {}); });
    setTimeout(() => end('silence'), WAIT);
  }
});
Promise.all(targets.map(ask)).then((answers) => { console.log(JSON.stringify(answers)); process.exit(0); });
`;

const TALK = `
const [, target] = process.argv;
const [protocol, to] = target.split(' ');
const [address, port] = to.split(':');
process.on('uncaughtException', () => {});
if (protocol === 'tcp') {
  const socket = require('node:net').connect(Number(port), address);
  socket.on('data', () => process.stdout.write('.'));
  socket.on('error', () => {});
  setInterval(() => socket.writable && socket.write('x'), 40);
} else {
  const socket = require('node:dgram').createSocket('udp4');
  socket.on('error', () => {});
  socket.on('message', () => process.stdout.write('.'));
  setInterval(() => socket.send('x', Number(port), address, () => {}), 40);
}
`;

const inside = (side: Side, argv: string[]): string[] =>
  side === 'internet' || side === 'host' ? argv : ['ip', 'netns', 'exec', side, ...argv];

/**
 * Answers TCP and UDP with the port and the address that it sees, `80 10.0.0.3`, until the host is closed.
 * @param binds `10.0.0.2:80`
 */
export async function serve(host: ThrowawayHost, side: Side, binds: readonly string[]): Promise<ChildProcess> {
  const argv = inside(side, [process.execPath, '-e', ANSWER, ...binds]);
  const { file, args, env } = host.enter(argv, { internet: side === 'internet' });
  const child = spawn(file, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  await new Promise<void>((resolve, reject) => {
    let said = '';
    child.stdout.once('data', () => resolve());
    child.stderr.on('data', (data) => {
      said += data;
    });
    child.once('exit', () => reject(new Error(`server at ${side}: ${said}`)));
  });
  return child;
}

/** What clients get from each target, all at once: the answer, `refused`, `silence`, or an error's code. */
export async function ask(
  host: ThrowawayHost,
  side: Side,
  targets: readonly Target[],
): Promise<Record<string, string>> {
  const argv = inside(side, [process.execPath, '-e', ASK, ...targets]);
  const text = side === 'internet' ? (await host.internet(argv)).stdout : await must(host, argv);
  const answers = JSON.parse(text) as string[];
  return Object.fromEntries(targets.map((target, index) => [target, answers[index] as string]));
}

export interface Conversation {
  /** How many answers have come so far. */
  answers(): number;
  /** Whether answers come now. */
  goesOn(): Promise<boolean>;
}

/** One connection over which something is said every 40 ms, until the host is closed. */
export function talk(host: ThrowawayHost, side: Side, target: Target): Conversation {
  const argv = inside(side, [process.execPath, '-e', TALK, target]);
  const { file, args, env } = host.enter(argv, { internet: side === 'internet' });
  const child = spawn(file, args, { env, stdio: ['ignore', 'pipe', 'inherit'] });
  let count = 0;
  child.stdout.on('data', (data: Buffer) => {
    count += data.length;
  });
  return {
    answers: () => count,
    goesOn: async () => {
      // What is on its way may still arrive; a busy machine may be slow.
      await new Promise((resolve) => setTimeout(resolve, 150));
      const before = count;
      for (let waited = 0; waited < 1000 && count === before; waited += 50)
        await new Promise((resolve) => setTimeout(resolve, 50));
      return count > before;
    },
  };
}
