/** Starting, stopping and reloading the networks' dnsmasq daemons. */
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { NethooksError } from '../errors.ts';
import type { DnsmasqFact } from '../model/facts.ts';
import { dnsmasqBridge, dnsmasqConf, dnsmasqPid } from '../model/paths.ts';
import type { DnsmasqStep } from '../model/step.ts';
import { wayOut } from '../plan/host/port-holders.ts';
import { type Exec, failure } from './exec.ts';
import { readText, writeAtomically } from './files.ts';
import { type Listener, listeners } from './listeners.ts';
import { commandLine, parentOf, startTime } from './process.ts';
import { pause } from './sleep.ts';

/**
 * A network's dnsmasq as it is.
 * @param expected whether one is to run: then all processes are looked at before there is none
 */
export function dnsmasqFact(network: string, expected: boolean): DnsmasqFact {
  const conf = readText(dnsmasqConf(network));
  const pid = dnsmasqPidOf(network, expected);
  if (pid === null) return { conf, pid, noted: false, outdated: null, hung: false };
  const noted = readText(dnsmasqPid(network))?.trim() === String(pid);
  const outdated = watchesOthers(pid, conf) ? 'directories' : isOnOtherBridge(network) ? 'bridge' : null;
  return { conf, pid, noted, outdated, hung: stateOf(pid) === 'T' };
}

/** The pid of a network's dnsmasq; null when it does not run. A pid that meanwhile is somebody else's does not count. */
function dnsmasqPidOf(network: string, search = true): number | null {
  const pid = Number((readText(dnsmasqPid(network)) ?? '').trim());
  if (Number.isInteger(pid) && pid > 1 && isDnsmasqOf(network, pid)) return pid;
  if (!search) return null;
  // Its file is gone, but it may be there. Not one that runs in a container, nor the child that calls its dhcp-script.
  const found = readdirSync('/proc').filter(
    (name) => /^\d+$/.test(name) && isDnsmasqOf(network, Number(name)) && isInOurNetwork(name),
  );
  const first = found.find((name) => !found.includes(String(parentOf(Number(name)))));
  return first === undefined ? null : Number(first);
}

const isDnsmasqOf = (network: string, pid: number): boolean => commandLine(pid).includes(dnsmasqConf(network));

const isInOurNetwork = (pid: string): boolean => {
  try {
    return ['net', 'pid'].every(
      (kind) => readlinkSync(`/proc/${pid}/ns/${kind}`) === readlinkSync(`/proc/self/ns/${kind}`),
    );
  } catch {
    return false; // it has ended
  }
};

/** Of a process, as proc(5) has it: `T` is stopped. */
const stateOf = (pid: number): string => {
  const stat = textOf(`/proc/${pid}/stat`);
  return stat[stat.lastIndexOf(')') + 2] ?? '';
};

/** Of /proc; empty when the process has ended. */
function textOf(path: string): string {
  try {
    return readText(path) ?? '';
  } catch {
    return '';
  }
}

/** This soon (s) after its start it may not have come to all directories. */
const STARTING = 2;

/**
 * Whether one of its directories is missing, or has been made anew: it follows the inode that was there when it started (proc(5), fdinfo).
 */
function watchesOthers(pid: number, conf: string | null): boolean {
  if (conf === null) return false;
  const directories = [
    ...[...conf.matchAll(/^(?:hostsdir|dhcp-hostsdir|dhcp-optsdir)=(.+)$/gm)].map(([, path = '']) => path),
    ...[...conf.matchAll(/^resolv-file=(.+)$/gm)].map(([, path = '']) => dirname(path)),
  ];
  const inodes = directories.map((path) => statSync(path, { throwIfNoEntry: false })?.ino.toString(16));
  if (inodes.includes(undefined)) return true;
  const uptime = Number.parseFloat(textOf('/proc/uptime'));
  if (uptime - Number(startTime(pid)) / 100 < STARTING) return false;
  const watched = watchedBy(pid);
  return watched !== null && inodes.some((inode) => !watched.has(inode as string));
}

/** The inodes that a process watches, in hexadecimal; null where nobody can tell. */
function watchedBy(pid: number): Set<string> | null {
  try {
    const file = readdirSync(`/proc/${pid}/fd`).find(
      (fd) => readlinkSync(`/proc/${pid}/fd/${fd}`) === 'anon_inode:inotify',
    );
    if (file === undefined) return null;
    return new Set([...textOf(`/proc/${pid}/fdinfo/${file}`).matchAll(/ ino:([0-9a-f]+)/g)].map(([, ino = '']) => ino));
  } catch {
    return null;
  }
}

