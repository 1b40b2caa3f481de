import type { NetworkConfig } from '../config/types.ts';
import type { HostFacts, LinkFact } from './facts.ts';
import { overlaps, toNumber } from './ipv4.ts';
import type { Plan, Step } from './step.ts';

/** The alias (ip-link(8)) that tells a bridge of ours from one that somebody else made. */
export const ALIAS = 'nethooks';

/** A MAC address of our own making for whoever holds `address`: locally administered, fixed, unique in its network. */
export function macFor(address: string): string {
  const octets = toNumber(address).toString(16).padStart(8, '0').match(/../g) as string[];
  return ['02', '6e', ...octets].join(':');
}

/** The MTU in bytes that a network's links should have. */
export function mtuOf(network: NetworkConfig, facts: HostFacts): number {
  if (network.mtu !== 'auto') return network.mtu;
  return facts.links.find((link) => link.name === facts.defaultDevice)?.mtu ?? 1500;
}

/** What makes the bridge with its address; `stale` are addresses it has from an earlier configuration of ours. */
export function planBridge(network: NetworkConfig, facts: HostFacts, stale: string[]): Plan {
  const { name } = network;
  const link = facts.links.find((candidate) => candidate.name === name);
  const own = `${network.address}/${network.prefix}`;
  const plan: Plan = { steps: [], warnings: [], refusals: refusals(network, facts, link) };
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
  for (const address of stale.filter((old) => old !== own && link?.addresses.includes(old)))
    act(`addr del ${address} dev ${name}`, `addr add ${address} broadcast + dev ${name}`);
  if (!link?.addresses.includes(own)) act(`addr add ${own} broadcast + dev ${name}`, `addr del ${own} dev ${name}`);
  if (!link?.up) act(`link set dev ${name} up`, `link set dev ${name} down`);
  if (commands.length > 0) plan.steps.push({ kind: 'ip', commands, undo: link ? undo : [`link del dev ${name}`] });
  return plan;
}

function refusals(network: NetworkConfig, facts: HostFacts, link: LinkFact | undefined): string[] {
  const where = `network ${network.name}`;
  if (link && link.kind !== 'bridge')
    return [
      `${where}: ${link.name} exists and is ${link.kind ? `a ${link.kind}` : 'hardware'}, no bridge; allowed: a name that is free, or a bridge`,
    ];
  if (link?.addresses.includes(`${network.address}/${network.prefix}`)) return [];
  return facts.routes
    .filter((route) => route.device !== network.name && overlaps(route.destination, network.subnet))
    .map(
      (route) =>
        `${where}: subnet ${network.subnet} overlaps the route to ${route.destination} over ${route.device}; allowed: a free subnet, \`nethooks config init --print\` shows one`,
    );
}

/** What removes the bridge: all of it if it is ours and has no ports, else only the address that is ours. */
export function planBridgeDown(name: string, addresses: string[], facts: HostFacts): Plan {
  const link = facts.links.find((candidate) => candidate.name === name);
  const ports = facts.links.filter((candidate) => candidate.master === name);
  if (link?.kind !== 'bridge') return { steps: [], warnings: [], refusals: [] };
  if (ports.length > 0) {
    const warning = `bridge ${name} stays, with its address: ${ports.length} port${ports.length === 1 ? ' is' : 's are'} still on it (${ports.map((port) => port.name).join(', ')})`;
    return { steps: [], warnings: [warning], refusals: [] };
  }
  const present = link.addresses.filter((address) => addresses.includes(address));
  const step: Step =
    link.alias === ALIAS
      ? { kind: 'ip', commands: [`link del dev ${name}`], undo: [] }
      : {
          kind: 'ip',
          commands: present.map((a) => `addr del ${a} dev ${name}`),
          undo: present.map((a) => `addr add ${a} broadcast + dev ${name}`),
        };
  return { steps: step.commands.length > 0 ? [step] : [], warnings: [], refusals: [] };
}
