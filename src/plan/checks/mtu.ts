import { type Check, warning } from './check.ts';
import { uplinksOf } from './uplinks.ts';

export const mtu: Check = {
  id: 'mtu-black-hole',
  title: 'MTU of bridges and uplinks',
  why: 'packets that are too large for the uplink depend on ICMP messages that many networks drop: large transfers hang',
  find: ({ networks, host }) =>
    networks.flatMap((network) => {
      const find = (name: string) => host.links.find((link) => link.name === name);
      const bridge = find(network.name);
      return uplinksOf(network, host).flatMap((name) => {
        const uplink = find(name);
        // With `auto` it follows the uplink, which `up` sees to.
        if (!bridge || !uplink || bridge.mtu <= uplink.mtu || network.mtu === 'auto') return [];
        return [
          warning(
            `${network.name} has an MTU of ${bridge.mtu}, its uplink ${name} one of ${uplink.mtu}; \`mtu = ${uplink.mtu}\` in [network.${network.name}] sets it`,
          ),
        ];
      });
    }),
};
