import { type Check, type ListenerFact, missing } from './check.ts';

/** What comes to a published port is translated before any process of the host sees it. */
export const ports: Check = {
  id: 'port-taken',
  title: 'published ports that a process of the host has as well',
  why: 'what comes from outside goes to the container, so that process gets nothing; the host itself may reach either',
  find: ({ published, listeners }) =>
    published.flatMap(({ name, port }) =>
      listeners
        // podman's conmon holds the ports of its container, and serves none of them.
        .filter((one) => isSame(one, port) && !/^conmon /.test(one.owner))
        .map((one) => ({
          ...missing(`${one.owner} listens on port ${port.hostPort}/${port.protocol}, which is published for it`),
          about: name,
        })),
    ),
};

const isSame = (
  { protocol, address, port }: ListenerFact,
  published: { protocol: string; hostAddress: string | null; hostPort: number },
): boolean =>
  protocol === published.protocol &&
  port === published.hostPort &&
  (['0.0.0.0', '::'].includes(address) || published.hostAddress === null || address === published.hostAddress);
