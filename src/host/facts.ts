/** Looks at the host: everything a plan is made from. Reads only. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { readInterfaces, runningFacts } from '../attachment/running.ts';
import { NethooksError } from '../errors.ts';
import { contains } from '../model/address.ts';
import { antispoofOf, isOnBridge } from '../model/antispoof.ts';
import { type AttachmentRecord, attachmentId, type Interface } from '../model/attachment.ts';
import type { NetworkConfig } from '../model/config.ts';
import type { DnsmasqFact, HostFacts, LinkFact } from '../model/facts.ts';
import {
  ADMIN_RULES,
  DNSMASQ_RELOADS,
  FIREWALLD_DIRECT,
  FIREWALLD_POLICY,
  FIREWALLD_ZONE,
  HOOK_LIMITS,
  LXC_DEFAULT_CONF,
  localnetNote,
  MAC_TAGS,
  NETWORK_MANAGER,
  NETWORKD_LINK,
  NETWORKD_NETWORK,
  RUN,
  SYSCTL_FILE,
  SYSTEM_DNSMASQ,
  UPSTREAMS,
} from '../model/paths.ts';
import { upstreams } from '../model/resolv-conf.ts';
import type { RunningFact } from '../plan/attachment/heal.ts';
import { checkScript, faultOf } from '../plan/host/admin-rules.ts';
import { CAPABILITY_SCRIPT } from '../plan/host/antispoof.ts';
import { served } from '../plan/host/dnsmasq.ts';
import { BRIDGE_TABLE, hasTable, type Ruleset } from '../plan/host/nft-listing.ts';
import { isLive, listRecords, policiesOf, unsureAddresses } from '../store/records.ts';
import { type Unrecorded, unrecordedIn } from '../store/unrecorded.ts';
import { antispoofNotes } from '../system/antispoof.ts';
import { portsIn } from '../system/apply.ts';
import { hasFixedMac } from '../system/bridge.ts';
import { dnsmasqFact } from '../system/dnsmasq.ts';
import { type Exec, failure, must } from '../system/exec.ts';
import { filesIn, readText, writeAtomically } from '../system/files.ts';
import { leaseScript } from '../system/install.ts';
import { portHolders } from '../system/listeners.ts';
import { lxcNetBridge, lxcNetComes } from '../system/lxc-net.ts';
import { managersFact } from '../system/managers.ts';
import { dnsmasqUplink, resolverFact } from '../system/resolver.ts';
import { readRoutes } from '../system/routes.ts';
import { systemDnsmasqFact } from '../system/system-dnsmasq.ts';
import { readRuleset } from '../system/tables.ts';

/**
 * @param wanted networks that are to be up
 * @param known networks that the record holds
 * @throws NethooksError when a program that it asks is missing or fails
 */
export async function gatherFacts(
  exec: Exec,
  wanted: NetworkConfig[],
  known: NetworkConfig[],
  { lost = [], thorough = false }: Looking = {},
): Promise<Gathered> {
  // The slowest first. Where nothing of ours is known to be there, maybe nobody has any rules: one program less.
  const listing = known.length > 0 ? readRules(exec) : readAnyRules(exec);
  const programs = Promise.all([listing, readLinks(exec)]);
  // Meanwhile.
  const files = readFiles(exec, wanted, known);
  const probe = thorough ? import('../system/dns-probe.ts') : null;
  const [[rules, links], rest] = await Promise.all([programs, files]);
  const antispoof = { supported: checksBridges(exec, wanted, rules.nft), noted: antispoofNotes() };
  // After the table: the other way round, what belongs to a container that comes in between would look left over.
  const records = listRecords();
  const there = new Set(records.map(({ owner }) => attachmentId(owner)));
  const missing = lost.filter(({ owner }) => !there.has(attachmentId(owner)));
  // Asked once: each answer takes a look at a process.
  const live = [...records.filter(isLive), ...missing];
  const running = runningFacts(live, missing);
  const unrecorded = unrecordedIn(rules.nft, [...records, ...missing]);
  const containers = {
    policies: policiesOf(live),
    attached: attachedInterfaces(exec, live, [...wanted, ...known], links),
    unsure: [...unsureAddresses(live), ...unrecorded.map(({ address }) => address)],
  };
  if (probe) await lookCloser((await probe).silentServers, wanted, rest.dnsmasq, links, running);
  const facts = { ...rest, links, ...rules, antispoof, ...containers, localnet: readLocalnet(links) };
  return { facts, running, unrecorded, live };
}

/** How to look. */
export interface Looking {
  /** Records of what runs, where they are not. */
  lost?: readonly AttachmentRecord[];
  /** Whether to ask what costs more: every dnsmasq a question, and containers' interfaces for their MAC and MTU. Not in hooks. */
  thorough?: boolean;
}

/** What a plan is made from. */
export interface Gathered {
  facts: HostFacts;
  running: RunningFact[];
  unrecorded: Unrecorded[];
  /** Records of what is there. */
  live: AttachmentRecord[];
}

