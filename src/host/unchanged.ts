/**
 * Whether the host is as it was when nothing was missing, at a fraction of what finding that out takes: a digest of what the kernel lists,
 * of the files that plans look at and of the directories below /run/nethooks. Worth it beside many containers only; what it cannot see,
 * such as the inside of containers, is looked at all the same every few minutes.
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { ATTACHMENTS, CONFIG_FILES, LOOKED, RESOLV_CONF, RUN } from '../model/paths.ts';
import { readHostRecord } from '../store/host-record.ts';
import { dnsmasqFact } from '../system/dnsmasq.ts';
import type { Exec } from '../system/exec.ts';
import { readText, removeFile, writeAtomically } from '../system/files.ts';
import { PLANNED_FILES, printed } from './facts.ts';

const SETTINGS = ['/proc/sys/net/ipv4/ip_forward', '/proc/sys/net/bridge/bridge-nf-call-iptables', '/proc/net/route'];

/** Up to here everything is looked at each time: it takes less than 60 ms of CPU. */
const FEW = 100;
/** How long (s) a digest stands for a look at everything. */
const HOLDS_S = 600;

/** What a look at everything would begin with; null where there are so few containers that it may as well begin. */
export const digestIfMany = async (exec: Exec): Promise<string | null> =>
  existsSync(ATTACHMENTS) && filesBelow(ATTACHMENTS, FEW) > FEW ? digest(exec) : null;

/** Whether nothing has changed since the last look that found nothing missing. */
export function isAsLooked(digest: string, now: number): boolean {
  const [known, at] = (readText(LOOKED) ?? '').split(' ');
  return known === digest && now - Number(at) < HOLDS_S;
}

/** @param digest from before the look: what changes meanwhile is seen by the next one. Null: something was missing */
export function noteLook(digest: string | null, now: number): void {
  if (digest === null) removeFile(LOOKED);
  else writeAtomically(LOOKED, `${digest} ${now}\n`);
}

/** What changes by itself: counters of iptables' chains, and how long addresses are valid. Both listings are short. */
const MOVING = /\[\d+:\d+\]|^#.*$|\bvalid_lft.*$/gm;

async function digest(exec: Exec): Promise<string> {
  const [rules, links, ...short] = await Promise.all([
    printed(exec, 'nft', ['--stateless', 'list', 'ruleset']),
    printed(exec, 'ip', ['-oneline', 'link', 'show']),
    printed(exec, 'ip', ['-4', '-oneline', 'address', 'show']),
    printed(exec, 'iptables-save', []),
  ]);
  const hash = createHash('sha256');
  for (const text of [rules, links, ...short.map((one) => one.replaceAll(MOVING, ''))]) hash.update(text);
  const { networks } = readHostRecord();
  const read = networks.flatMap(({ name }) => [
    `/proc/sys/net/ipv4/conf/${name}/route_localnet`,
    `/sys/class/net/${name}/bridge/nf_call_iptables`,
    `/sys/class/net/${name}/bridge/nf_call_ip6tables`,
  ]);
  for (const path of [...SETTINGS, ...read]) hash.update(`${path} ${readText(path)}\n`);
  hash.update(JSON.stringify(networks.map(({ name }) => dnsmasqFact(name, true))));
  for (const path of [...PLANNED_FILES, ...CONFIG_FILES, RESOLV_CONF]) hash.update(stamp(path));
  for (const path of directories(RUN)) hash.update(stamp(path));
  return hash.digest('hex');
}

/** A directory's changes when a name in it comes or goes, or a file is replaced by another. */
function stamp(path: string): string {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat ? `${path} ${stat.ino} ${stat.mtimeMs}\n` : `${path}\n`;
}

/** All below /run/nethooks; not itself, where this is noted, nor those of hooks at work. */
const directories = (path: string): string[] =>
  directoriesIn(path)
    .filter((one) => !PASSING.includes(one))
    .flatMap((one) => [one, ...directories(one)]);
const PASSING = ['gc', 'slots', 'copies'].map((name) => `${RUN}/${name}`);

/** A directory that holds thousands of files and no directory is not read: it has one link of its own and one to itself (inode(7)). */
const directoriesIn = (path: string): string[] =>
  isLeaf(path)
    ? []
    : readdirSync(path, { withFileTypes: true })
        .filter((entry) => entry.isDirectory())
        .map(({ name }) => `${path}/${name}`)
        .sort();

const isLeaf = (path: string): boolean => statSync(path).nlink === 2;

/** How many files there are in the directories below one, counted until there are more than `enough`. */
function filesBelow(path: string, enough: number): number {
  if (isLeaf(path)) return readdirSync(path).length;
  return directoriesIn(path).reduce(
    (count, one) => (count > enough ? count : count + filesBelow(one, enough - count)),
    0,
  );
}
