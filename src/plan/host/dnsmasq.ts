/** One dnsmasq per network: DHCP for whoever asks on the bridge, DNS for the containers' names. */

import { isIPv4, netmask, sizeOf, subnetOf, toAddress } from '../../model/address.ts';
import type { NetworkConfig } from '../../model/config.ts';
import { macTags } from '../../model/dhcp-options.ts';
import type { HostFacts } from '../../model/facts.ts';
import {
  DNSMASQ_RELOADS,
  dhcpHostsDir,
  dhcpOptionsDir,
  dnsmasqConf,
  dnsmasqPid,
  leasesFile,
  MAC_TAGS,
  namesDir,
  STATE,
  UPSTREAMS,
} from '../../model/paths.ts';
import type { DnsmasqStep, FileStep, Step } from '../../model/step.ts';
import { parsed } from '../parsed.ts' with { type: 'macro' };
import { fill } from '../template.ts';
import { mtuOf } from './bridge.ts';

/** What templates/dnsmasq.conf.mustache is filled in with. */
export interface DnsmasqView {
  name: string;
  address: string;
  domain: string;
  /** Whether it answers DNS. */
  dns: boolean;
  /** Reverse zones (in-addr.arpa) that are ours. */
  zones: string[];
  pidFile: string;
  namesDir: string;
  /** The resolv.conf of the servers to forward to; false: those of `upstream`. */
  resolvFile: string | false;
  upstream: string[];
  internal: boolean;
  /** Networks of this host with another domain, and where to ask for their zones. */
  neighbours: { address: string; zones: string[] }[];
  /** `lease` is in seconds; `most` leases at a time, 0 for dnsmasq's own limit. */
  dhcp: { from: string; to: string; netmask: string; lease: number | 'infinite'; most: number } | null;
  dhcpHostsDir: string;
  dhcpOptionsDir: string;
  /** A file of configuration. */
  macTags: string;
  leasesFile: string;
  /** What is told of leases; false where nobody is. */
  leaseScript: string | false;
  /** Lists with commas, for DHCP; empty: the option is left out. */
  dnsServers: string;
  search: string;
  /** Bytes. */
  mtu: number;
  /** The admin's own. */
  lines: string[];
}

const TEMPLATE = parsed<DnsmasqView>('dnsmasq.conf.mustache');

/** Whether a network needs a dnsmasq at all. */
export const served = (network: NetworkConfig): boolean => network.dns || network.dhcp !== null;

/** The text of a network's dnsmasq.conf; dnsmasq(8) explains every line. */
export function dnsmasqConfig(
  network: NetworkConfig,
  all: NetworkConfig[],
  facts: Pick<HostFacts, 'upstreams' | 'links' | 'defaultDevice' | 'leaseScript'>,
): string {
  const { name, address, dhcp, dns, domain, dnsUpstream, containers, internal } = network;
  // Without DNS of our own, machines are told the servers that they should ask instead.
  const elsewhere = (dnsUpstream.length > 0 ? dnsUpstream : facts.upstreams).filter(
    (server) => isIPv4(server) && !server.startsWith('127.'),
  );
  const servers = containers.dns.filter((server) => !server.includes(':'));
  return fill(TEMPLATE, {
    name,
    address,
    domain,
    dns,
    // A domain's hosts files are those of all its networks.
    zones: zonesOf(all.filter((other) => other.domain === domain)),
    pidFile: dnsmasqPid(name),
    namesDir: namesDir(domain),
    // What has no way out must not have one through DNS.
    resolvFile: dnsUpstream.length === 0 && !internal && UPSTREAMS,
    upstream: internal ? [] : dnsUpstream,
    internal,
    // Other networks of this host, so that a container finds the name of one on another bridge.
    neighbours: (internal ? [] : all)
      .filter((other) => other.dns && other.domain !== domain)
      .map((other) => ({ address: other.address, zones: [other.domain, ...zonesOf([other])] })),
    dhcp: dhcp && { ...dhcp, netmask: netmask(network.prefix), lease: network.lease, most: mostLeases(network) },
    dhcpHostsDir: dhcpHostsDir(name),
    dhcpOptionsDir: dhcpOptionsDir(name),
    macTags: MAC_TAGS,
    leasesFile: leasesFile(name),
    leaseScript: network.dhcpNames && (facts.leaseScript ?? false),
    dnsServers: servers.length > 0 ? servers.join(',') : dns ? address : elsewhere.join(','),
    search: containers.dnsSearch.length > 0 ? containers.dnsSearch.filter((one) => one !== '.').join(',') : domain,
    mtu: mtuOf(network, facts),
    lines: network.dnsmasqLines,
  });
}

/** How many leases dnsmasq has at most by itself, and how many it may have on one network: it writes all of them for each that changes. */
const LEASES = 1000;
const MOST_LEASES = 16_384;

