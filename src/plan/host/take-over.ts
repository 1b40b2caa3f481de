/**
 * Debian's lxc-net, taken over: its bridge becomes a network of ours, or its containers come to one of ours. Pure.
 *
 * Its script takes address and bridge away when it is stopped. It does nothing at all where USE_LXC_BRIDGE is not "true", so that is said
 * first: then the bridge stays as it is, and only dnsmasq and rules change hands.
 */
import { contains, sizeOf, subnetCidr, subnetOf, toAddress, toNumber } from '../../model/address.ts';
import { ipv4Of } from '../../model/attachment.ts';
import type { AddressRange } from '../../model/config.ts';
import type { LinkFact } from '../../model/facts.ts';
import {
  type ConfLine,
  LXC_NET_DEFAULTS,
  type LxcNet,
  type LxcNetLease,
  type LxcNetRecord,
  type Shares,
  type Taken,
  type TakenContainer,
} from '../../model/lxc-net.ts';
import { dnsName } from '../../model/names.ts';
import { LXC_NET_RECORD, leasedName, leasesFile, lxcNetLeases } from '../../model/paths.ts';
import type { FileStep, LxcNetStep, Step } from '../../model/step.ts';
import { withBlock, withoutBlock } from '../marked-block.ts';
import { ALIAS } from './bridge.ts';

export interface LxcNetFacts {
  settings: LxcNet;
  /** The text of /etc/default/lxc-net; null when it is not there. */
  defaults: string | null;
  confLines: readonly ConfLine[];
  leases: readonly LxcNetLease[];
  containers: readonly TakenContainer[];
  links: readonly LinkFact[];
  record: LxcNetRecord | null;
  recordText: string | null;
  /** Whether systemd runs here. */
  systemd: boolean;
  /** Whether lxc-net begins at boot, by systemd, and whether it is up. */
  enabled: boolean;
  active: boolean;
  /** What it has started and loaded. */
  left: LxcNetStep['left'];
  /** Whether our dnsmasq has leases of that network. */
  hasLeases: boolean;
}

// ---- Who has which address

interface Told {
  mac: string | null;
  name: string | null;
  address: string;
  line: ConfLine;
}

/** The dhcp-host lines that give one machine one address. */
function toldHosts(lines: readonly ConfLine[], subnet: string): Told[] {
  return lines.flatMap((line) => {
    const [, value] = /^dhcp-host\s*=\s*(.*)$/.exec(line.text) ?? [];
    const words = value?.split(',').map((word) => word.trim()) ?? [];
    const address = words.find((word) => contains(subnet, word));
    const macs = words.filter((word) => MAC.test(word));
    const names = words.filter(
      (word) => dnsName(word) !== null && word !== address && !MAC.test(word) && !TIME.test(word),
    );
    if (
      address === undefined ||
      macs.length > 1 ||
      names.length > 1 ||
      words.some((word) => word.includes(':') && !MAC.test(word))
    )
      return [];
    return { mac: macs[0]?.toLowerCase() ?? null, name: names[0] ?? null, address, line };
  });
}
const MAC = /^([\da-f]{2}:){5}[\da-f]{2}$/i;
const TIME = /^(\d+[smhdw]?|infinite|ignore)$/;

