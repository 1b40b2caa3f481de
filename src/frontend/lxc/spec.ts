/** From LXC's configuration and a container's options to what is asked for. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { NethooksError } from '../../errors.ts';
import { contains, isIPv4, subnetOf, toNumber } from '../../model/address.ts';
import type { Config, NetworkConfig } from '../../model/config.ts';
import type { ContainerOptions, NicOptions } from '../../model/container-options.ts';
import { ownNames } from '../../plan/attachment/names.ts';
import { exposedPorts, wantedPorts } from '../../plan/attachment/publish.ts';
import type { AttachmentSpec, InterfaceSpec } from '../../plan/attachment/spec.ts';
import { storeOf } from '../../store/addresses.ts';
import { readContainer, readKept } from '../../store/records.ts';
import { startTime } from '../../system/process.ts';
import type { LxcNic } from './lxc-config.ts';

/** An interface and the network that it joins, before it has an address. */
export interface MemberNic {
  nic: LxcNic;
  network: NetworkConfig;
  /** A static address inside the subnet, from its options or from the LXC configuration. */
  wanted: string | null;
  options?: NicOptions;
}

/**
 * Which of a container's interfaces join networks of ours: the veths whose link is a bridge of ours.
 * @throws NethooksError when what its options say about an interface cannot be
 */
export function memberNics(
  nics: LxcNic[],
  networks: NetworkConfig[],
  options: Record<string, NicOptions> = {},
): MemberNic[] {
  for (const [index, { network }] of Object.entries(options)) {
    const nic = nics.find((candidate) => candidate.index === Number(index));
    if (!nic) throw new NethooksError(`options for lxc.net.${index}: LXC's configuration has no such interface`);
    if (network !== null && (nic.type !== 'veth' || nic.link !== network))
      throw new NethooksError(
        `network = ${network}: lxc.net.${index} is ${nic.type === 'veth' ? `on ${nic.link ?? 'no bridge'}` : nic.type}; ` +
          `\`nethooks configure NAME --net bridge:${network}\` puts it there`,
      );
  }
  return nics.flatMap((nic) => {
    const network = networks.find((candidate) => candidate.name === nic.link);
    const own = options[nic.index];
    if (nic.type !== 'veth' || !network) {
      if (own && (own.address !== 'auto' || own.network !== null))
        throw new NethooksError(`address = ${own.address}: lxc.net.${nic.index} is on no network of ours`);
      return [];
    }
    const given = nic.addresses.map((address) => address.split('/')[0] as string);
    const inside = given.find((address) => contains(network.subnet, address)) ?? null;
    return [{ nic, network, wanted: own ? staticAddress(own, network, inside) : inside, ...(own && { options: own }) }];
  });
}

/** The address that an interface must have; null for any. */
function staticAddress({ address }: NicOptions, network: NetworkConfig, lxc: string | null): string | null {
  if (address === 'dhcp' && network.dhcp === null)
    throw new NethooksError(`address = dhcp: network ${network.name} has no DHCP; allowed: auto, or an address`);
  if (address === 'auto' || address === 'dhcp') return lxc;
  const { first, last } = subnetOf(network.address, network.prefix);
  if (!contains(network.subnet, address) || [first, last].includes(toNumber(address)) || address === network.address)
    throw new NethooksError(
      `address = ${address}: not a container's address in ${network.subnet}, network ${network.name}`,
    );
  if (lxc !== null && lxc !== address)
    throw new NethooksError(`address = ${address}: LXC's configuration says ${lxc}; allowed: one of the two`);
  return address;
}

/** A running container, as LXC and its options have it. */
export interface Running {
  name: string;
  /** pid of its init. */
  pid: number;
  configFile: string | null;
  words: readonly string[];
  options: ContainerOptions;
  members: MemberNic[];
}

/** @throws NethooksError for ports that are asked for twice */
export function specOf({ containers }: Config, running: Running): AttachmentSpec {
  const { name, pid, configFile, words, options, members } = running;
  const { publish, expose, publishAll, publishFrom = [], egress = [], source, link } = options;
  return {
    owner: { kind: 'lxc', name },
    life: { pid, started: startTime(pid) },
    interfaces: members.map(interfaceSpec),
    names: ownNames(name, options.aliases),
    publish: wantedPorts({ publish, expose, publishAll, publishAddress: containers.publishAddress }),
    publishFrom,
    egress,
    source,
    publishPorts: containers.publishPorts,
    exposed: exposedPorts({ publish, expose }),
    links: link,
    masquerade: false,
    files: { name, pid, options, network: members[0]?.network ?? null },
    configFile,
    words,
  };
}

/** The interface that LXC made, with the sticky address of the network's reserve. */
function interfaceSpec({ nic, network, wanted, options }: MemberNic): InterfaceSpec {
  const { name, address, prefix, reserve, dhcp, subnet } = network;
  const gateway = nic.gateway && isIPv4(nic.gateway) && contains(subnet, nic.gateway) ? nic.gateway : address;
  return {
    ifname: nic.name,
    nic: nic.index,
    link: { driver: 'none' },
    network,
    mac: nic.hwaddr ?? null,
    mtu: options && options.mtu !== 'auto' ? options.mtu : (nic.mtu ?? null),
    ...(options?.address === 'dhcp' && { dhcp: true as const }),
    anchored: true,
    addressing: {
      how: 'store',
      store: storeOf(name),
      sets: [{ ranges: [{ ...reserve, prefix, gateway }], wanted, skip: [address], dynamic: dhcp }],
      routes: [],
      hints: [],
      search: false,
    },
  };
}

/**
 * Checks who is linked to.
 * @param configFile the parent's LXC configuration, whose neighbours are the other containers; null when nobody knows
 * @throws NethooksError for a container that is not there, and for links in a circle
 */
export function checkLinks(name: string, links: ContainerOptions['link'], configFile: string | null): void {
  for (const { container, alias } of links) {
    const where = `link ${container}:${alias}`;
    if (!exists(container, configFile)) throw new NethooksError(`${where}: there is no container ${container}`);
    const circle = pathTo(name, container, [name]);
    if (circle) throw new NethooksError(`${where}: links in a circle: ${circle.join(' -> ')}`);
  }
}

function exists(container: string, configFile: string | null): boolean {
  if (readKept(container).interfaces.length > 0) return true;
  return configFile === null || existsSync(join(dirname(dirname(configFile)), container, 'config'));
}

/** The way along links of running containers from `from` back to `target`; null when there is none. */
function pathTo(target: string, from: string, path: string[]): string[] | null {
  if (from === target) return [...path, from];
  if (path.includes(from)) return null;
  for (const { container } of readContainer(from)?.links ?? []) {
    const found = pathTo(target, container, [...path, from]);
    if (found) return found;
  }
  return null;
}