/** Asks every dnsmasq that should answer, and the interfaces of all containers. */
async function lookCloser(
  silentServers: (servers: readonly string[]) => Promise<string[]>,
  networks: NetworkConfig[],
  dnsmasq: HostFacts['dnsmasq'],
  links: readonly LinkFact[],
  running: RunningFact[],
): Promise<void> {
  const has = ({ name, address, prefix }: NetworkConfig): boolean =>
    links.some((link) => link.name === name && link.up && link.addresses.includes(`${address}/${prefix}`));
  const asked = networks.filter((one) => one.dns && dnsmasq[one.name]?.pid && !dnsmasq[one.name]?.hung && has(one));
  const [silent] = await Promise.all([silentServers(asked.map(({ address }) => address)), readInterfaces(running)]);
  for (const { name, address } of asked) if (silent.includes(address)) (dnsmasq[name] as DnsmasqFact).hung = true;
}

/** Files whose texts a plan needs. */
export const PLANNED_FILES = [
  UPSTREAMS,
  SYSCTL_FILE,
  LXC_DEFAULT_CONF,
  DNSMASQ_RELOADS,
  HOOK_LIMITS,
  MAC_TAGS,
  FIREWALLD_ZONE,
  FIREWALLD_POLICY,
  FIREWALLD_DIRECT,
  SYSTEM_DNSMASQ,
  NETWORKD_NETWORK,
  NETWORKD_LINK,
  NETWORK_MANAGER,
];

/** Asks nft about them before anything is changed: a transaction that it refuses names no file. */
function adminRules(exec: Exec): HostFacts['adminRules'] {
  const text = readText(ADMIN_RULES);
  if (text === null) return null;
  const { code, stderr } = exec('nft', ['-c', '-f', '-'], { input: checkScript(text) });
  return { text, fault: code === 0 ? null : faultOf(stderr, text) };
}

type FileFacts = Omit<HostFacts, 'links' | keyof Rules | 'antispoof' | 'policies' | 'attached' | 'unsure' | 'localnet'>;

async function readFiles(exec: Exec, wanted: NetworkConfig[], known: NetworkConfig[]): Promise<FileFacts> {
  const networks = [...wanted, ...known];
  const dnsmasq = Object.fromEntries(
    networks.map((network) => [network.name, dnsmasqFact(network.name, served(network))]),
  );
  const resolver = resolverFact(networks.map((network) => network.name));
  return {
    ...readRoutes(),
    ipForward: readFileSync('/proc/sys/net/ipv4/ip_forward', 'utf8').trim(),
    bridgeNetfilter: existsSync('/proc/sys/net/bridge'),
    adminRules: adminRules(exec),
    filtersAllBridges: readText('/proc/sys/net/bridge/bridge-nf-call-iptables')?.trim() === '1',
    files: Object.fromEntries(PLANNED_FILES.map((path) => [path, readText(path)])),
    dnsmasq,
    managers: managersFact(),
    systemDnsmasq: systemDnsmasqFact(),
    holders: portHolders(exec, { networks: wanted, own: Object.values(dnsmasq).flatMap(({ pid }) => pid ?? []) }),
    resolver,
    upstreams: currentUpstreams(networks, resolver.text),
    lxcNet: lxcNetFact(wanted),
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
    dnsmasqUplink: behindDnsmasq(networks, resolvConf ?? ''),
    own: networks.map((network) => network.address),
    leases: readLeases(),
  });
}

/**
 * Where resolvconf has us, it tells the host's own dnsmasq nobody else. Until we are out of it, which this plan brings about, those count
 * that we have asked so far: asked ourselves, in a circle, dnsmasq would never ask that server again (dnsmasq(8), --dns-loop-detect).
 */
function behindDnsmasq(networks: NetworkConfig[], resolvConf: string): string | null {
  const uplink = dnsmasqUplink(resolvConf);
  const namesUs = networks.some(({ address }) => uplink?.split(/\s+/).includes(address));
  return namesUs ? `${uplink}\n${readText(UPSTREAMS) ?? ''}` : uplink;
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
  addr_info: { family?: string; local?: string; prefixlen?: number; scope?: string }[];
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
    exposed: !link.flags.includes('LOOPBACK') && isExposed(link.addr_info),
    index: link.ifindex,
    hairpin: link.linkinfo?.info_slave_data?.hairpin === true,
    filtersBridged: link.linkinfo?.info_data?.nf_call_iptables === 1 && link.linkinfo.info_data.nf_call_ip6tables === 1,
  }));
}

const PRIVATE = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10', '169.254.0.0/16', '127.0.0.0/8'];

function isExposed(addresses: IpLink['addr_info']): boolean {
  const locals = (which: string): string[] =>
    addresses.flatMap(({ family, local, scope }) => (family === which && scope === 'global' && local ? [local] : []));
  const ipv4 = locals('inet');
  if (ipv4.length > 0) return ipv4.some((address) => !PRIVATE.some((subnet) => contains(subnet, address)));
  return locals('inet6').some((address) => !/^f[cd]/i.test(address));
}

