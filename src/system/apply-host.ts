/** Steps of the host and of an installation, for apply.ts. */
import { writeFileSync } from 'node:fs';
import { NethooksError } from '../errors.ts';
import {
  type DnsmasqStep,
  type FileStep,
  type NeighbourStep,
  type Rule,
  type RulesStep,
  ruleLine,
} from '../model/step.ts';
import type { Applying, HostStep } from './apply.ts';
import { reloadDnsmasq, startDnsmasq, stopDnsmasq } from './dnsmasq.ts';
import { type Exec, failure, must } from './exec.ts';
import { removeFile } from './files.ts';
import { changeLxcNet } from './lxc-net.ts';
import { changeDirectory, keepCopy, placeFile } from './place.ts';
import { applyResolver } from './resolver.ts';
import { applyUnits, isActive, systemdRuns } from './systemd.ts';

/** @throws NethooksError */
export function carryOutOnHost(how: Applying, step: HostStep): Promise<void> | undefined {
  const { exec } = how;
  switch (step.kind) {
    case 'nft':
      return program(exec, ['nft', '-f', '-'], step.script);
    case 'rules':
      return changeRules(exec, step);
    case 'dnsmasq':
      return daemon(how, step);
    case 'reload-dnsmasq':
      reloadDnsmasq(step.network);
      return undefined;
    case 'bridge-netfilter':
      loadBridgeNetfilter(exec);
      return undefined;
    case 'file':
      changeFile(exec, step);
      return undefined;
    case 'directory':
      changeDirectory(step);
      return undefined;
    case 'unit':
      applyUnits(exec, step);
      return undefined;
    case 'lxc-net':
      return changeLxcNet(exec, step);
    case 'neighbour':
      return neighbour(step, how);
    case 'resolver':
      applyResolver(exec, step);
      return undefined;
  }
}

async function neighbour({ program: name }: NeighbourStep, { exec, wait }: Applying): Promise<void> {
  const patience = wait ? [] : ['--no-block'];
  if (name === 'firewalld') return program(exec, ['firewall-cmd', '--quiet', '--reload'], '');
  if (name === 'dnsmasq' && !systemdRuns()) return program(exec, ['/etc/init.d/dnsmasq', 'restart'], '');
  if (name === 'dnsmasq') {
    // What we ask for is none of the attempts that systemd counts.
    exec('systemctl', ['reset-failed', 'dnsmasq.service']);
    return program(exec, ['systemctl', 'restart', ...patience, 'dnsmasq.service'], '');
  }
  // Whoever does not run reads them when it starts.
  const unit = `${name}.service`;
  if (systemdRuns() && isActive(exec, unit)) await program(exec, ['systemctl', 'reload', ...patience, unit], '');
}

function changeFile(exec: Exec, { path, content, mode, backup }: FileStep): void {
  if (backup !== undefined) keepCopy(exec, path, backup);
  if (content === null) removeFile(path);
  else placeFile(exec, path, content, mode);
}

async function daemon({ exec, wait }: Applying, step: DnsmasqStep): Promise<void> {
  if (step.action !== 'start') await stopDnsmasq(exec, step.network, step.hung);
  if (step.action !== 'stop') await startDnsmasq(exec, step, wait);
}

/** A program that must succeed. */
async function program(exec: Exec, [command = '', ...args]: string[], input: string): Promise<void> {
  const result = await exec.start(command, args, { input });
  if (result.code !== 0) throw new NethooksError(failure(command, args, result));
}

/** The module comes switched on for every bridge of the host, which would change other people's: off again at once. */
function loadBridgeNetfilter(exec: Exec): void {
  must(exec, 'modprobe', ['br_netfilter']);
  for (const family of ['iptables', 'ip6tables', 'arptables'])
    writeFileSync(`/proc/sys/net/bridge/bridge-nf-call-${family}`, '0');
}

async function changeRules(exec: Exec, step: RulesStep): Promise<void> {
  if (step.rules.length > 0) await program(exec, ['iptables-restore', '--noflush', '--wait'], rules(step));
  // `add` first: iptables of the old kind has no such table.
  const gone = 'add table ip mangle\ndelete table ip mangle\n';
  if (step.mangle && step.action === 'delete') await program(exec, ['nft', '-f', '-'], gone);
}

/** All rules in one transaction per table (iptables-restore(8)). */
function rules({ action, rules }: RulesStep): string {
  const section = (table: Rule['table']): string[] => {
    const lines = rules.filter((rule) => rule.table === table).map((rule) => ruleLine(action, rule));
    return lines.length > 0 ? [`*${table}`, ...lines, 'COMMIT'] : [];
  };
  return [...section('mangle'), ...section('filter'), ''].join('\n');
}