/** Each container's address: as its configuration says, as dnsmasq was told, as it has it now, or by its last lease. */
export function sharesOf({ settings, containers, leases, confLines }: LxcNetFacts): Shares {
  const subnet = subnetCidr(`${settings.address}/${settings.prefix}`);
  const told = toldHosts(confLines, subnet);
  const macs = new Set(containers.flatMap(({ nics }) => nics.flatMap(({ mac }) => mac ?? [])));
  const used = new Set<ConfLine>();
  const taken: Taken[] = [];
  for (const { name, nics, kept } of containers)
    for (const nic of nics) {
      const had = kept.interfaces.find(({ network, ifname }) => network === settings.bridge && ifname === nic.ifname);
      const isIts = ({ mac, name: called }: { mac: string | null; name: string | null }): boolean =>
        mac !== null && nic.mac !== null ? mac === nic.mac : mac === null && nic.index === 0 && called === name;
      const host = told.find(isIts);
      if (host) used.add(host.line);
      const named = leases.filter(({ mac, hostname }) => nic.index === 0 && hostname === name && !macs.has(mac));
      const address =
        nic.address ??
        host?.address ??
        (had && ipv4Of(had)) ??
        nic.running.find((one) => contains(subnet, one)) ??
        leases.find(({ mac }) => mac === nic.mac)?.address ??
        named.at(-1)?.address;
      if (address !== undefined && contains(subnet, address) && !taken.some((one) => one.address === address))
        taken.push({ container: name, nic, address, isTold: nic.address === null && host !== undefined });
    }
  return {
    taken,
    foreign: leases.filter(({ address }) => contains(subnet, address) && !taken.some((one) => one.address === address)),
    lines: confLines.filter((line) => !used.has(line)),
  };
}

// ---- The network

/** Below that, what LXC_DHCP_RANGE leaves free is no range for containers. */
const ENOUGH = 16;

/**
 * What becomes of the subnet: a range for DHCP in which no container has its address, so that these stay theirs, and one for containers
 * in which nobody else has one. LXC_DHCP_RANGE itself where it leaves room; as a rule it is the whole subnet.
 * @param usual what a network of that subnet has that names none
 */
export function rangesOf(
  settings: Pick<LxcNet, 'address' | 'prefix' | 'dhcp'>,
  containers: readonly string[],
  others: readonly string[],
  usual: { dhcp: AddressRange | null },
): { dhcp: AddressRange | null; reserve: AddressRange | null } {
  const { first, last } = subnetOf(settings.address, settings.prefix);
  const all = { from: toAddress(first + 1), to: toAddress(last - 1) };
  const isFree = (range: AddressRange): boolean => !containers.some((address) => isWithin(range, address));
  const reserveBeside = (dhcp: AddressRange): AddressRange | null =>
    largestRun(all, (address) => isWithin(dhcp, address) || address === settings.address || others.includes(address));
  const candidates = [settings.dhcp, usual.dhcp].flatMap((range) => range ?? []).filter(isFree);
  for (const dhcp of candidates) {
    const reserve = reserveBeside(dhcp);
    if (reserve !== null && sizeOf(reserve) >= ENOUGH) return { dhcp, reserve };
  }
  const run = largestRun(
    settings.dhcp ?? all,
    (address) => containers.includes(address) || address === settings.address,
  );
  if (run === null || usual.dhcp === null)
    return { dhcp: null, reserve: reserveBeside({ from: '0.0.0.0', to: '0.0.0.0' }) };
  const size = Math.min(sizeOf(run), Math.floor(sizeOf(all) / 2));
  const dhcp = { from: toAddress(toNumber(run.to) - size + 1), to: run.to };
  return { dhcp, reserve: reserveBeside(dhcp) };
}

const isWithin = ({ from, to }: AddressRange, address: string): boolean =>
  toNumber(from) <= toNumber(address) && toNumber(address) <= toNumber(to);

/** The largest part of a range without addresses that are taken; null where all are. */
function largestRun({ from, to }: AddressRange, isTaken: (address: string) => boolean): AddressRange | null {
  let best: { from: number; to: number } | null = null;
  let start: number | null = null;
  for (let value = toNumber(from); value <= toNumber(to) + 1; value++) {
    const isFree = value <= toNumber(to) && !isTaken(toAddress(value));
    if (isFree) start ??= value;
    else if (start !== null) {
      if (best === null || value - 1 - start > best.to - best.from) best = { from: start, to: value - 1 };
      start = null;
    }
  }
  return best && { from: toAddress(best.from), to: toAddress(best.to) };
}

