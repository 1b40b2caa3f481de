/**
 * A container's own files: resolv.conf, hosts, hostname, drop-ins for systemd. Below its root only, which is hostile (rootfs.ts). It can
 * do without any of them: what goes wrong is logged.
 */
import { closeSync, openSync, readlinkSync } from 'node:fs';
import type { WrittenFiles } from '../model/attachment.ts';
import { parseResolvConf } from '../model/resolv-conf.ts';
import type { ContainerFilesStep } from '../model/step.ts';
import { withBlock, withoutBlock } from '../plan/marked-block.ts';
import { clearDropIns, writeDropIns } from './drop-ins.ts';
import { type Exec, must } from './exec.ts';
import { readBelowRoot, type WriteResult, writeBelowRoot } from './rootfs.ts';

type Log = (line: string) => void;

/** The files that a container without a hosts file gets, as Docker's have it. */
const HOSTS = '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n';
const MAX_HOSTNAME_FILE = 4096;
const MAX_RESOLV_CONF = 4096;

/** Writes them; returns what of ours stands in them now. */
export function writeContainerFiles(exec: Exec, log: Log, step: ContainerFilesStep): WrittenFiles {
  const written: WrittenFiles = { ...(step.before ?? { hosts: false }) };
  const root = `/proc/${step.pid}/root`;
  const { resolvConf, hosts } = step.files;
  bestEffort(log, 'resolv.conf', () => {
    delete written.resolvConf;
    if (!resolvConf) return;
    let before: string | null = null;
    const replacing = (text: string | null): string => {
      before = text;
      return resolvConf.text;
    };
    const result = writeBelowRoot(root, ['etc'], 'resolv.conf', replacing, resolvConf);
    report(log, 'resolv.conf', result);
    if (result.outcome === 'left') return;
    written.resolvConf = resolvConf.text;
    if (result.outcome === 'written' && written.replaced === undefined) written.replaced = kept(before);
  });
  bestEffort(log, '/etc/hosts', () => {
    if (hosts.length === 0 && !step.before?.hosts) return;
    // First: the first line that has a name counts.
    const edit = (text: string | null) =>
      hosts.length > 0 ? withBlock(text ?? HOSTS, hosts, 'top') : withoutBlock(text ?? HOSTS);
    report(log, 'hosts', writeBelowRoot(root, ['etc'], 'hosts', edit));
    written.hosts = hosts.length > 0;
  });
  bestEffort(log, 'hostname', () => {
    const before = writeHostname(exec, log, root, step);
    if (before === undefined) delete written.hostname;
    else written.hostname = before;
  });
  bestEffort(log, 'drop-ins', () => {
    const made = writeDropIns(log, root, step.files.dropIns, written.dropIns ?? []);
    if (made.length > 0) written.dropIns = made;
    else delete written.dropIns;
  });
  return written;
}

/** Of a resolv.conf that is replaced; nobody has a longer one. */
const kept = (text: string | null): string | null => (text !== null && text.length > MAX_RESOLV_CONF ? null : text);

/** A container that does not run. */
export interface StoppedContainer {
  name: string;
  /** The directory that is its root. */
  root: string;
  /** Our name servers. */
  servers: readonly string[];
}

/** Takes what is ours out of its files; returns what is left. */
export function clearContainerFiles(
  log: Log,
  { name, root, servers }: StoppedContainer,
  written: WrittenFiles,
): WrittenFiles {
  const left: WrittenFiles = { ...written };
  bestEffort(log, '/etc/hosts', () => {
    if (written.hosts)
      report(
        log,
        'hosts',
        writeBelowRoot(root, ['etc'], 'hosts', (text) => withoutBlock(text ?? HOSTS)),
      );
    left.hosts = false;
  });
  bestEffort(log, 'resolv.conf', () => {
    const { replaced } = written;
    delete left.replaced;
    if (typeof replaced !== 'string') return;
    // It may be somebody else's by now.
    const now = readBelowRoot(root, ['etc'], 'resolv.conf', MAX_RESOLV_CONF);
    if (now === null || !parseResolvConf(now).nameservers.some((server) => servers.includes(server))) return;
    report(log, 'resolv.conf', writeBelowRoot(root, ['etc'], 'resolv.conf', replaced));
  });
  bestEffort(log, 'hostname', () => {
    if (written.hostname === undefined) return;
    report(log, 'hostname', writeBelowRoot(root, ['etc'], 'hostname', written.hostname ?? `${name}\n`));
    delete left.hostname;
  });
  bestEffort(log, 'drop-ins', () => {
    clearDropIns(root, written.dropIns ?? []);
    delete left.dropIns;
  });
  return left;
}

/** Sets the hostname, or puts the file back. Returns what the file held before ours; undefined when it is not ours. */
function writeHostname(
  exec: Exec,
  log: Log,
  root: string,
  { name, pid, files, before }: ContainerFilesStep,
): string | null | undefined {
  const write = (text: string): void => report(log, 'hostname', writeBelowRoot(root, ['etc'], 'hostname', text));
  const earlier = before?.hostname;
  if (files.hostname === null) {
    // Where there was none, what LXC calls it by itself.
    if (earlier !== undefined) write(earlier ?? `${name}\n`);
    return undefined;
  }
  const found = earlier === undefined ? readBelowRoot(root, ['etc'], 'hostname', MAX_HOSTNAME_FILE) : earlier;
  write(`${files.hostname}\n`);
  if (readlinkSync(`/proc/${pid}/ns/uts`) === readlinkSync('/proc/self/ns/uts'))
    log("hostname: the container has the host's own (lxc.namespace.keep = uts): left as it is");
  else setHostname(exec, pid, files.hostname);
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

function report(log: Log, file: string, { outcome, reason }: WriteResult): void {
  if (outcome === 'left') log(`/etc/${file} in the container is left as it is: ${reason}`);
}

/** Does what a container can do without: a failure is logged and the rest goes on. */
export function bestEffort(log: Log, what: string, action: () => void): void {
  try {
    action();
  } catch (error) {
    log(`${what}: ${error instanceof Error ? error.message : error}`);
  }
}
