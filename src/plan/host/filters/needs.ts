/** What networks need other people's packet filters to let through, and the rules that say so. */
import { hostCidr } from '../../../model/address.ts';
import type { NetworkConfig } from '../../../model/config.ts';
import type { HostFacts } from '../../../model/facts.ts';
import { activeUplinks } from '../firewall.ts';
import type { Packet } from './filter.ts';

/** Something that has to pass, and the one rule that lets it. */
export interface Need {
  /** Which network's. */
  network: string;
  /** For people, with `%` for the network: `DHCP of %`. */
  what: string;
  packets: Packet[];
  /** In the words of iptables-save, without verdict. */
  iptables: string;
  /** In those of nft(8), with `%` for the bridge. */
  nft: string;
}

/** All that one network needs of the IP hooks. */
export function needsOf(network: NetworkConfig, facts: HostFacts): Need[] {
  const { name, subnet, routed, trusted } = network;
  const uplinks = uplinksOf(network, facts);
  const forwarded = { hook: 'forward', toType: 'unicast', translated: false, state: 'new' } as const;
  const out = uplinks.map((out): Packet => ({ ...forwarded, in: name, from: subnet, out }));
  const into = uplinks.map((uplink): Packet => ({ ...forwarded, out: name, to: subnet, in: uplink }));
  const answers = into.map((packet): Packet => ({ ...packet, state: 'established' }));
  const published = into.map((packet): Packet => ({ ...packet, translated: true }));
  const within: Packet = { ...forwarded, in: name, out: name, from: subnet, to: subnet };
  const needs = [
    ...hostNeeds(network),
    {
      what: 'what containers of % begin',
      packets: [...(network.internal ? [] : out), ...(isFiltered(network, facts) ? [within] : [])],
      iptables: `-i ${name}`,
      nft: 'iifname %',
    },
    {
      what: 'answers and published ports of %',
      packets: [...answers, ...published],
      iptables: `-o ${name} -m conntrack --ctstate RELATED,ESTABLISHED,DNAT`,
      nft: 'oifname % ct state established,related accept; oifname % ct status dnat',
    },
    ...(routed ? [{ what: 'routes to %', packets: into, iptables: `-o ${name}`, nft: 'oifname %' }] : []),
    ...(routed ? [] : trusted).map((from) => ({
      what: `what comes from ${from} to %`,
      packets: [{ ...forwarded, in: from, out: name, to: subnet }],
      iptables: `-i ${from} -o ${name}`,
      nft: `iifname "${from}" oifname %`,
    })),
  ];
  return needs.map((need) => ({ ...need, network: name }));
}

/** What containers ask the host itself. */
function hostNeeds({ name, address, subnet, dns, dhcp }: NetworkConfig): Omit<Need, 'network'>[] {
  const asked = { hook: 'input', in: name, bridge: name, state: 'new', translated: false } as const;
  const host = { ...asked, from: subnet, to: hostCidr(address), toType: 'local' } as const;
  const need = (what: string, packet: Packet & { protocol: string }): Omit<Need, 'network'> => ({
    what: `${what} of %`,
    packets: [packet],
    iptables: `-i ${name} -p ${packet.protocol} -m ${packet.protocol} --dport ${packet.port}`,
    nft: `iifname % ${packet.protocol} dport ${packet.port}`,
  });
  return [
    ...(dns
      ? [
          need('DNS', { ...host, protocol: 'udp', port: 53 }),
          need('DNS over TCP', { ...host, protocol: 'tcp', port: 53 }),
        ]
      : []),
    ...(dhcp ? [need('DHCP', { ...asked, toType: 'broadcast', protocol: 'udp', port: 67 })] : []),
  ];
}

/** Interfaces that containers get out by now; one that is not known where there is none. */
function uplinksOf(network: NetworkConfig, facts: HostFacts): (string | undefined)[] {
  const uplinks = network.uplinks === '*' ? [facts.defaultDevice ?? undefined] : activeUplinks(network, facts.links);
  return uplinks.length > 0 ? uplinks : [undefined];
}

/** Whether what a bridge passes on between its ports goes through the IP hooks. */
const isFiltered = ({ name, icc }: NetworkConfig, facts: HostFacts): boolean =>
  !icc || facts.filtersAllBridges || facts.links.some((link) => link.name === name && link.filtersBridged);
