/** Containers that run with an address of an earlier configuration. */
import type { NetworkConfig } from '../config/types.ts';
import { contains } from '../plan/ipv4.ts';
import { listRunning } from './container.ts';
import { isAlive } from './process.ts';

/** A line for each running container whose address is not of its network's subnet any more: its gateway has gone from it. */
export function stranded(networks: NetworkConfig[]): string[] {
  return listRunning().flatMap((record) =>
    record.attachments.flatMap(({ network, address }) => {
      const now = networks.find(({ name }) => name === network);
      if (!now || contains(now.subnet, address) || !isAlive(record)) return [];
      return `container ${record.name} runs with ${address}, but ${network} is ${now.subnet} now: restart it`;
    }),
  );
}
