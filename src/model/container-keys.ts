/**
 * The keys of a container's options, each declared once: what its file (nethooks.ini(5)), a hook line and `nethooks configure` take is
 * made from this table. Plain data without a library; src/config/container-schema.ts says what each value may be, and does not compile
 * without a schema for every key, nor do the types of src/model/container-options.ts without an option for each.
 */

import type { ContainerOptions } from './container-options.ts';
import { camelCase } from './spelling.ts';

export interface ContainerKeySpec {
  /** `list`: several values, by a flag that is given again for each. `switch`: true or false, by a flag that takes no value. */
  kind: 'value' | 'list' | 'switch';
  /** It is about one interface: at the top of a file about the first, in [net.N] about lxc.net.N. */
  nic?: true;
  /** What stands for the value in help. */
  value: string;
  help: string;
  /** Further names of its flag `--KEY`: short ones and Docker's. */
  spellings: readonly string[];
  /**
   * With a fault in it the container starts without it, and the log says so. A fault in any other key refuses the start: it could leave
   * the container open, or on the wrong network.
   */
  bestEffort?: true;
  /** It means nothing without a network of ours: said of a container that has none, it is refused. */
  needsNetwork?: true;
}

export const CONTAINER_KEYS = {
  network: { kind: 'value', nic: true, value: 'network', help: 'the network that the interface is on', spellings: [] },
  address: {
    kind: 'value',
    nic: true,
    value: 'address',
    help: 'auto, dhcp, or an IPv4 address of the network',
    spellings: ['--ip'],
  },
  mtu: { kind: 'value', nic: true, value: 'bytes', help: 'auto, or bytes', spellings: [], bestEffort: true },
  hostname: { kind: 'value', value: 'name', help: 'what it calls itself', spellings: ['-h'], bestEffort: true },
  aliases: {
    kind: 'list',
    value: 'name',
    help: 'a further name in DNS',
    spellings: ['--alias', '--network-alias'],
    bestEffort: true,
    needsNetwork: true,
  },
  publish: {
    kind: 'list',
    value: 'spec',
    help: 'a port of the host for one of its own: [[IP:][HOST-PORT]:]PORT[/PROTOCOL]',
    spellings: ['-p'],
    needsNetwork: true,
  },
  expose: {
    kind: 'list',
    value: 'port',
    help: 'a port that links open and --publish-all publishes',
    spellings: [],
    needsNetwork: true,
  },
  'publish-all': {
    kind: 'switch',
    value: 'yes',
    help: 'publish every exposed port',
    spellings: ['-P'],
    needsNetwork: true,
  },
  'publish-from': {
    kind: 'list',
    value: 'cidr',
    help: 'who may use the published ports: subnets; by default everybody',
    spellings: [],
    needsNetwork: true,
  },
  egress: {
    kind: 'list',
    value: 'cidr:port',
    help: 'what it may reach: subnets, or ports in them; by default everything',
    spellings: [],
    needsNetwork: true,
  },
  source: {
    kind: 'value',
    value: 'address',
    help: 'the address of the host that it sends from, outside',
    spellings: [],
    needsNetwork: true,
  },
  link: {
    kind: 'list',
    value: 'container:alias',
    help: 'reach the exposed ports of another container, by an alias',
    spellings: [],
    needsNetwork: true,
  },
  dns: { kind: 'list', value: 'address', help: 'a DNS server to ask instead of ours', spellings: [], bestEffort: true },
  'dns-search': {
    kind: 'list',
    value: 'domain',
    help: 'a search domain; a single . for none',
    spellings: [],
    bestEffort: true,
  },
  'dns-option': {
    kind: 'list',
    value: 'option',
    help: 'an option of resolv.conf(5)',
    spellings: ['--dns-opt'],
    bestEffort: true,
  },
  'extra-host': {
    kind: 'list',
    value: 'name:address',
    help: 'a line of its /etc/hosts',
    spellings: ['--add-host'],
    bestEffort: true,
  },
  'net-admin': {
    kind: 'switch',
    value: 'yes',
    help: "keep CAP_NET_ADMIN on the host's network, or another container's",
    spellings: [],
  },
  'resolv-conf': {
    kind: 'value',
    value: 'how',
    help: 'auto, force (also over a symbolic link), none',
    spellings: [],
    bestEffort: true,
  },
} as const satisfies Record<string, ContainerKeySpec>;

export type ContainerKey = keyof typeof CONTAINER_KEYS;
type KeysWith<Trait> = { [K in ContainerKey]: (typeof CONTAINER_KEYS)[K] extends Trait ? K : never }[ContainerKey];
/** Keys of one interface. */
export type NicKey = KeysWith<{ nic: true }>;
/** Keys of the container as a whole. */
export type TopKey = Exclude<ContainerKey, NicKey>;

const keys = Object.entries<ContainerKeySpec>(CONTAINER_KEYS) as [ContainerKey, ContainerKeySpec][];

/** Whether a key is about one interface. */
export const isNicKey = (key: string): key is NicKey => keys.some(([name, { nic }]) => name === key && nic === true);

/** Which of them options say that mean nothing without a network of ours. */
export const keysNeedingNetwork = (options: ContainerOptions): string[] =>
  keys.flatMap(([key, { needsNetwork }]) => {
    const value = needsNetwork && options[camelCase(key as KeysWith<{ needsNetwork: true }>)];
    return (Array.isArray(value) ? value.length > 0 : value) ? [key] : [];
  });

/** Keys by every flag that sets them, in the table's order: `--address`, `--ip`. */
export const KEY_OF_FLAG: ReadonlyMap<string, ContainerKey> = new Map(
  keys.flatMap(([key, { spellings }]) => [`--${key}`, ...spellings].map((flag) => [flag, key] as const)),
);
