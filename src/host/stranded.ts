/** Containers that run with an address of an earlier configuration. */

import { contains } from '../model/address.ts';
import type { NetworkConfig } from '../model/config.ts';
import { listRunning } from '../store/container.ts';
import { isAlive } from '../system/process.ts';

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
