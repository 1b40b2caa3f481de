/**
 * What a container's network knows it by: names in DNS, and what DHCP tells it. A name belongs to one container at a time: a file
 * `/run/nethooks/claims/DOMAIN/NAME` holds its container, and the kernel makes a file for one of many who try.
 */

import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { dnsName } from '../model/names.ts';
import { claimFile, dhcpHostsDir, namesDir, runningRecord } from '../model/paths.ts';
import { type Attachment, dhcpHost, hostsFile } from '../plan/attachment/interfaces.ts';
import { reloadDnsmasq } from '../system/dnsmasq.ts';
import { ensureText, readText, removeFile, writeAtomically } from '../system/files.ts';
import { isAlive } from '../system/process.ts';

/** What a container wants to be known by. */
export interface Names {
  /** Its own, bare: the first is the one that a reverse look-up gives. */
  own: string[];
  /** Names below its own that stand for others: its links' aliases. */
  linked: { name: string; address: string }[];
}

/**
 * Makes a container's names answer and reserves its addresses in DHCP; dnsmasq sees new files by itself. A name that somebody else
 * has is left out.
 * @returns one line for each of those, naming the holder
 */
export function announce(container: string, attachments: Attachment[], names: Names): string[] {
  const refused: string[] = [];
  for (const domain of new Set(attachments.map((attachment) => attachment.domain))) {
    const before = namesIn(container, domain);
    const wanted = [...names.own, ...names.linked.map(({ name }) => name)];
    const granted = wanted.filter((name) => {
      const holder = claim(domain, name, container);
      if (holder !== null)
        refused.push(`the name ${name}.${domain} is ${holder}'s: ${container} does not get it while that runs`);
      return holder === null;
    });
    const own = names.own.filter((name) => granted.includes(name));
    const linked = names.linked.filter(({ name }) => granted.includes(name));
    const path = join(namesDir(domain), container);
    const text = hostsFile(own, linked, domain, attachments);
    const old = readText(path);
    if (text === '') removeFile(path);
    else ensureText(path, text);
    for (const name of before.filter((gone) => !granted.includes(gone))) unclaim(domain, name, container);
    // dnsmasq forgets what a changed file said before only when told to read all anew.
    if (old !== null && old !== text)
      for (const { network } of attachments.filter((attachment) => attachment.domain === domain))
        reloadDnsmasq(network);
  }
  for (const attachment of attachments) reserveInDhcp(container, attachment);
  return refused;
}

/** Takes a container's names back; its reservations stay for its next start. */
export function unannounce(container: string, attachments: Attachment[]): void {
  for (const domain of new Set(attachments.map((attachment) => attachment.domain))) {
    for (const name of namesIn(container, domain)) unclaim(domain, name, container);
    removeFile(join(namesDir(domain), container));
  }
  // dnsmasq before 2.87 does not notice that a hosts file has gone.
  for (const network of new Set(attachments.map((attachment) => attachment.network))) reloadDnsmasq(network);
}

/** Takes the reservations of its addresses out of DHCP. */
export function unreserveInDhcp(container: string, attachments: Attachment[]): void {
  for (const attachment of attachments) removeFile(reservation(container, attachment));
}

function reserveInDhcp(container: string, attachment: Attachment): void {
  const path = reservation(container, attachment);
  const before = readText(path);
  const wanted = dhcpHost(attachment);
  if (before === wanted) return;
  writeAtomically(path, wanted);
  // It adds what a changed file says now, but drops what the file said before only when told to read all anew.
  if (before !== null) reloadDnsmasq(attachment.network);
}

const reservation = (container: string, { network, ifname }: Attachment): string =>
  join(dhcpHostsDir(network), `${container}.${ifname}`);

/** The names that its file in this domain says now, bare. */
function namesIn(container: string, domain: string): string[] {
  const words = (readText(join(namesDir(domain), container)) ?? '').split(/\s+/);
  return words.flatMap((word) => (word.endsWith(`.${domain}`) ? [word.slice(0, -domain.length - 1)] : []));
}

/** Takes a name for a container; null when it has it now, else who has it. One that does not run loses its names. */
function claim(domain: string, name: string, container: string): string | null {
  const path = claimFile(domain, name);
  try {
    writeNew(path, container);
    return null;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  const holder = readText(path) ?? '';
  if (holder !== container && runs(holder)) return holder;
  if (holder !== container) writeAtomically(path, container);
  return null;
}

function runs(container: string): boolean {
  const text = container === '' ? null : readText(runningRecord(container));
  return text !== null && isAlive(JSON.parse(text) as { pid: number; started: string | null });
}

function unclaim(domain: string, name: string, container: string): void {
  const path = claimFile(domain, name);
  if (readText(path) === container) removeFile(path);
}

function writeNew(path: string, text: string): void {
  try {
    writeFileSync(path, text, { flag: 'wx' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
    writeFileSync(path, text, { flag: 'wx' });
  }
}

/** A container's own names: its container name, where that can be one, then its aliases. */
export const ownNames = (container: string, aliases: readonly string[]): string[] => [
  ...new Set([dnsName(container), ...aliases].flatMap((name) => name ?? [])),
];
