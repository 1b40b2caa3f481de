/** `nethooks attach` and `nethooks detach`. */

import { NethooksError } from '../../errors.ts';
import { bare, isIPv4, parseCidr } from '../../model/address.ts';
import { isInterfaceName } from '../../model/names.ts';
import { execUntil } from '../../system/exec.ts';
import { CniError } from '../cni/error.ts';
import type { Result } from '../cni/result.ts';
import { type AttachRequest, attachmentsOf, attach as attachTo, detach as detachAll } from '../target/attach.ts';
import { attachPeers, otherAddress } from '../target/peer.ts';
import { resolveTarget } from '../target/target.ts';
import type { OptionsOf } from './commands.ts';
import { EXIT } from './exit.ts';
import { warn } from './output.ts';
import { requireRoot } from './up.ts';

type AttachOptions = OptionsOf<'attach'>;

const LIMIT_MS = 90_000;
const context = () => ({ exec: execUntil(performance.now() + LIMIT_MS), log: warn });

/** Connects a container, a process or a namespace. */
export async function attach(word: string, options: AttachOptions): Promise<number> {
  requireRoot('attach');
  for (const name of [options.ifname, options.peerIfname, options.master])
    if (name !== undefined && !isInterfaceName(name))
      throw usage(`${name}: not an interface's name; allowed: up to 15 characters`);
  if (options.peer !== undefined) return wire(word, options.peer, options);
  if (options.mtu !== undefined && !/^\d+$/.test(options.mtu))
    throw usage(`--mtu ${options.mtu}: allowed: bytes from 68 to 65535`);
  const how = context();
  const target = resolveTarget(how.exec, word);
  const spec: AttachRequest = {
    network: options.network ?? null,
    mode: options.mode ?? null,
    master: options.master ?? null,
    address: options.address ?? 'auto',
    gateway: options.gateway ?? null,
    ifname: options.ifname,
    publish: options.publish ?? [],
    name: options.name ?? null,
    aliases: options.aliases ?? [],
    mac: options.mac ?? null,
    mtu: options.mtu === undefined ? null : Number(options.mtu),
    hostShim: options.hostShim ?? false,
  };
  const result = await readable(() => attachTo(how, target, spec));
  if (options.json) console.log(JSON.stringify(result));
  else console.log(describe(word, result));
  return EXIT.ok;
}

/** Takes back what attach made; of one interface, or of all. */
export async function detach(word: string, options: OptionsOf<'detach'>): Promise<number> {
  requireRoot('detach');
  const records = attachmentsOf(word, options.ifname ?? null);
  if (records.length === 0)
    throw new NethooksError(
      `${word}: nothing is attached${options.ifname === undefined ? '' : ` as ${options.ifname}`}`,
    );
  await readable(() => detachAll(context(), records));
  for (const { interfaces } of records)
    for (const { ifname, addresses } of interfaces) console.log(`${word}: ${ifname} ${addresses.join(' ')} is gone`);
  return EXIT.ok;
}

async function wire(word: string, peer: string, options: AttachOptions): Promise<number> {
  const { network, mode, master, gateway, mac, mtu, name, aliases, publish, hostShim } = options;
  if ([network, mode, master, gateway, mac, mtu, name, aliases, publish, hostShim].some((one) => one !== undefined))
    throw usage('--peer goes with --address, --ifname, --peer-address, --peer-ifname and --json only');
  const { address = null, ifname } = options;
  const other = options.peerAddress ?? (address === null ? null : otherAddress(address));
  if ((address === null) !== (other === null))
    throw usage(
      '--peer: allowed: no address, for a pair of them that is free; --address with a /30 or /31, such as 10.9.0.1/30; or both --address and --peer-address',
    );
  for (const one of [address, other])
    if (one !== null && !isIPv4(parseCidr(one)?.address ?? ''))
      throw usage(`${one}: allowed: an address with prefix length`);
  if (address !== null && other !== null && bare(address) === bare(other))
    throw usage(`--peer-address ${other}: both ends would have it`);
  const how = context();
  const [near, far] = [resolveTarget(how.exec, word), resolveTarget(how.exec, peer)];
  const ends = [
    { target: near, ifname, address },
    { target: far, ifname: options.peerIfname ?? ifname, address: other },
  ] as const;
  const [own, theirs] = await readable(() => attachPeers(how, ends));
  if (options.json) {
    const result = ({ ifname: one, target }: (typeof ends)[number], cidr: string) => ({
      interfaces: [{ name: one, sandbox: target.netns }],
      ips: [{ address: cidr, interface: 0 }],
    });
    console.log(JSON.stringify([result(ends[0], own), result(ends[1], theirs)]));
  } else console.log(`${word} ${ends[0].ifname} ${own} <-> ${peer} ${ends[1].ifname} ${theirs}`);
  return EXIT.ok;
}

function describe(word: string, { interfaces, ips, routes, dns }: Result): string {
  const own = interfaces.find(({ sandbox }) => sandbox !== undefined);
  const gateway = routes.length > 0 ? `, default route via ${ips[0]?.gateway ?? routes[0]?.gw}` : '';
  const others = interfaces.filter(({ sandbox }) => sandbox === undefined).map(({ name }) => name);
  return `${word}: ${own?.name} ${ips.map(({ address }) => address).join(' ')}${others.length > 0 ? ` (${others.join(', ')})` : ''}${gateway}${
    dns.nameservers ? `, name servers ${dns.nameservers.join(' ')}` : ''
  }`;
}

/** For people, CNI's errors are messages like any other. */
async function readable<T>(action: () => T | Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    if (!(error instanceof CniError)) throw error;
    throw new NethooksError([error.message, error.details].filter(Boolean).join('\n  '), 1, { cause: error });
  }
}

const usage = (message: string): NethooksError => new NethooksError(message, EXIT.usage);