/** Whether its bridge was deleted, and another one has its name now. */
function isOnOtherBridge(network: string): boolean {
  const [then, now] = [readText(dnsmasqBridge(network)), readText(`/sys/class/net/${network}/ifindex`)];
  return then !== null && now !== null && then !== now;
}

/** Whether systemd is PID 1 (sd_booted(3)). */
const underSystemd = (): boolean => existsSync('/run/systemd/system');

/**
 * Starts a network's dnsmasq: as nethooks-dnsmasq@NETWORK.service under systemd, so that it is not in the control group of
 * whoever called us, else as its own daemon. It answers when this returns.
 * @param wait false to leave systemd to it and return at once
 * @throws NethooksError with dnsmasq's words, and the owner of the port if that was taken
 */
export async function startDnsmasq(exec: Exec, { network, directories }: DnsmasqStep, wait: boolean): Promise<void> {
  for (const directory of directories) mkdirSync(directory, { recursive: true });
  const [command, ...args] = underSystemd()
    ? ['systemctl', 'restart', ...(wait ? [] : ['--no-block']), unit(network)]
    : ['dnsmasq', '-C', dnsmasqConf(network)];
  const bridge = readText(`/sys/class/net/${network}/ifindex`);
  if (bridge !== null) writeAtomically(dnsmasqBridge(network), bridge);
  const result = await exec.start(command as string, args);
  if (result.code === 0) return;
  const words = underSystemd() ? lastWords(exec, network) : result.stderr;
  const said = failure(command as string, args, { ...result, stderr: words || result.stderr });
  throw new NethooksError(said + whoHolds(network, words));
}

/** How long a dnsmasq that ends may take to, beside many others that do. */
const END_MS = 10_000;

/**
 * Stops a network's dnsmasq; settled when it has gone. Closing its sockets is mostly waiting, so several are stopped side by side.
 * @param hung whether it does nothing any more, not even end
 */
export async function stopDnsmasq(exec: Exec, network: string, hung = false): Promise<void> {
  const stuck = hung ? dnsmasqPidOf(network) : null;
  if (stuck !== null) {
    process.kill(stuck, 'SIGKILL');
    await ended(network, stuck);
  }
  if (underSystemd()) {
    const args = ['stop', unit(network)];
    const result = await exec.start('systemctl', args);
    if (result.code !== 0) throw new NethooksError(failure('systemctl', args, result));
  }
  const pid = dnsmasqPidOf(network);
  if (pid !== null) {
    process.kill(pid, 'SIGTERM');
    await ended(network, pid);
  }
  for (const path of [dnsmasqPid(network), dnsmasqBridge(network)]) rmSync(path, { force: true });
}

async function ended(network: string, pid: number): Promise<void> {
  const deadline = performance.now() + END_MS;
  for (let ms = 2; !hasEnded(pid); ms = Math.min(1.5 * ms, 20)) {
    if (performance.now() > deadline)
      throw new NethooksError(`dnsmasq of network ${network} (pid ${pid}) does not end`);
    await pause(ms);
  }
}

/** dnsmasq removes its pid file, and the kernel its command line, before its sockets are closed. A zombie has closed them. */
function hasEnded(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8'); // the state is behind the name: proc(5)
    return /^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2));
  } catch {
    return true;
  }
}

/** Has a network's dnsmasq read its reservations and hosts files again. New files it notices by itself (ReloadStep). */
export function reloadDnsmasq(network: string): void {
  const pid = dnsmasqPidOf(network);
  if (pid !== null) process.kill(pid, 'SIGHUP');
}

const unit = (network: string): string => `nethooks-dnsmasq@${network}.service`;

/** What dnsmasq said when it failed as a service; systemctl only knows that it did. */
function lastWords(exec: Exec, network: string): string {
  const { stdout } = exec('journalctl', ['--quiet', '--output=cat', '--lines=10', `--unit=${unit(network)}`]);
  return /^dnsmasq: failed .*/m.exec(stdout)?.[0] ?? '';
}

/** Who has a port that dnsmasq could not get, and the way out. */
function whoHolds(network: string, words: string): string {
  if (!/Address already in use/.test(words)) return '';
  const port = /DHCP/.test(words) ? 67 : 53;
  const wanted = /listening socket for ([^\s%]+)(%\S+)?:/.exec(words)?.[1];
  const inTheWay = ({ address }: Listener): boolean =>
    wanted === undefined || ['0.0.0.0', '::', wanted].includes(address);
  const owners = listeners().filter((listener) => listener.port === port && inTheWay(listener));
  const names = [...new Set(owners.map(({ owner }) => owner))];
  const program = names.length === 1 ? names[0]?.split(' ')[0] : undefined;
  const way = wayOut(port, program, { name: network, address: wanted ?? '' });
  return `; port ${port} is held by ${names.join(', ') || 'an unknown process'}: ${way}`;
}
