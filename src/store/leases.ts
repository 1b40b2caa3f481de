/**
 * What the networks' dnsmasq daemons have leased, by their lease files, and the names that machines without a hook gave themselves when they
 * asked: dnsmasq forgets those when it is restarted.
 */
import { statSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Leased } from '../model/attachment.ts';
import { dnsmasqConf, leasedName, leasesFile, STATE } from '../model/paths.ts';
import { ensureText, filesIn, readText, removeFile } from '../system/files.ts';
import { sleep } from '../system/sleep.ts';

export interface Lease {
  address: string;
  mac: string;
  /** ms since the epoch; null for ever. */
  expires: number | null;
}

/** dnsmasq's lease file: expiry in seconds since the epoch or 0, MAC, address, name or *, client id. */
export function readLeases(network: string): Lease[] {
  return (readText(leasesFile(network)) ?? '').split('\n').flatMap((line) => {
    const [expires, mac, address, hostname] = line.split(' ');
    if (!expires || !mac || !address || !hostname) return [];
    return [{ address, mac, expires: expires === '0' ? null : Number(expires) * 1000 }];
  });
}

/** How long (ms) dnsmasq may be at writing the file, which it does in place. */
const WRITING_MS = 100;

function hasLease(network: string, address: string, mac: string): boolean {
  const isThere = (): boolean => {
    const lease = leasesOf(network).get(address);
    return lease?.mac === mac && (lease.expires === null || lease.expires > Date.now());
  };
  if (isThere()) return true;
  const changed = statSync(leasesFile(network), { throwIfNoEntry: false })?.mtimeMs ?? 0;
  if (Date.now() - changed > WRITING_MS) return false;
  sleep(5);
  return isThere();
}

/** By network, as long as the file is the same: who looks at all records asks for each of them. */
const known = new Map<string, { stamp: string; leases: ReadonlyMap<string, Lease> }>();

function leasesOf(network: string): ReadonlyMap<string, Lease> {
  const stats = statSync(leasesFile(network), { throwIfNoEntry: false });
  const stamp = `${stats?.mtimeMs} ${stats?.size}`;
  const before = known.get(network);
  if (before?.stamp === stamp) return before.leases;
  const leases = new Map(readLeases(network).map((lease) => [lease.address, lease]));
  known.set(network, { stamp, leases });
  return leases;
}

/** Whether it is leased, and its network's dnsmasq tells us of names: neither is so once the network is down. */
export const isLeased = ({ lease, address, mac }: Leased): boolean =>
  /^dhcp-script=/m.test(readText(dnsmasqConf(lease)) ?? '') && hasLease(lease, address, mac);

/** A name that is remembered as long as its lease lasts, over restarts of dnsmasq and of the host. */
export interface LeasedName {
  mac: string;
  name: string;
}

export function readLeasedName(address: string): LeasedName | null {
  const [mac, name, ...rest] = (readText(leasedName(address)) ?? '').trimEnd().split(' ');
  return mac && name && rest.length === 0 ? { mac, name } : null;
}

export const writeLeasedName = (address: string, { mac, name }: LeasedName): void =>
  void ensureText(leasedName(address), `${mac} ${name}\n`);

export const removeLeasedName = (address: string): void => void removeFile(leasedName(address));

/** The addresses of which a name is remembered. */
export const listLeasedNames = (): string[] => filesIn(dirname(leasedName('-')));

/** Whether its lease lasts, on whichever network, up or down. */
export function isRemembered(address: string): boolean {
  const noted = readLeasedName(address);
  if (noted === null) return false;
  const networks = filesIn(STATE).flatMap((file) =>
    file.endsWith('.leases') ? [file.slice(0, -'.leases'.length)] : [],
  );
  return networks.some((network) => hasLease(network, address, noted.mac));
}
