import { type Check, missing } from './check.ts';

export const secondAddress: Check = {
  id: 'address-twice',
  title: "the bridges' addresses",
  why: 'the kernel answers for the address on both, and sends to the subnet by one of them only',
  find: ({ networks, host }) =>
    networks.flatMap(({ name, address }) =>
      host.links
        .filter((link) => link.name !== name && link.addresses.some((one) => one.split('/')[0] === address))
        .map((link) =>
          missing(
            `${link.name} has ${address} as well, the address of ${name}`,
            `ip addr del ${address} dev ${link.name}`,
          ),
        ),
    ),
};
