/** Starting, stopping and reloading the networks' dnsmasq daemons. */
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { NethooksError } from '../errors.ts';
import type { DnsmasqFact } from '../model/facts.ts';
import { dnsmasqConf, dnsmasqPid } from '../model/paths.ts';
import type { DnsmasqStep } from '../model/step.ts';
import { type Exec, failure } from './exec.ts';
import { readText } from './files.ts';
import { type Listener, listeners } from './listeners.ts';
import { pause } from './sleep.ts';

/** A network's dnsmasq as it is. */
export function dnsmasqFact(network: string): DnsmasqFact {
  return { conf: readText(dnsmasqConf(network)), pid: dnsmasqPidOf(network) };
}

/** The pid of a network's dnsmasq; null when it does not run. A pid that meanwhile is somebody else's does not count. */
function dnsmasqPidOf(network: string): number | null {
  const pid = Number((readText(dnsmasqPid(network)) ?? '').trim());
  if (!Number.isInteger(pid) || pid <= 1) return null;
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes(dnsmasqConf(network)) ? pid : null;
  } catch {
    return null;
  }
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
  const result = await exec.start(command as string, args);
  if (result.code === 0) return;
  const words = underSystemd() ? lastWords(exec, network) : result.stderr;
  const said = failure(command as string, args, { ...result, stderr: words || result.stderr });
  throw new NethooksError(said + whoHolds(network, words));
}

/** How long a dnsmasq that ends may take to, beside many others that do. */
const END_MS = 10_000;

/** Stops a network's dnsmasq; settled when it has gone. Closing its sockets is mostly waiting, so several are stopped side by side. */
export async function stopDnsmasq(exec: Exec, network: string): Promise<void> {
  if (underSystemd()) {
    const args = ['stop', unit(network)];
    const result = await exec.start('systemctl', args);
    if (result.code !== 0) throw new NethooksError(failure('systemctl', args, result));
  }
  const pid = dnsmasqPidOf(network);
  if (pid !== null) {
    process.kill(pid, 'SIGTERM');
    const deadline = performance.now() + END_MS;
    for (let ms = 2; !hasEnded(pid); ms = Math.min(1.5 * ms, 20)) {
      if (performance.now() > deadline)
        throw new NethooksError(`dnsmasq of network ${network} (pid ${pid}) does not end`);
      await pause(ms);
    }
  }
  rmSync(dnsmasqPid(network), { force: true });
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
  const wanted = /listening socket for (\S+):/.exec(words)?.[1];
  const inTheWay = ({ address }: Listener): boolean =>
    wanted === undefined || ['0.0.0.0', '::', wanted].includes(address);
  const owners = listeners().filter((listener) => listener.port === port && inTheWay(listener));
  const names = [...new Set(owners.map(({ owner }) => owner))].join(', ') || 'an unknown process';
  return `; port ${port} is held by ${names}: end it, keep it off ${network}, or set ${port === 67 ? 'dhcp' : 'dns'} = false`;
}