/** The lines of its section in nethooks.ini. */
export function sectionOf(
  settings: LxcNet,
  { taken, foreign, lines }: Shares,
  usual: { dhcp: AddressRange | null },
): string[] {
  const { bridge, address, prefix, domain, mostLeases } = settings;
  const { dhcp, reserve } = rangesOf(
    settings,
    taken.map((one) => one.address),
    foreign.map((one) => one.address),
    usual,
  );
  // Machines that are no containers keep the addresses that they have leased, also where DHCP gives out no others.
  const kept = foreign.filter((one) => dhcp !== null && !isWithin(dhcp, one.address));
  const dnsmasq = [
    ...(mostLeases === null ? [] : [`dhcp-lease-max=${mostLeases}`]),
    ...kept.map((one) => `dhcp-host=${one.mac},${one.address}`),
    ...lines.map(({ text }) => text),
  ];
  return [
    '; lxc-net had it: `nethooks take-over --undo` gives it back',
    `[network.${bridge}]`,
    `address = ${address}/${prefix}`,
    `dhcp = ${dhcp === null ? 'false' : `${dhcp.from}-${dhcp.to}`}`,
    ...(reserve === null ? [] : [`reserve = ${reserve.from}-${reserve.to}`]),
    ...(domain === '' ? [] : [`domain = ${domain}`]),
    ...dnsmasq.map((line) => `dnsmasq[] = ${/^[\w=.,:/-]+$/.test(line) ? line : JSON.stringify(line)}`),
  ];
}

// ---- Steps

export interface TakeOver {
  /** Of /etc, and what is remembered; before lxc-net is stopped. */
  files: Step[];
  /** The end of what lxc-net has started; empty where it must go on. */
  stop: Step[];
  /** Between its end and ours. */
  between: Step[];
  /** What is left of it once our network is up. */
  after: Step[];
  notes: string[];
}

export interface TakeOverSpec {
  mode: LxcNetRecord['mode'];
  /** The containers whose configuration is changed. */
  changed: readonly string[];
  /** What makes addresses stay with those who have them (plan/attachment/taken-over.ts). */
  kept: readonly Step[];
}

/** What there is to do, in its order; nothing when all is done. */
export function planTakeOver({ mode, changed, kept }: TakeOverSpec, facts: LxcNetFacts): TakeOver {
  const { settings, defaults, record, links, left } = facts;
  const { bridge } = settings;
  const link = links.find(({ name }) => name === bridge);
  const ports = links.filter(({ master }) => master === bridge).map(({ name }) => name);
  const isBusy = mode === 'move' && ports.length > 0;
  const noted: LxcNetRecord = {
    mode,
    bridge,
    enabled: record?.enabled ?? facts.enabled,
    active: record?.active ?? facts.active,
    containers: [...new Set([...(record?.containers ?? []), ...changed])],
  };
  const files: Step[] = [
    ...file(LXC_NET_RECORD, facts.recordText, `${JSON.stringify(noted)}\n`),
    ...file(LXC_NET_DEFAULTS, defaults, withBlock(defaults ?? '', ['USE_LXC_BRIDGE="false"'])),
    ...kept,
  ];
  const unit: Step[] =
    facts.systemd && (facts.enabled || facts.active)
      ? [{ kind: 'unit', action: 'disable', units: ['lxc-net.service'] }]
      : [];
  const silence: Step[] =
    unit.length > 0 || left.dnsmasq !== null ? [{ kind: 'lxc-net', action: 'end', bridge, left }] : [];
  const release: Step[] =
    left.tables.length + left.rules.length + left.marks.length > 0
      ? [{ kind: 'lxc-net', action: 'clean', bridge, left }]
      : [];
  if (mode === 'move')
    return {
      files,
      stop: isBusy ? [] : [...unit, ...silence],
      between: [],
      after: isBusy
        ? []
        : [...release, ...(link ? [{ kind: 'ip' as const, commands: [`link del dev ${bridge}`], undo: [] }] : [])],
      notes: isBusy
        ? [
            `${bridge} and lxc-net go on for what runs on it (${ports.join(', ')}): once that has stopped, a reboot or the same command ends them`,
          ]
        : [],
    };
  const leases: Step[] = facts.hasLeases
    ? []
    : [{ kind: 'file', path: leasesFile(bridge), before: null, content: { from: lxcNetLeases(bridge) }, mode: 0o644 }];
  const alias: Step[] =
    link && link.alias !== ALIAS
      ? [
          {
            kind: 'ip',
            commands: [`link set dev ${bridge} alias ${ALIAS}`],
            undo: [`link set dev ${bridge} alias ""`],
          },
        ]
      : [];
  return {
    files,
    stop: [...unit, ...silence],
    between: [...(facts.leases.length > 0 ? leases : []), ...alias],
    after: release,
    notes: [],
  };
}

