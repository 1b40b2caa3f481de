import { overlaps } from '../../model/address.ts';
import type { NetworkConfig } from '../../model/config.ts';
import type { HostFacts, LinkFact } from '../../model/facts.ts';
import type { Plan } from '../../model/step.ts';
import { macFor } from '../attachment/wiring.ts';

/** The host's address on a network's bridge, with its prefix length. */
export const cidrOf = ({ address, prefix }: NetworkConfig): string => `${address}/${prefix}`;

/** The alias (ip-link(8)) that tells a bridge of ours from one that somebody else made. */
export const ALIAS = 'nethooks';

/** The MTU in bytes that a network's links should have. */
export function mtuOf(network: NetworkConfig, facts: HostFacts): number {
  if (network.mtu !== 'auto') return network.mtu;
  return facts.links.find((link) => link.name === facts.defaultDevice)?.mtu ?? 1500;
}

/** What else there is to know of a network's bridge than the network and the host. */
export interface BridgeHistory {
  /** Addresses it has from an earlier configuration of ours. */
  stale: string[];
  /** Bridges that this very plan takes down. */
  going: string[];
}

/** What makes the bridge with its address. */
export function planBridge(network: NetworkConfig, facts: HostFacts, { stale, going }: BridgeHistory): Plan {
  const { name } = network;
  const link = facts.links.find((candidate) => candidate.name === name);
  const own = cidrOf(network);
  const plan: Plan = { steps: [], warnings: [], refusals: refusals(network, facts, link, going) };
  if (plan.refusals.length > 0) return plan;
  if (link && link.alias !== ALIAS)
    plan.warnings.push(`bridge ${name} was here before nethooks: it is used and left in place`);
  const mtu = mtuOf(network, facts);
  const commands: string[] = [];
  const undo: string[] = [];
  const act = (command: string, back: string): void => {
    commands.push(command);
    undo.unshift(back);
  };
  if (!link) {
    // A fixed MAC, or the bridge would take on the lowest of its ports' and confuse every neighbour table.
    act(`link add name ${name} address ${macFor(network.address)} mtu ${mtu} type bridge`, `link del dev ${name}`);
    commands.push(`link set dev ${name} alias ${ALIAS}`);
  } else if (link.mtu !== mtu && (link.alias === ALIAS || network.mtu !== 'auto')) {
    act(`link set dev ${name} mtu ${mtu}`, `link set dev ${name} mtu ${link.mtu}`);
  }
  // Before the first port joins. It stays so: whose bridge it is keeps it.
  if (link && !link.fixedMac) commands.push(`link set dev ${name} address ${link.mac}`);
  for (const address of stale.filter((old) => old !== own && link?.addresses.includes(old)))
    act(`addr del ${address} dev ${name}`, `addr add ${address} broadcast + dev ${name}`);
  if (!link?.addresses.includes(own)) act(`addr add ${own} broadcast + dev ${name}`, `addr del ${own} dev ${name}`);
  if (!link?.up) act(`link set dev ${name} up`, `link set dev ${name} down`);
  if (commands.length > 0) plan.steps.push({ kind: 'ip', commands, undo: link ? undo : [`link del dev ${name}`] });
  return plan;
}

function refusals(network: NetworkConfig, facts: HostFacts, link: LinkFact | undefined, going: string[]): string[] {
  const where = `network ${network.name}`;
  if (link && link.kind !== 'bridge')
    return [
      `${where}: ${link.name} exists and is ${link.kind ? `a ${link.kind}` : 'hardware'}, no bridge; allowed: a name that is free, or a bridge`,
    ];
  const lan = link && link.alias !== ALIAS && network.dhcp ? wayOut(link, facts) : undefined;
  if (lan)
    return [
      `${where}: bridge ${link?.name} leads to a network of others (${lan}), whose machines our DHCP server would answer; allowed: a bridge of its own, or dhcp = false`,
    ];
  if (link?.addresses.includes(cidrOf(network))) return [];
  return facts.routes
    .filter(({ device, destination }) => device !== network.name && overlaps(destination, network.subnet))
    .filter(({ device }) => !going.includes(device))
    .map(({ device, destination }) => {
      const ours = facts.links.some((candidate) => candidate.name === device && candidate.alias === ALIAS);
      const hint = ours
        ? `the containers on ${device} stopped`
        : 'a free subnet, `nethooks config init --print` shows one';
      return `${where}: subnet ${network.subnet} overlaps the route to ${destination} over ${device}; allowed: ${hint}`;
    });
}

/** What makes a bridge more than a switch for containers: hardware on it, or the default route over it. */
function wayOut(link: LinkFact, facts: HostFacts): string | undefined {
  if (facts.defaultDevice === link.name) return 'the default route goes over it';
  const inside = ['veth', 'tun', 'dummy'];
  const port = facts.links.find(({ master, kind }) => master === link.name && !inside.includes(kind));
  return port && `${port.name} is a port of it`;
}

/** What removes the bridge: all of it if it is ours, once no container is on it; of somebody else's only `addresses`, which are ours. */
export function planBridgeDown(name: string, addresses: string[], facts: HostFacts): Plan {
  const link = facts.links.find((candidate) => candidate.name === name);
  if (link?.kind !== 'bridge') return { steps: [], warnings: [], refusals: [] };
  if (link.alias !== ALIAS) {
    const ours = link.addresses.filter((address) => addresses.includes(address));
    const commands = ours.map((address) => `addr del ${address} dev ${name}`);
    const undo = ours.map((address) => `addr add ${address} broadcast + dev ${name}`);
    return { steps: ours.length > 0 ? [{ kind: 'ip', commands, undo }] : [], warnings: [], refusals: [] };
  }
  const ports = facts.links.filter((candidate) => candidate.master === name).map((port) => port.name);
  if (ports.length === 0)
    return { steps: [{ kind: 'ip', commands: [`link del dev ${name}`], undo: [] }], warnings: [], refusals: [] };
  const warning = `bridge ${name} stays, with its address: ${ports.length} port${ports.length === 1 ? ' is' : 's are'} still on it (${ports.join(', ')})`;
  return { steps: [], warnings: [warning], refusals: [] };
}
