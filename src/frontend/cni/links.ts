/** Makes and removes the interfaces of an attachment. */
import { readFileSync, writeFileSync } from 'node:fs';
import { isV6 } from '../../model/address.ts';
import { type StackedWiring, stackedCommands, type VethWiring, vethCommands } from '../../plan/attachment/wiring.ts';
import { type Exec, type ExecResult, failure } from '../../system/exec.ts';
import type { Ip } from '../../system/ip.ts';
import { CniError, CODE } from './error.ts';

/** What `ip -json address show` says about a link. */
export interface ShownLink {
  ifname: string;
  address?: string;
  mtu: number;
  flags: string[];
  addr_info: { family?: string; local?: string; prefixlen?: number }[];
}

/** Runs one `ip -batch` whose lines are about the host alone, and must succeed. */
export function mustOnHost(exec: Exec, lines: readonly string[]): void {
  const result = exec('ip', ['-batch', '-'], { input: `${lines.join('\n')}\n` });
  if (result.code !== 0) throw new CniError(CODE.failed, "setting the host's side up failed", blame(result, lines));
}

/** Gives an `ip` in the container's namespace its lines; what it printed. */
export async function inside(ip: Ip, lines: readonly string[]): Promise<string> {
  const result = await ip(lines);
  if (result.code === 0) return result.stdout;
  throw new CniError(CODE.failed, 'setting the interface up failed', blame(result, lines));
}

/**
 * @param ip on the host
 * @throws CniError (exists) when the container has such an interface already
 */
export async function makeVeth(exec: Exec, ip: Ip, wiring: VethWiring): Promise<ShownLink | null> {
  const { bridge, ifname } = wiring;
  const lines = [...(bridge === null ? [] : [`address show dev ${bridge}`]), ...vethCommands(wiring)];
  const result = await ip(lines);
  if (result.code === 0) return bridge === null ? null : (shown(result.stdout)[0] ?? null);
  if (bridge !== null && /Device "[^"]+" does not exist/.test(result.stderr)) throw new NoBridge(bridge);
  removeVeth(exec, wiring.hostName, result);
  throw linkFailure(ifname, result, lines);
}

/** The bridge is not there yet. */
export class NoBridge extends CniError {
  constructor(bridge: string) {
    super(CODE.failed, `bridge ${bridge} does not exist`);
  }
}

/** The pair may be there although a later line failed; but when it was there before, it is somebody's. */
function removeVeth(exec: Exec, hostName: string, { stderr }: ExecResult): void {
  if (!/File exists/.test(stderr)) exec('ip', ['link', 'delete', 'dev', hostName]);
}

/**
 * @param ip on the host
 * @throws CniError; (unsupported) when the kernel has no such kind of interface
 */
export async function makeStacked(ip: Ip, wiring: StackedWiring): Promise<void> {
  const lines = stackedCommands(wiring);
  const result = await ip(lines);
  if (result.code === 0) return;
  if (/Unknown device type|Operation not supported/.test(result.stderr))
    throw new CniError(
      CODE.unsupported,
      `this kernel has no ${wiring.type}`,
      `\`modprobe ${wiring.type}\` loads it where it is a module`,
    );
  if (/Cannot find device/.test(result.stderr))
    throw new CniError(CODE.config, `master: ${wiring.master}: no such interface`);
  throw linkFailure(wiring.ifname, result, lines);
}

function linkFailure(ifname: string, result: ExecResult, lines: readonly string[]): CniError {
  if (/File exists/.test(result.stderr))
    return new CniError(CODE.exists, `the container already has an interface ${ifname}`, blame(result, lines));
  if (/Invalid argument|Invalid "netns"/.test(result.stderr) && /netns/.test(result.stderr))
    return new CniError(CODE.unknownContainer, 'CNI_NETNS is no network namespace');
  return new CniError(CODE.failed, `making interface ${ifname} failed`, blame(result, lines));
}

/** ip's words, and the line that they are about. */
function blame(result: ExecResult, lines: readonly string[]): string {
  const number = Number(/Command failed \S*:(\d+)/.exec(result.stderr)?.[1] ?? 0);
  return `${failure('ip', ['-batch'], result)}${number > 0 ? ` (${lines[number - 1]})` : ''}`;
}

/** The lists that `ip -json` printed, one after the other, as one list. */
export function shown(stdout: string): ShownLink[] {
  return stdout
    .split('\n')
    .filter((line) => line.startsWith('['))
    .flatMap((line) => JSON.parse(line) as ShownLink[])
    .filter((link) => link.ifname !== undefined);
}

export interface BridgeWish {
  name: string;
  /** Used when it has to be made. */
  mac: string;
  /** Its own addresses with prefix length: the gateways. */
  addresses: string[];
  mtu: number | null;
  promisc: boolean;
  /** Whether other IPv4 addresses make room. */
  force: boolean;
}

/**
 * Makes a bridge if it is missing, and gives it what it lacks. Others may be doing the same.
 * @param link what is known of it, if it is there
 */
export function ensureBridge(exec: Exec, wish: BridgeWish, link: ShownLink | null): ShownLink {
  const { name, mac, mtu } = wish;
  let current = link;
  if (!current) {
    const words = [
      'link',
      'add',
      'name',
      name,
      'address',
      mac,
      ...(mtu === null ? [] : ['mtu', String(mtu)]),
      'type',
      'bridge',
    ];
    const result = exec('ip', words);
    if (result.code !== 0 && !/File exists/.test(result.stderr))
      throw new CniError(CODE.failed, `making bridge ${name} failed`, failure('ip', words, result));
    current = shown(exec('ip', ['-json', 'address', 'show', 'dev', name]).stdout)[0] ?? null;
    if (!current) throw new NoBridge(name);
  }
  const lines = bridgeLines(wish, current);
  if (lines.length > 0) mustOnHost(exec, lines);
  return current;
}

/**
 * What a bridge lacks; pure.
 * @throws CniError when it has another IPv4 address, which only `forceAddress` may take away
 */
export function bridgeLines({ name, addresses, promisc, force }: BridgeWish, link: ShownLink): string[] {
  const now = link.addr_info.map(({ local, prefixlen }) => `${local}/${prefixlen}`);
  const missing = addresses.filter((address) => !now.includes(address));
  const others = missing.some((address) => !isV6(address)) ? now.filter((address) => !isV6(address)) : [];
  if (others.length > 0 && !force)
    throw new CniError(
      CODE.failed,
      `"${name}" already has an IP address different from ${addresses.join(', ')}`,
      `${others.join(', ')}; "forceAddress": true takes it away`,
    );
  return [
    ...others.map((address) => `addr del ${address} dev ${name}`),
    ...missing.map((address) => `addr replace ${address}${isV6(address) ? ' nodad' : ' broadcast +'} dev ${name}`),
    ...(link.flags.includes('UP') ? [] : [`link set dev ${name} up`]),
    ...(promisc && !link.flags.includes('PROMISC') ? [`link set dev ${name} promisc on`] : []),
  ];
}

/** Packets go from one interface to another (stock bridge and ptp do the same). */
export function enableForwarding(addresses: readonly string[]): void {
  const families = new Set(
    addresses.map((address) => (address.includes(':') ? 'ipv6/conf/all/forwarding' : 'ipv4/ip_forward')),
  );
  for (const family of families) {
    const path = `/proc/sys/net/${family}`;
    if (readFileSync(path, 'utf8').trim() !== '1') writeFileSync(path, '1\n');
  }
}
