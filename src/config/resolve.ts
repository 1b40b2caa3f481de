/** From what a configuration file holds to a checked Config: pure, every problem at once. */

import * as v from 'valibot';
import { contains, overlaps, subnetCidr, subnetOf, toAddress, toNumber } from '../model/address.ts';
import type {
  AddressRange,
  ContainerDefaults,
  ExtraHost,
  HostConfig,
  NameDefaults,
  NetworkConfig,
} from '../model/config.ts';
import { overlay } from '../model/config.ts';
import { isInterfaceName } from '../model/names.ts';
import { served } from '../plan/host/dnsmasq.ts';
import { checked, type Fault, isRecord } from './check.ts';
import { refusedLines } from './dnsmasq-lines.ts';
import { hostSchema, networkSchema } from './schema.ts';

export interface Resolved {
  host: HostConfig;
  containers: ContainerDefaults;
  networks: NetworkConfig[];
  faults: Fault[];
}

/** Checks parsed data: `{host: {...}, network: {NAME: {...}}}`. Never throws; `faults` is empty when all of it is right. */
export function resolve(data: unknown): Resolved {
  const faults: Fault[] = [];
  const root = isRecord(data) ? data : {};
  for (const name of Object.keys(root)) {
    if (name !== 'host' && name !== 'network')
      faults.push({ section: name, message: 'unknown section; allowed: [host], [network.NAME]' });
  }
  const host = checked('host', withoutFirewall(root.host ?? {}), hostSchema, faults) ?? v.parse(hostSchema, {});
  const containers: ContainerDefaults = {
    ...nameDefaults(host.dns, host),
    publishPorts: host['publish-ports'],
    publishAddress: host['publish-address'],
  };
  const sections = isRecord(root.network) ? Object.entries(root.network) : [];
  if (sections.length === 0)
    faults.push({
      section: 'network',
      message: 'no network; at least one [network.NAME] section with an address is needed',
    });
  const networks = sections.flatMap(([name, section]) => network(name, section, containers, faults) ?? []);
  faults.push(...clashes(networks), ...unreachable(networks));
  return {
    host: {
      resolver: host.resolver,
      hooksAtOnce: host['hooks-at-once'],
      hookTimeout: host['hook-timeout'],
    },
    containers,
    networks,
    faults,
  };
}

function network(name: string, section: unknown, defaults: NameDefaults, faults: Fault[]): NetworkConfig | undefined {
  const where = `network.${name}`;
  if (!isInterfaceName(name) || name === 'lo' || name.includes('.')) {
    faults.push({
      section: where,
      message: 'not a bridge name; allowed: up to 15 characters without / : . % quotes or spaces, and not lo',
    });
    return undefined;
  }
  const values = checked(where, section, networkSchema, faults);
  if (!values) return undefined;
  const { address, prefix } = values.address;
  const subnet = subnetCidr(`${address}/${prefix}`);
  const { first, last } = subnetOf(address, prefix);
  if (toNumber(address) === first || toNumber(address) === last)
    faults.push({
      section: where,
      key: 'address',
      value: `${address}/${prefix}`,
      message: `not a host's address in ${subnet}`,
    });
  const automatic = defaultRanges(address, prefix);
  const dhcp = values.dhcp === undefined ? (values.reserve ? null : automatic.dhcp) : values.dhcp;
  const reserve = values.reserve ?? (values.dhcp ? beside(values.dhcp, address, prefix) : automatic.reserve);
  for (const [key, range] of [['dhcp', dhcp] as const, ['reserve', reserve] as const]) {
    const message = range && rangeFault(range, subnet);
    if (message) faults.push({ section: where, key, value: `${range.from}-${range.to}`, message });
  }
  if (dhcp && toNumber(dhcp.from) <= toNumber(reserve.to) && toNumber(reserve.from) <= toNumber(dhcp.to))
    faults.push({
      section: where,
      key: values.reserve ? 'reserve' : 'dhcp',
      value: values.reserve ? `${reserve.from}-${reserve.to}` : `${dhcp.from}-${dhcp.to}`,
      message: `overlaps ${values.reserve ? `dhcp = ${dhcp.from}-${dhcp.to}` : `reserve = ${reserve.from}-${reserve.to}`}; allowed: two ranges apart`,
    });
  for (const [key, value] of [['masquerade', values.masquerade] as const, ['internal', !values.internal] as const])
    if (values.source !== undefined && !value)
      faults.push({
        section: where,
        key: 'source',
        value: values.source,
        message: `with ${key} = ${key === 'internal'} nothing is translated; allowed: one of the two`,
      });
  const antispoof = values.antispoof ?? !values.icc;
  const resolved: NetworkConfig = {
    name,
    address,
    prefix,
    subnet,
    uplinks: values.uplinks.includes('*') ? '*' : values.uplinks,
    masquerade: values.masquerade,
    domain: values.domain.toLowerCase(),
    dns: values.dns.dns,
    dnsUpstream: values['dns-upstream'],
    dnsmasqLines: values.dnsmasq,
    dhcp,
    lease: values.lease,
    // What machines call themselves counts nothing where nobody is believed who he is.
    dhcpNames: (values['dhcp-names'] ?? !antispoof) && values.dns.dns && dhcp !== null,
    reserve,
    icc: values.icc,
    antispoof,
    source: values.source ?? null,
    routed: values.routed,
    trusted: values.trusted,
    reach: values.reach.includes('*') ? '*' : values.reach,
    internal: values.internal,
    mtu: values.mtu,
    containers: overlay(nameDefaults(values.dns.servers, values), defaults),
  };
  faults.push(...refusedLines(resolved, served(resolved)));
  return resolved;
}

