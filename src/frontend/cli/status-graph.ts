/** The status as a picture: a tree for a terminal, a flowchart for documents. Pure: from data to text; names in it are hostile. */
import type { ContainerStatus, NetworkStatus, OtherStatus, Status } from '../../host/status.ts';
import { printable } from '../../system/log.ts';
import { portLine } from './port.ts';

interface Node {
  text: string;
  children: Node[];
}

/** `nethooks status --graph` */
export function tree(status: Status): string {
  const roots = byUplinks(status).map(({ uplinks, networks }) => ({
    text: uplinks,
    children: networks.map(networkNode),
  }));
  const others =
    status.others.length > 0 ? [{ text: 'on no network of ours', children: status.others.map(otherNode) }] : [];
  return [...roots, ...others].flatMap(drawn).join('\n');
}

const drawn = ({ text, children }: Node): string[] => [
  printable(text),
  ...children.flatMap((child, index) => {
    const isLast = index === children.length - 1;
    const [first = '', ...rest] = drawn(child);
    return [`${isLast ? '└─' : '├─'} ${first}`, ...rest.map((line) => `${isLast ? '  ' : '│ '} ${line}`)];
  }),
];

/** Networks that go out the same way stand together. */
function byUplinks({ networks }: Status): { uplinks: string; networks: NetworkStatus[] }[] {
  const groups = new Map<string, NetworkStatus[]>();
  for (const network of networks) {
    const uplinks = uplinksOf(network);
    groups.set(uplinks, [...(groups.get(uplinks) ?? []), network]);
  }
  return [...groups].map(([uplinks, members]) => ({ uplinks, networks: members }));
}

function uplinksOf({ uplinks, defaultDevice, internal }: NetworkStatus): string {
  if (internal) return 'no way out';
  if (uplinks[0] === '*') return `any uplink (default route: ${defaultDevice ?? 'none'})`;
  return uplinks.join(', ') || 'no uplink is up';
}

const networkNode = (network: NetworkStatus): Node => ({
  text: [network.name, network.address, ...traits(network)].join('  '),
  children: [
    ...network.containers.map(containerNode),
    ...leasedMachines(network).map(({ address, hostname, mac }) => ({
      text: `${hostname || mac}  ${address}  by DHCP`,
      children: [],
    })),
  ],
});

/** Machines that have an address by DHCP alone. */
const leasedMachines = ({ leases, containers }: NetworkStatus) =>
  leases.filter(({ address }) => containers.every((one) => one.address !== address));

const traits = ({ bridge, icc, routed, antispoof, source, dnsmasq, served }: NetworkStatus): string[] => [
  bridge ? 'up' : 'down',
  ...(icc ? [] : ['icc off']),
  ...(routed ? ['routed'] : []),
  ...(antispoof === 'not needed' ? [] : [`antispoof ${antispoof}`]),
  ...(source === null ? [] : [`source ${source}`]),
  ...(served && dnsmasq === null ? ['no dnsmasq'] : []),
];

const containerNode = ({ name, address, dnsName, running, ports, links, source, sharedBy }: ContainerStatus): Node => ({
  text: [
    name,
    address,
    ...(dnsName === null ? [] : [dnsName]),
    ...(source === null ? [] : [`source ${source}`]),
    ...(running ? [] : ['not running']),
  ].join('  '),
  children: [...leaves({ ports, links }), ...sharedBy.map((one) => ({ text: `${one}  on its network`, children: [] }))],
});

const leaves = ({ ports, links }: Pick<ContainerStatus, 'ports' | 'links'>): Node[] =>
  [
    ...ports.map((port) => `port ${portLine(port)}`),
    ...links.map(({ container, alias }) => `link to ${container} as ${alias}`),
  ].map((text) => ({ text, children: [] }));

const otherNode = ({ name, running, interfaces, ports, links }: OtherStatus): Node => ({
  text: [
    name,
    ...interfaces.map(({ driver, addresses }) => [driver, ...addresses].join(' ')),
    ...(running ? [] : ['not running']),
  ].join('  '),
  children: leaves({ ports, links }),
});

/** `nethooks status --format mermaid` */
export function mermaid(status: Status): string {
  const lines: string[] = ['flowchart LR'];
  const ids = new Map<string, string>();
  /** @param key what it is, whatever it is called */
  const node = (key: string, text: string, [open, close]: readonly [string, string] = ['[', ']']): string => {
    const known = ids.get(key);
    if (known !== undefined) return known;
    const id = `n${ids.size}`;
    ids.set(key, id);
    lines.push(`  ${id}${open}"${escaped(text)}"${close}`);
    return id;
  };
  const edges: string[] = [];
  const holders = [
    ...status.networks.flatMap((network) => network.containers.map((one) => ({ ...one, network: network.name }))),
    ...status.others.map((one) => ({
      ...one,
      network: null,
      address: one.interfaces.flatMap((link) => link.addresses).join(' '),
    })),
  ];
  for (const { uplinks, networks } of byUplinks(status)) {
    const uplink = node(`uplink ${uplinks}`, uplinks, ['([', '])']);
    for (const network of networks) {
      const own = node(`network ${network.name}`, [network.name, network.address, ...traits(network)].join(' '), [
        '{{',
        '}}',
      ]);
      edges.push(`  ${uplink} --- ${own}`);
      for (const { address, hostname, mac } of leasedMachines(network))
        edges.push(`  ${own} --- ${node(`lease ${address}`, `${hostname || mac} ${address}`)}`);
    }
  }
  for (const { name, network, address, running } of holders) {
    const own = node(`container ${name}`, `${name} ${address}${running ? '' : ' (not running)'}`);
    if (network !== null) edges.push(`  ${node(`network ${network}`, network)} --- ${own}`);
  }
  // Once for a container on two networks.
  for (const { name, ports, links } of new Map(holders.map((one) => [one.name, one])).values()) {
    const own = node(`container ${name}`, name);
    for (const port of ports)
      edges.push(`  ${node('published', 'published ports', ['([', '])'])} -->|"${escaped(portLine(port))}"| ${own}`);
    for (const { container, alias } of links)
      edges.push(`  ${own} -.->|"${escaped(`as ${alias}`)}"| ${node(`container ${container}`, container)}`);
  }
  return [...lines, ...edges].join('\n');
}

/** In mermaid's words for characters that mean something to it or to a browser. */
const escaped = (text: string): string =>
  printable(text).replace(/[^A-Za-z0-9 .,:/()_-]/gu, (character) => `#${character.codePointAt(0)};`);