/** A lease for every address of both ranges: containers may run a DHCP client, too. 0 where dnsmasq's own limit is enough. */
function mostLeases({ dhcp, reserve }: NetworkConfig): number {
  const all = sizeOf(reserve) + (dhcp ? sizeOf(dhcp) : 0);
  return all > LEASES ? Math.min(all, MOST_LEASES) : 0;
}

/** Their zones of reverse names. */
export const zonesOf = (networks: NetworkConfig[]): string[] => [
  ...new Set(networks.flatMap(({ address, prefix }) => reverseZones(address, prefix))),
];

/**
 * The zones of a subnet's reverse names (RFC 1035 section 3.5), which are cut at octets only: a /20 takes sixteen, a /30 four.
 * @param prefix in bits
 */
function reverseZones(address: string, prefix: number): string[] {
  const octets = Math.ceil(prefix / 8);
  const size = 2 ** (32 - 8 * octets);
  const { first, last } = subnetOf(address, prefix);
  const zone = (start: number) => [...toAddress(start).split('.').slice(0, octets).reverse(), 'in-addr.arpa'].join('.');
  return Array.from({ length: (last - first + 1) / size }, (_, index) => zone(first + index * size));
}

/** The servers that every dnsmasq forwards to, as a resolv.conf of its own; dnsmasq notices when it changes. */
export const upstreamsFile = (upstreams: string[]): string =>
  upstreams.map((server) => `nameserver ${server}\n`).join('');

/** Configuration files first, then the daemons whose configuration changed or that do not run. */
export function planDnsmasq(networks: NetworkConfig[], facts: HostFacts): Step[] {
  const wanted = networks.filter(served);
  const gone = planDnsmasqDown(
    networks.filter((network) => !served(network)),
    facts,
  );
  const files: FileStep[] = [];
  const write = (path: string, before: string | null, content: string | null): void => {
    if (before !== content) files.push({ kind: 'file', path, before, content });
  };
  // Also for networks without a dnsmasq, whose containers are told these servers.
  write(UPSTREAMS, facts.files[UPSTREAMS] ?? null, networks.length > 0 ? upstreamsFile(facts.upstreams) : null);
  write(DNSMASQ_RELOADS, facts.files[DNSMASQ_RELOADS] ?? null, wanted.length > 0 && forgetsLate(facts) ? '' : null);
  const tags = facts.files[MAC_TAGS] ?? null;
  const wantedTags = wanted.some(({ dhcp }) => dhcp !== null) ? macTags() : null;
  write(MAC_TAGS, tags, wantedTags);
  const daemons: DnsmasqStep[] = [];
  for (const network of wanted) {
    const fact = facts.dnsmasq[network.name] ?? { conf: null, pid: null, noted: false, outdated: null, hung: false };
    const conf = dnsmasqConfig(network, wanted, facts);
    write(dnsmasqConf(network.name), fact.conf, conf);
    const directories = [dhcpHostsDir(network.name), dhcpOptionsDir(network.name), namesDir(network.domain), STATE];
    const daemon = { kind: 'dnsmasq' as const, network: network.name, directories };
    if (fact.pid === null) daemons.push({ ...daemon, action: 'start' });
    else if (fact.hung) daemons.push({ ...daemon, action: 'restart', hung: true });
    else if (fact.conf !== conf || (tags !== null && tags !== wantedTags) || isOutdated(network.name, facts))
      daemons.push({ ...daemon, action: 'restart' });
    else if (!fact.noted) write(dnsmasqPid(network.name), null, `${fact.pid}\n`);
  }
  return [...gone, ...files, ...daemons];
}

/** Whether it waits for what will never come: files in directories, DHCP on a bridge, that are not there any more. */
const isOutdated = (network: string, { dnsmasq, links }: HostFacts): boolean =>
  dnsmasq[network]?.outdated != null || !links.some(({ name }) => name === network);

/** Whether dnsmasq notices hosts files that go only when it is told to read all anew (dnsmasq's CHANGELOG, 2.87). */
const forgetsLate = ({ dnsmasqVersion }: HostFacts): boolean => {
  const [major = 0, minor = 0] = (dnsmasqVersion ?? '').split('.').map(Number);
  return dnsmasqVersion !== null && (major < 2 || (major === 2 && minor < 87));
};

/** Stops networks' daemons, all at once, and then removes their configuration. */
export function planDnsmasqDown(networks: { name: string }[], facts: HostFacts): Step[] {
  const stops: Step[] = [];
  const files: Step[] = [];
  for (const { name } of networks) {
    const fact = facts.dnsmasq[name];
    if (fact?.pid)
      stops.push({
        kind: 'dnsmasq',
        action: 'stop',
        network: name,
        directories: [],
        ...(fact.hung && { hung: true as const }),
      });
    if (fact?.conf) files.push({ kind: 'file', path: dnsmasqConf(name), before: fact.conf, content: null });
  }
  return [...stops, ...files];
}
