/** Looks at the host: everything a plan is made from. Reads only. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { NethooksError } from '../errors.ts';
import type { NetworkConfig } from '../model/config.ts';
import type { HostFacts, LinkFact } from '../model/facts.ts';
import {
  ADMIN_RULES,
  DNSMASQ_RELOADS,
  HOOK_LIMITS,
  LXC_DEFAULT_CONF,
  localnetNote,
  RUN,
  SYSCTL_FILE,
  UPSTREAMS,
} from '../model/paths.ts';
import { upstreams } from '../model/resolv-conf.ts';
import { checkScript, faultOf } from '../plan/host/admin-rules.ts';
import { TABLE } from '../plan/host/nft-listing.ts';
import { listRecords, livePolicies, unsureAddresses } from '../store/records.ts';
import { hasFixedMac } from '../system/bridge.ts';
import { dnsmasqFact } from '../system/dnsmasq.ts';
import { type Exec, failure, must } from '../system/exec.ts';
import { filesIn, readText, writeAtomically } from '../system/files.ts';
import { leaseScript } from '../system/install.ts';
import { resolverFact } from '../system/resolver.ts';
import { readRoutes } from '../system/routes.ts';

/**
 * @param wanted networks that are to be up
 * @param known networks that the record holds
 * @throws NethooksError when a program that it asks is missing or fails
 */
export async function gatherFacts(exec: Exec, wanted: NetworkConfig[], known: NetworkConfig[]): Promise<HostFacts> {
  // The slowest first. Where nothing of ours is known to be there, maybe nobody has any rules: one program less.
  const rules = known.length > 0 ? readRules(exec) : readAnyRules(exec);
  const programs = Promise.all([rules, readLinks(exec)]);
  // Meanwhile.
  const files = readFiles(exec, [...wanted, ...known]);
  const [[{ nft, iptables }, links], rest] = await Promise.all([programs, files]);
  // After the table: the other way round, what belongs to a container that comes in between would look left over.
  const records = listRecords();
  const containers = { policies: livePolicies(records), unsure: unsureAddresses(records) };
  return { ...rest, links, nft, iptables, ...containers, localnet: readLocalnet(links) };
}

/** Asks nft about them before anything is changed: a transaction that it refuses names no file. */
function adminRules(exec: Exec): HostFacts['adminRules'] {
  const text = readText(ADMIN_RULES);
  if (text === null) return null;
  const { code, stderr } = exec('nft', ['-c', '-f', '-'], { input: checkScript(text) });
  return { text, fault: code === 0 ? null : faultOf(stderr, text) };
}

type FileFacts = Omit<HostFacts, 'links' | 'nft' | 'iptables' | 'policies' | 'unsure' | 'localnet'>;

async function readFiles(exec: Exec, networks: NetworkConfig[]): Promise<FileFacts> {
  const resolver = resolverFact(networks.map((network) => network.name));
  return {
    ...readRoutes(),
    ipForward: readFileSync('/proc/sys/net/ipv4/ip_forward', 'utf8').trim(),
    bridgeNetfilter: existsSync('/proc/sys/net/bridge'),
    adminRules: adminRules(exec),
    filtersAllBridges: readText('/proc/sys/net/bridge/bridge-nf-call-iptables')?.trim() === '1',
    files: Object.fromEntries(
      [UPSTREAMS, SYSCTL_FILE, LXC_DEFAULT_CONF, DNSMASQ_RELOADS, HOOK_LIMITS].map((path) => [path, readText(path)]),
    ),
    dnsmasq: Object.fromEntries(networks.map(({ name }) => [name, dnsmasqFact(name)])),
    resolver,
    upstreams: currentUpstreams(networks, resolver.text),
    lxcVersion: lxcVersion(exec),
    processors: availableParallelism(),
    leaseScript: leaseScript(),
    dnsmasqVersion: versionOf(exec, 'dnsmasq', '/usr/sbin/dnsmasq', /version (\S+)/),
  };
}

/** The servers that the host asks, apart from ours: DHCP leases that our hook saw, then resolv.conf. */
export function currentUpstreams(networks: NetworkConfig[], resolvConf: string | null): string[] {
  return upstreams({
    resolvConf: resolvConf ?? '',
    resolvedUplink: readText('/run/systemd/resolve/resolv.conf'),
    own: networks.map((network) => network.address),
    leases: readLeases(),
  });
}

/** One file per interface, written by the dhclient hook. */
function readLeases(): string[][] {
  const directory = join(RUN, 'upstreams.d');
  if (!existsSync(directory)) return [];
  return readdirSync(directory)
    .filter((name) => !name.startsWith('.'))
    .sort()
    .map((name) => (readText(join(directory, name)) ?? '').split(/\s+/).filter((word) => word !== ''));
}

