import { overlaps } from '../../model/address.ts';
import type { NetworkConfig } from '../../model/config.ts';
import { macFor } from '../../model/derived.ts';
import type { HostFacts, LinkFact } from '../../model/facts.ts';
import type { Plan, Step } from '../../model/step.ts';

/** The host's address on a network's bridge, with its prefix length. */
export const cidrOf = ({ address, prefix }: NetworkConfig): string => `${address}/${prefix}`;

/** The alias (ip-link(8)) that tells a bridge of ours from one that somebody else made. */
export const ALIAS = 'nethooks';

/**
 * The group (ip-link(8)) that bridges of ours are put in to be removed in one request: for each request the kernel waits until no CPU
 * looks at what goes, however many they are.
 */
export const GOING = '1852142696';

/** The MTU in bytes that a network's links should have. */
export function mtuOf(network: NetworkConfig, facts: Pick<HostFacts, 'links' | 'defaultDevice'>): number {
  if (network.mtu !== 'auto') return network.mtu;
  const { mtu = 1500 } = facts.links.find((link) => link.name === facts.defaultDevice) ?? {};
  // lo has one more than a bridge may have.
  return Math.min(mtu, 65_535);
}

/** What else there is to know of a network's bridge than the network and the host. */
export interface BridgeHistory {
  /** Addresses it has from an earlier configuration of ours. */
  stale: string[];
  /** Bridges that this very plan takes down. */
  going: string[];
  /** Whether the bridge that an earlier plan found or made is in the record. */
  known: boolean;
}

/** What makes the bridge with its address. */
export function planBridge(network: NetworkConfig, facts: HostFacts, { stale, going, known }: BridgeHistory): Plan {
  const { name } = network;
  const found = facts.links.find((candidate) => candidate.name === name);
  const mac = macFor(network.address);
  // Of our making by its MAC: somebody has taken the alias away.
  const isNameless = known && found?.alias === '' && found.kind === 'bridge' && found.mac === mac;
  const link = found && isNameless ? { ...found, alias: ALIAS } : found;
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
    act(`link add name ${name} address ${mac} mtu ${mtu} type bridge`, `link del dev ${name}`);
    commands.push(`link set dev ${name} alias ${ALIAS}`);
  } else if (link.mtu !== mtu && (link.alias === ALIAS || network.mtu !== 'auto')) {
    act(`link set dev ${name} mtu ${mtu}`, `link set dev ${name} mtu ${link.mtu}`);
  }
  if (isNameless) commands.push(`link set dev ${name} alias ${ALIAS}`);
  // Somebody has made it anew: containers know its address by the MAC that it had. With ports, they know it by the one that it has.
  const joined = facts.links.some(({ master }) => master === name);
  if (link?.alias === ALIAS && link.mac !== mac && !joined)
    act(`link set dev ${name} address ${mac}`, `link set dev ${name} address ${link.mac}`);
  // Before the first port joins. It stays so: whose bridge it is keeps it.
  else if (link && !link.fixedMac) commands.push(`link set dev ${name} address ${link.mac}`);
  // Left by a `down` that was killed.
  if (link?.alias === ALIAS && link.group === GOING)
    act(`link set dev ${name} group default`, `link set dev ${name} group ${GOING}`);
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

/** A bridge whose network goes. */
export interface BridgeDown {
  name: string;
  /** Of its addresses, those that are ours. */
  addresses: string[];
}

export interface BridgesDown extends Plan {
  /** The bridges that go, or lose their address. */
  going: string[];
}

/**
 * What removes bridges, in one step: all of a bridge if it is ours, once no container is on it; of somebody else's only our addresses.
 */
export function planBridgesDown(bridges: BridgeDown[], facts: HostFacts): BridgesDown {
  const commands: string[] = [];
  const undo: string[] = [];
  const warnings: string[] = [];
  const going = new Set<string>();
  const removed: LinkFact[] = [];
  for (const { name, addresses } of bridges) {
    const link = facts.links.find((candidate) => candidate.name === name);
    if (link?.kind !== 'bridge') continue;
    if (link.alias !== ALIAS) {
      for (const address of link.addresses.filter((one) => addresses.includes(one))) {
        commands.push(`addr del ${address} dev ${name}`);
        undo.unshift(`addr add ${address} broadcast + dev ${name}`);
        going.add(name);
      }
      continue;
    }
    const ports = facts.links.filter((candidate) => candidate.master === name).map((port) => port.name);
    if (ports.length > 0) {
      const them = `${ports.length} port${ports.length === 1 ? ' is' : 's are'} still on it (${ports.join(', ')})`;
      warnings.push(`bridge ${name} stays, with its address: ${them}`);
      continue;
    }
    removed.push(link);
    going.add(name);
  }
  const removal = removeLinks(removed, facts);
  commands.push(...removal.commands);
  undo.unshift(...removal.undo);
  const steps: Step[] = commands.length > 0 ? [{ kind: 'ip', commands, undo }] : [];
  return { steps, warnings, refusals: [], going: [...going] };
}

/** Several go together or not at all; one by one where somebody else has taken our group. */
function removeLinks(links: LinkFact[], facts: HostFacts): { commands: string[]; undo: string[] } {
  const taken = facts.links.some((link) => link.group === GOING && !links.includes(link));
  if (links.length < 2 || taken) return { commands: links.map(({ name }) => `link del dev ${name}`), undo: [] };
  return {
    commands: [...links.map(({ name }) => `link set dev ${name} group ${GOING}`), `link del group ${GOING}`],
    undo: links.map(({ name, group }) => `link set dev ${name} group ${group === GOING ? 'default' : group}`),
  };
}