function readLocalnet(links: LinkFact[]): HostFacts['localnet'] {
  const isOn = (name: string) => readText(`/proc/sys/net/ipv4/conf/${name}/route_localnet`)?.trim() === '1';
  const bridges = links.filter(({ kind }) => kind === 'bridge').map(({ name }) => name);
  return { on: bridges.filter(isOn), noted: filesIn(dirname(localnetNote('-'))) };
}

type Rules = Pick<HostFacts, 'nft' | 'others' | 'firewalld' | 'iptables'>;

async function readRules(exec: Exec): Promise<Rules> {
  return judged(exec, await Promise.all([readRuleset(exec), readIptables(exec)]));
}

/** Asks for the names of tables first. iptables' are among them, or in a file of their own if they are of the old kind. */
async function readAnyRules(exec: Exec): Promise<Rules> {
  const tables = (await printed(exec, 'nft', ['list', 'tables'])).split('\n').filter((line) => line !== '');
  const old = readText('/proc/net/ip_tables_names') ?? '';
  const ruleset = tables.length > 0 ? readRuleset(exec) : { own: null, zoned: null, dropping: [] };
  const iptables = old !== '' || tables.some((line) => line.startsWith('table ip ')) ? readIptables(exec) : [];
  return judged(exec, await Promise.all([ruleset, iptables]));
}

/** Asks again, in the form to judge them by, only where tables that iptables does not know may drop something. */
async function judged(exec: Exec, [{ own, zoned, dropping }, iptables]: [Ruleset, Rules['iptables']]): Promise<Rules> {
  const foreign = dropping.some((table) => !iptables.some((line) => `ip ${line.table}` === table));
  const firewalld = existsSync('/usr/sbin/firewalld') ? { zoned } : null;
  return {
    nft: own,
    iptables,
    firewalld,
    others: foreign ? await printed(exec, 'nft', ['--json', 'list', 'ruleset']) : null,
  };
}

/** Asked only where something wants it and is not there yet. */
function checksBridges(exec: Exec, wanted: NetworkConfig[], nft: string | null): boolean {
  if (hasTable(nft, BRIDGE_TABLE) || !wanted.some((network) => antispoofOf(network) !== null)) return true;
  return exec('nft', ['-c', '-f', '-'], { input: CAPABILITY_SCRIPT }).code === 0;
}

/**
 * The interfaces of those that are on networks which check, or are to check, what they send. Their ports are in the records, but
 * for those that an earlier version has connected.
 */
function attachedInterfaces(
  exec: Exec,
  live: readonly AttachmentRecord[],
  networks: readonly NetworkConfig[],
  links: readonly LinkFact[],
): Interface[][] {
  const checking = new Set([
    ...Object.keys(antispoofNotes()),
    ...networks.flatMap((network) => (antispoofOf(network) === null ? [] : network.name)),
  ]);
  const isChecked = (one: Interface): boolean => isOnBridge(one) && checking.has(one.network as string);
  return live.flatMap((record): Interface[][] => {
    const { owner, state, interfaces } = record;
    if ((owner.kind === 'cni' && owner.chained) || !interfaces.some(isChecked)) return [];
    if (state !== 'attached' || interfaces.every((one) => one.port !== undefined || !isChecked(one)))
      return [interfaces];
    const ports = portsInside(exec, record);
    const found = interfaces.map((one) => {
      if (one.port !== undefined || !isChecked(one)) return one;
      const index = ports.get(one.ifname);
      const port = links.find((link) => link.name === one.hostLink || link.index === index);
      // What a container says of itself counts only where it can be.
      return port?.master === one.network ? { ...one, port: port.index } : one;
    });
    return [found];
  });
}

/** What the interfaces of a running container are paired with, as it sees them itself. */
function portsInside(exec: Exec, { life }: AttachmentRecord): ReadonlyMap<string, number> {
  if (life === null || !('netns' in life || 'pid' in life)) return new Map();
  const netns = 'netns' in life ? life.netns : `/proc/${life.pid}/ns/net`;
  const { code, stdout } = exec('nsenter', [`--net=${netns}`, 'ip', 'link', 'show']);
  return code === 0 ? portsIn(stdout) : new Map();
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
export async function printed(exec: Exec, command: string, args: string[]): Promise<string> {
  const result = await exec.start(command, args);
  if (result.code !== 0) throw new NethooksError(failure(command, args, result));
  return result.stdout;
}

/** One that was taken over is a network of ours. */
function lxcNetFact(networks: NetworkConfig[]): HostFacts['lxcNet'] {
  const bridge = lxcNetBridge();
  return { bridge, comes: networks.some(({ name }) => name === bridge) || lxcNetComes(bridge) };
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