interface NameKeys {
  'dns-search': string[];
  'dns-option': string[];
  'extra-host': ExtraHost[];
}

/** The keys about names, as the program spells them. */
function nameDefaults(dns: string[], keys: NameKeys): NameDefaults {
  return { dns, dnsSearch: keys['dns-search'], dnsOption: keys['dns-option'], extraHost: keys['extra-host'] };
}

/**
 * The ranges of a network that names none. In a /24 the first hundred addresses are kept for containers, the next hundred are DHCP's; a
 * smaller one is halved, and a /30 has no DHCP. In a larger one DHCP has the lower half from the hundredth address on, containers have
 * the upper one: DHCP keeps every address that it had when all subnets were shared out like a /24, as machines may have leases of them.
 */
export function defaultRanges(address: string, prefix: number): { reserve: AddressRange; dhcp: AddressRange | null } {
  const { first, last } = subnetOf(address, prefix);
  const size = last - first + 1;
  if (prefix < 24)
    return {
      reserve: { from: toAddress(first + size / 2), to: toAddress(last - 1) },
      dhcp: { from: toAddress(first + 100), to: toAddress(first + size / 2 - 1) },
    };
  const half = Math.min(100, size / 2);
  const reserve = { from: toAddress(first + 1), to: toAddress(first + half - 1) };
  if (toAddress(first + 1) === address) reserve.from = toAddress(first + 2);
  const dhcp = { from: toAddress(first + half), to: toAddress(Math.min(first + 2 * half, last - 1)) };
  return size < 8
    ? { reserve: { from: toAddress(first + 1), to: toAddress(last - 1) }, dhcp: null }
    : { reserve, dhcp };
}

/** The larger part of the subnet that the DHCP range leaves free. */
function beside(dhcp: AddressRange, address: string, prefix: number): AddressRange {
  const { first, last } = subnetOf(address, prefix);
  const below = { from: toAddress(first + 1), to: toAddress(toNumber(dhcp.from) - 1) };
  const above = { from: toAddress(toNumber(dhcp.to) + 1), to: toAddress(last - 1) };
  const size = (range: AddressRange) => toNumber(range.to) - toNumber(range.from);
  return size(above) > size(below) ? above : below;
}

function rangeFault(range: AddressRange, subnet: string): string | undefined {
  const [network, prefix] = subnet.split('/') as [string, string];
  const { first, last } = subnetOf(network, Number(prefix));
  const allowed = `allowed: FIRST-LAST within ${toAddress(first + 1)}-${toAddress(last - 1)}`;
  if (toNumber(range.from) > toNumber(range.to)) return `no address lies in it; ${allowed}`;
  if (!contains(subnet, range.from) || !contains(subnet, range.to)) return `lies outside ${subnet}; ${allowed}`;
  if (toNumber(range.from) === first || toNumber(range.to) === last)
    return `${subnet}'s first and last address are no host's; ${allowed}`;
  return undefined;
}

/** Networks that others are to reach, and that are none. */
function unreachable(networks: NetworkConfig[]): Fault[] {
  const names = networks.map(({ name }) => name);
  return networks.flatMap(({ name, reach }) =>
    (reach === '*' ? [] : reach)
      .filter((other) => other === name || !names.includes(other))
      .map((other) => ({
        section: `network.${name}`,
        key: 'reach',
        value: other,
        message: `no other network; allowed: ${['*', ...names.filter((one) => one !== name)].join(', ')}`,
      })),
  );
}

function clashes(networks: NetworkConfig[]): Fault[] {
  return networks.flatMap((network, index) =>
    networks
      .slice(0, index)
      .filter((earlier) => overlaps(earlier.subnet, network.subnet))
      .map((earlier) => ({
        section: `network.${network.name}`,
        key: 'address',
        value: `${network.address}/${network.prefix}`,
        message: `its subnet overlaps ${earlier.subnet} of network ${earlier.name}`,
      })),
  );
}

/** The first version had a key for a choice that there is no more; files that say it in their words are as good as before. */
function withoutFirewall(host: unknown): unknown {
  if (!isRecord(host) || (host.firewall !== 'auto' && host.firewall !== 'nftables')) return host;
  const { firewall: _, ...rest } = host;
  return rest;
}
