/**
 * antispoof: a container sends only with its own MAC, address and ARP sender. In nft's bridge family, in front of everything else that
 * looks at what a port sends: what bears a neighbour's address neither reaches anybody, nor does the bridge learn a MAC from it. Ports
 * are known by their ifindex, as which bridge a port is on can be asked only with nft_meta_bridge, which not every kernel has.
 */
import { type Antispoof, type AntispoofModes, antispoofOf } from '../../model/antispoof.ts';
import type { NetworkConfig } from '../../model/config.ts';
import type { HostFacts } from '../../model/facts.ts';
import { antispoofNote } from '../../model/paths.ts';
import type { Step } from '../../model/step.ts';
import type { Chain } from './firewall.ts';

/**
 * from_port: a port that nobody registered (of a VM, or of an ordinary user's container) sends with what is no container's.
 *   iif != @ports ether saddr @taken_macs drop
 *   iif != @ports ip saddr @taken drop               the same for ARP
 *   iif != @ports accept
 * One that is registered: only with its MAC, so that tagged frames and others that nothing here can judge go too.
 *   iif . ether saddr != @port_macs drop
 *   ether type != { ip, arp, ip6 } drop
 *   iif . ether saddr . ip saddr @senders accept
 *   ip saddr 0.0.0.0 udp sport 68 udp dport 67 accept                    a DHCP client without an address
 *   iif . arp saddr ether . arp saddr ip @senders accept
 *   iif . arp saddr ether @port_macs arp saddr ip 0.0.0.0 accept         a probe (RFC 5227)
 *   ip6 saddr { ::, fe80::/10 } accept                                   we give out no other addresses
 *   drop
 * between_ports: where icc = false, nothing passes between a container and a port that nobody registered. IPv4 is judged by the chain
 * `forward` (isolation.ts), which lets published ports through.
 */
export const BRIDGE_CHAINS: Record<string, Chain> = {
  from_port: {
    hook: 'type filter hook prerouting priority -300; policy accept;',
    bridge: true,
    rules: [
      'iif != @ports ether saddr @taken_macs drop',
      'iif != @ports ip saddr @taken drop',
      'iif != @ports arp saddr ip @taken drop',
      'iif != @ports accept',
      'iif . ether saddr != @port_macs drop',
      'ether type != { ip, arp, ip6 } drop',
      'iif . ether saddr . ip saddr @senders accept',
      'ip saddr 0.0.0.0 udp sport 68 udp dport 67 accept',
      'iif . arp saddr ether . arp saddr ip @senders accept',
      'iif . arp saddr ether @port_macs arp saddr ip 0.0.0.0 accept',
      'ip6 saddr { ::, fe80::/10 } accept',
      'drop',
    ],
  },
  between_ports: {
    hook: 'type filter hook forward priority -300; policy accept;',
    bridge: true,
    rules: ['ether type ip accept', 'iif != @apart oif @apart drop', 'iif @apart oif != @apart drop'],
  },
};

/** For nft to say whether this host can do it: tables of the bridge family, and what of a frame the rules look at. */
export const CAPABILITY_SCRIPT = `table bridge nethooks-check {
  set senders { type iface_index . ether_addr . ipv4_addr; }
  chain from_port {
    type filter hook prerouting priority -300;
    iif . ether saddr . ip saddr @senders accept
    iif . arp saddr ether . arp saddr ip @senders accept
    ip6 saddr { ::, fe80::/10 } accept
  }
}
`;

/** What is to be checked now: on networks that ask for it, and on bridges that stay because of the containers on them. */
export function checkedNow(networks: readonly NetworkConfig[], { antispoof, links }: HostFacts): AntispoofModes {
  const stays = ([bridge]: [string, Antispoof]): boolean =>
    !networks.some(({ name }) => name === bridge) && links.some(({ master }) => master === bridge);
  const wanted = networks.flatMap((network): [string, Antispoof][] => {
    const mode = antispoof.supported ? antispoofOf(network) : null;
    return mode === null ? [] : [[network.name, mode]];
  });
  return Object.fromEntries([...wanted, ...Object.entries(antispoof.noted).filter(stays)]);
}

/** The notes by which hooks know. Behind the transaction: what starts in between is missing in it, and the next plan says so. */
export function planNotes(checked: AntispoofModes, { antispoof: { noted } }: HostFacts): Step[] {
  return [...new Set([...Object.keys(checked), ...Object.keys(noted)])].flatMap((network): Step[] => {
    const [before, content] = [noted[network] ?? null, checked[network] ?? null];
    return before === content ? [] : [{ kind: 'file', path: antispoofNote(network), before, content }];
  });
}

/** Networks that asked for it in vain. They were up without it before there was such a thing, so they go on. */
export const antispoofWarnings = (networks: readonly NetworkConfig[], { antispoof }: HostFacts): string[] =>
  antispoof.supported
    ? []
    : networks
        .filter((network) => antispoofOf(network) !== null)
        .map(
          ({ name }) =>
            `network ${name}: its containers can send with each other's addresses: nft cannot filter what bridges pass on ` +
            '(the kernel needs nf_tables_bridge); antispoof = false ends this warning',
        );
