import { type Check, warning } from './check.ts';

export const lxcContainers: Check = {
  id: 'lxc-config',
  title: "LXC containers' configurations",
  why: 'without link and hooks a container gets no address, name or published port from us',
  find: ({ containers, networks, lxcBridge }) =>
    containers.flatMap(({ name, links, missingHooks }) => {
      const remedy = `nethooks configure ${name}`;
      if (missingHooks.length > 0)
        return [
          {
            ...warning(`it is on a network of ours without our hooks: ${missingHooks.join(', ')}`, remedy),
            about: name,
          },
        ];
      const elsewhere = links.includes(lxcBridge) && !networks.some((network) => network.name === lxcBridge);
      return elsewhere ? [{ ...warning(`it is on ${lxcBridge}, lxc-net's bridge`, remedy), about: name }] : [];
    }),
};