const file = (path: string, before: string | null, content: string | null): FileStep[] =>
  before === content ? [] : [{ kind: 'file', path, before, content }];

export interface GiveBackFacts {
  record: LxcNetRecord;
  recordText: string | null;
  config: { path: string; text: string } | null;
  defaults: string | null;
  links: readonly LinkFact[];
}

/** What gives lxc-net back, before our network goes: what is in /etc, and whose the bridge is. */
export function planReturn({ record, config, defaults, links }: GiveBackFacts): Step[] {
  const link = links.find(({ name }) => name === record.bridge);
  const isOurs = record.mode === 'here' && record.active && link?.alias === ALIAS;
  const plain = withoutBlock(defaults ?? '');
  return [
    ...(config && record.mode === 'here' ? file(config.path, config.text, withoutBlock(config.text)) : []),
    ...(defaults === null ? [] : file(LXC_NET_DEFAULTS, defaults, plain === '' ? null : plain)),
    ...(isOurs
      ? [
          {
            kind: 'ip' as const,
            commands: [`link set dev ${record.bridge} alias ""`],
            undo: [`link set dev ${record.bridge} alias ${ALIAS}`],
          },
        ]
      : []),
  ];
}

export interface ReturnedLeases {
  /** The text of lxc-net's file, and of ours. */
  theirs: string | null;
  ours: string | null;
  /** Addresses that containers have under us, with their MACs. */
  held: readonly { address: string; mac: string; name: string }[];
  /** Seconds since the epoch. */
  now: number;
}

/** The leases as lxc-net's dnsmasq is to know them: who has an address keeps it. */
export function returnedLeases({ theirs, ours, held, now }: ReturnedLeases): string {
  const linesOf = (text: string | null): string[] => (text ?? '').split('\n').filter((line) => line !== '');
  const addressIn = (line: string): string => line.split(' ')[2] ?? '';
  const current = linesOf(ours);
  const known = new Set(current.map(addressIn));
  const others = linesOf(theirs).filter((line) => !known.has(addressIn(line)));
  const macs = new Set([...current, ...others].map((line) => line.split(' ')[1]));
  const more = held
    .filter(({ address, mac }) => ![...known, ...others.map(addressIn)].includes(address) && !macs.has(mac))
    .map(({ address, mac, name }) => `${now + 3600} ${mac} ${address} ${name} *`);
  return [...current, ...others, ...more].map((line) => `${line}\n`).join('');
}

/** What makes the return complete, once our network is down. */
export function planLxcNetStart(record: LxcNetRecord, recordText: string, addresses: readonly string[]): Step[] {
  const left: LxcNetStep['left'] = { dnsmasq: null, tables: [], rules: [], marks: [] };
  return [
    ...(record.mode === 'here' ? [remove(leasesFile(record.bridge))] : []),
    ...addresses.map((address) => remove(leasedName(address))),
    ...(record.enabled ? [{ kind: 'unit' as const, action: 'enable' as const, units: ['lxc-net.service'] }] : []),
    ...(record.active ? [{ kind: 'lxc-net' as const, action: 'start' as const, bridge: record.bridge, left }] : []),
    { kind: 'file', path: LXC_NET_RECORD, before: recordText, content: null },
  ];
}

const remove = (path: string): FileStep => ({ kind: 'file', path, before: null, content: null });