interface IpLink {
  ifname: string;
  address?: string;
  mtu: number;
  flags: string[];
  ifalias?: string;
  group?: string;
  master?: string;
  ifindex: number;
  linkinfo?: {
    info_kind?: string;
    info_data?: { nf_call_iptables?: number; nf_call_ip6tables?: number };
    info_slave_data?: { hairpin?: boolean };
  };
  addr_info: { family?: string; local?: string; prefixlen?: number }[];
}

export async function readLinks(exec: Exec): Promise<LinkFact[]> {
  const stdout = await printed(exec, 'ip', ['-json', '-details', 'address', 'show']);
  return (JSON.parse(stdout) as IpLink[]).map((link) => ({
    name: link.ifname,
    kind: link.linkinfo?.info_kind ?? '',
    mac: link.address ?? '',
    fixedMac: link.linkinfo?.info_kind !== 'bridge' || hasFixedMac(link.ifname),
    mtu: link.mtu,
    up: link.flags.includes('UP'),
    alias: link.ifalias ?? '',
    group: link.group ?? 'default',
    master: link.master ?? '',
    addresses: link.addr_info
      .filter(({ family }) => family === 'inet')
      .map(({ local, prefixlen }) => `${local}/${prefixlen}`),
    index: link.ifindex,
    hairpin: link.linkinfo?.info_slave_data?.hairpin === true,
    filtersBridged: link.linkinfo?.info_data?.nf_call_iptables === 1 && link.linkinfo.info_data.nf_call_ip6tables === 1,
  }));
}

function readLocalnet(links: LinkFact[]): HostFacts['localnet'] {
  const isOn = (name: string) => readText(`/proc/sys/net/ipv4/conf/${name}/route_localnet`)?.trim() === '1';
  const bridges = links.filter(({ kind }) => kind === 'bridge').map(({ name }) => name);
  return { on: bridges.filter(isOn), noted: filesIn(dirname(localnetNote('-'))) };
}

type Rules = Pick<HostFacts, 'nft' | 'iptables'>;

async function readRules(exec: Exec): Promise<Rules> {
  const [nft, iptables] = await Promise.all([readTable(exec), readIptables(exec)]);
  return { nft, iptables };
}

/** Asks for the names of tables first. iptables' are among them, or in a file of their own if they are of the old kind. */
async function readAnyRules(exec: Exec): Promise<Rules> {
  const tables = (await printed(exec, 'nft', ['list', 'tables'])).split('\n');
  const old = readText('/proc/net/ip_tables_names') ?? '';
  const [nft, iptables] = await Promise.all([
    tables.includes(`table ${TABLE}`) ? readTable(exec) : null,
    old !== '' || tables.some((line) => line.startsWith('table ip ')) ? readIptables(exec) : [],
  ]);
  return { nft, iptables };
}

async function readTable(exec: Exec): Promise<string | null> {
  const args = ['list', 'table', ...TABLE.split(' ')];
  const result = await exec.start('nft', args);
  if (result.code === 0) return result.stdout;
  if (/No such file or directory/.test(result.stderr)) return null;
  throw new NethooksError(failure('nft', args, result));
}

async function readIptables(exec: Exec): Promise<HostFacts['iptables']> {
  const stdout = await printed(exec, 'iptables-save', []);
  let table = '';
  return stdout.split('\n').flatMap((line) => {
    if (line.startsWith('*')) table = line.slice(1);
    return /^(-A|:)/.test(line) ? [{ table, line }] : [];
  });
}

/** What a program prints, which runs beside others. */
async function printed(exec: Exec, command: string, args: string[]): Promise<string> {
  const result = await exec.start(command, args);
  if (result.code !== 0) throw new NethooksError(failure(command, args, result));
  return result.stdout;
}

const lxcVersion = (exec: Exec): string | null =>
  existsSync('/etc/lxc') ? versionOf(exec, 'lxc', '/usr/bin/lxc-start', /^\s*(\S+)/) : null;

/** A program's version, remembered as long as the program is the same: asking takes a process. Null when it is not installed. */
function versionOf(exec: Exec, name: string, program: string, pattern: RegExp): string | null {
  const mtime = statSync(program, { throwIfNoEntry: false })?.mtimeMs;
  if (mtime === undefined) return null;
  const memory = join(RUN, `${name}-version`);
  const [stamp, known] = (readText(memory) ?? '').split(' ');
  if (stamp === String(mtime) && known) return known;
  const version = pattern.exec(must(exec, program, ['--version']).stdout)?.[1] ?? '';
  writeAtomically(memory, `${mtime} ${version}`);
  return version;
}
