/** Whether DNS servers answer: a question to each, over UDP. Not for hooks, as it loads node:dgram. */
import { createSocket } from 'node:dgram';

/** A server that is well answers in less than one; one packet may be lost. */
const WAIT_MS = 400;
const TRIES = 3;

/** `version.bind`, TXT, class CHAOS, which dnsmasq answers by itself, whatever it is set to; RFC 1035 section 4. */
const QUESTION = Buffer.concat([
  Buffer.from([0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]),
  Buffer.from('\x07version\x04bind\0'),
  Buffer.from([0, 16, 0, 3]),
]);

/** Those of the addresses where nobody answers, asked side by side. */
export async function silentServers(addresses: readonly string[]): Promise<string[]> {
  const answers = await Promise.all(addresses.map(answersAt));
  return addresses.filter((_, index) => !answers[index]);
}

function answersAt(address: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4');
    let tries = 0;
    const end = (answers: boolean): void => {
      clearInterval(timer);
      socket.close();
      resolve(answers);
    };
    const ask = (): void => {
      if (tries++ === TRIES) end(false);
      else socket.send(QUESTION, 53, address, () => undefined);
    };
    const timer = setInterval(ask, WAIT_MS);
    socket.on('message', (_, from) => {
      if (from.address === address) end(true);
    });
    socket.on('error', () => end(false));
    ask();
  });
}
