/** Containers that run with an address of an earlier configuration. */
import { contains } from '../model/address.ts';
import { type AttachmentRecord, attachmentId, ipv4Of, showOwner } from '../model/attachment.ts';
import type { NetworkConfig } from '../model/config.ts';

/** A line for each running container whose address is not of its network's subnet any more: its gateway has gone from it. */
export function outdated(networks: readonly NetworkConfig[], live: readonly AttachmentRecord[]): string[] {
  return live.flatMap((record) =>
    record.interfaces.flatMap((one) => {
      const now = networks.find(({ name }) => name === one.network);
      const address = ipv4Of(one);
      if (!now || address === null || contains(now.subnet, address)) return [];
      return `${showOwner(attachmentId(record.owner))} runs with ${address}, but ${now.name} is ${now.subnet} now: restart it`;
    }),
  );
}
