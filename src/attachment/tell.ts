/**
 * What a container is told in its own files: resolv.conf, hosts, hostname. Below its root only, which is hostile (rootfs.ts). All of
 * it is convenience: what goes wrong is logged.
 */

import { closeSync, openSync, readlinkSync } from 'node:fs';
import type { NetworkConfig } from '../model/config.ts';
import { overlay } from '../model/config.ts';
import type { ContainerOptions } from '../model/container-options.ts';
import { dnsName } from '../model/names.ts';
import { RESOLV_CONF, UPSTREAMS } from '../model/paths.ts';
import { parseResolvConf, type ResolvConf, renderResolvConf } from '../model/resolv-conf.ts';
import { containerResolvConf, hostsLines, type LinkName } from '../plan/attachment/container-files.ts';
import type { Attachment } from '../plan/attachment/interfaces.ts';
import { withBlock, withoutBlock } from '../plan/marked-block.ts';
import type { Told } from '../store/container.ts';
import type { Names } from '../store/names.ts';
import { ownNames } from '../store/names.ts';
import { type Exec, must } from '../system/exec.ts';
import { readText } from '../system/files.ts';
import { readBelowRoot, type WriteResult, writeBelowRoot } from '../system/rootfs.ts';

export interface Telling {
  name: string;
  /** pid of its init. */
  pid: number;
  /** `/proc/PID/root`. */
  root: string;
  attachments: Attachment[];
  /** Its first network; null when it is on none of ours. */
  network: NetworkConfig | null;
  options: ContainerOptions;
  links: readonly LinkName[];
  /** What we wrote at an earlier time. */
  before: Told | undefined;
}

/** The files that a container without a hosts file gets, as Docker's have it. */
const HOSTS = '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n';
const MAX_HOSTNAME_FILE = 4096;

/** Tells it; returns what stands in its files now. */
export function tell(exec: Exec, log: (line: string) => void, telling: Telling): Told {
  const told: Told = { ...(telling.before ?? { hosts: false }) };
  convenience(log, 'resolv.conf', () => writeResolvConf(log, telling));
  convenience(log, '/etc/hosts', () => {
    told.hosts = writeHosts(log, telling);
  });
  convenience(log, 'hostname', () => {
    const before = writeHostname(exec, log, telling);
    if (before === undefined) delete told.hostname;
    else told.hostname = before;
  });
  return told;
}

/** What it is known by. A link's alias is a name below the parent's own, which the parent alone searches. */
export function namesOf(name: string, { aliases }: ContainerOptions, links: readonly LinkName[]): Names {
  const own = dnsName(name);
  const linked = own === null ? [] : links.map(({ alias, to }) => ({ name: `${alias}.${own}`, address: to }));
  return { own: ownNames(name, aliases), linked };
}

function linkDomain(name: string, network: NetworkConfig | null, links: readonly LinkName[]): string[] {
  const own = dnsName(name);
  return network && own !== null && links.length > 0 ? [`${own}.${network.domain}`] : [];
}

function writeResolvConf(log: (line: string) => void, { name, root, network, options, links }: Telling): void {
  const says = options.dns.length + options.dnsSearch.length + options.dnsOption.length > 0;
  if (options.resolvConf === 'none' || (!network && !says)) return;
  const [domain = null] = linkDomain(name, network, links);
  const wanted = containerResolvConf({ own: options, network, linkDomain: domain, host: hostResolver() });
  if (!wanted) {
    log('resolv.conf: nobody to ask: the host has only servers on its loopback; `dns` names others');
    return;
  }
  const force = options.resolvConf === 'force';
  const result = writeBelowRoot(root, ['etc'], 'resolv.conf', renderResolvConf(wanted), { force });
  left(log, 'resolv.conf', result);
}

/** The host's own: the servers that it asks in the end, search and options as its file says. */
function hostResolver(): ResolvConf {
  const { search, options } = parseResolvConf(readText(RESOLV_CONF) ?? '');
  return { nameservers: parseResolvConf(readText(UPSTREAMS) ?? '').nameservers, search, options };
}

/** Whether /etc/hosts has a block of ours now. */
function writeHosts(
  log: (line: string) => void,
  { root, attachments, network, options, links, before }: Telling,
): boolean {
  const lines = hostsLines({
    hostname: options.hostname,
    address: attachments[0]?.address ?? null,
    gateway: network?.address ?? null,
    extraHost: network ? overlay(options, network.containers).extraHost : options.extraHost,
    links,
  });
  if (lines.length === 0 && !before?.hosts) return false;
  // First: the first line that has a name counts.
  const edit = (text: string | null) =>
    lines.length > 0 ? withBlock(text ?? HOSTS, lines, 'top') : withoutBlock(text ?? HOSTS);
  left(log, 'hosts', writeBelowRoot(root, ['etc'], 'hosts', edit));
  return lines.length > 0;
}

/** Sets the hostname, or puts the file back. Returns what the file held before ours; undefined when it is not ours. */
function writeHostname(
  exec: Exec,
  log: (line: string) => void,
  { name, pid, root, options, before }: Telling,
): string | null | undefined {
  const write = (text: string): void => left(log, 'hostname', writeBelowRoot(root, ['etc'], 'hostname', text));
  const earlier = before?.hostname;
  if (options.hostname === null) {
    // Where there was none, what LXC calls it by itself.
    if (earlier !== undefined) write(earlier ?? `${name}\n`);
    return undefined;
  }
  const found = earlier === undefined ? readBelowRoot(root, ['etc'], 'hostname', MAX_HOSTNAME_FILE) : earlier;
  write(`${options.hostname}\n`);
  if (readlinkSync(`/proc/${pid}/ns/uts`) === readlinkSync('/proc/self/ns/uts'))
    log("hostname: the container has the host's own (lxc.namespace.keep = uts): left as it is");
  else setHostname(exec, pid, options.hostname);
  return found;
}

function setHostname(exec: Exec, pid: number, hostname: string): void {
  const fd = openSync(`/proc/${pid}/ns/uts`, 'r');
  try {
    must(exec, 'nsenter', ['--uts=/proc/self/fd/3', 'hostname', hostname], { fd });
  } finally {
    closeSync(fd);
  }
}

function left(log: (line: string) => void, file: string, { outcome, reason }: WriteResult): void {
  if (outcome === 'left') log(`/etc/${file} in the container is left as it is: ${reason}`);
}

/** What a container can do without: a failure is logged and the start goes on. */
export function convenience(log: (line: string) => void, what: string, action: () => void): void {
  try {
    action();
  } catch (error) {
    log(`${what}: ${error instanceof Error ? error.message : error}`);
  }
}
