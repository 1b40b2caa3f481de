/** Carries a plan out. A step that fails takes the earlier ones back, last first; the first error is the one that is thrown. */
import { writeFileSync } from 'node:fs';
import { NethooksError } from '../errors.ts';
import { describe, type Rule, type RulesStep, type Step } from '../plan/step.ts';
import { startDnsmasq, stopDnsmasq } from './dnsmasq.ts';
import { type Exec, must } from './exec.ts';
import { removeFile, writeAtomically } from './files.ts';
import { applyResolver } from './resolver.ts';

/** What carrying out needs to know beside the steps. */
export interface Applying {
  exec: Exec;
  /** Is told what could not be taken back. */
  log: (line: string) => void;
  /** Whether to wait for services to be up; at boot that would be waiting for ourselves (systemd.special(7), networking). */
  wait: boolean;
}

/** @throws NethooksError naming the step that failed; everything before it has been taken back then */
export async function applySteps(how: Applying, steps: Step[]): Promise<void> {
  const done: Step[] = [];
  const daemons: Promise<void>[] = [];
  try {
    for (const step of steps) {
      // Daemons come up while rules are written, but nobody is sent to them before they answer.
      if (step.kind === 'resolver' || step.kind === 'file') await Promise.all(daemons);
      done.unshift(step);
      const daemon = apply(how, step);
      if (daemon) daemons.push(daemon);
    }
    await Promise.all(daemons);
  } catch (cause) {
    await Promise.allSettled(daemons);
    await takeAllBack(how, done);
    throw new NethooksError(cause instanceof Error ? cause.message : String(cause), 1, { cause });
  }
}

/** @param done the last step first: it may have done half of its work, or nothing, so that it cannot be taken back is no news */
async function takeAllBack(how: Applying, done: Step[]): Promise<void> {
  for (const step of done) await takeBack(step === done[0] ? { ...how, log: () => undefined } : how, step);
  for (const step of done) {
    // Daemons that ran before and were to be restarted, with the configuration files that are back by now.
    if (step.kind === 'dnsmasq' && step.action === 'restart') await takeBack(how, { ...step, action: 'stop' });
  }
}

/** Carries one step out; a promise for what goes on in the background. */
function apply({ exec, wait }: Applying, step: Step): Promise<void> | undefined {
  switch (step.kind) {
    case 'ip':
      batch(exec, step.commands);
      break;
    case 'sysctl':
      writeFileSync(`/proc/sys/${step.key}`, step.value);
      break;
    case 'nft':
      must(exec, 'nft', ['-f', '-'], { input: step.script });
      break;
    case 'bridge-netfilter':
      loadBridgeNetfilter(exec);
      break;
    case 'rules':
      rules(exec, step);
      break;
    case 'file':
      if (step.content === null) removeFile(step.path);
      else writeAtomically(step.path, step.content);
      break;
    case 'dnsmasq':
      if (step.action !== 'start') stopDnsmasq(exec, step.network);
      return step.action === 'stop' ? undefined : startDnsmasq(exec, step, wait);
    case 'resolver':
      applyResolver(exec, step);
  }
  return undefined;
}

async function takeBack(how: Applying, step: Step): Promise<void> {
  try {
    // Half of the step may never have been done: what cannot be undone must not keep the rest from it (ip(8), -force).
    if (step.kind === 'ip') batch(how.exec, step.undo, ['-force']);
    else await apply(how, invert(step));
  } catch (error) {
    how.log(`not taken back: ${describe(step)[0]}: ${error instanceof Error ? error.message : error}`);
  }
}

/** The step that undoes a step. */
function invert(step: Step): Step {
  switch (step.kind) {
    case 'ip':
      return { ...step, commands: step.undo, undo: step.commands };
    case 'sysctl':
      return { ...step, value: step.before, before: step.value };
    case 'nft':
      return { ...step, script: step.undo, undo: step.script };
    case 'bridge-netfilter':
      return { kind: 'ip', commands: [], undo: [] };
    case 'rules':
      if (step.action !== 'delete') return { ...step, action: 'delete' };
      // To the head and in the order in which they were: behind a rule that drops everything they would be for nothing.
      return { ...step, action: 'insert', rules: [...step.rules].reverse() };
    case 'file':
      return { ...step, content: step.before, before: step.content };
    case 'dnsmasq':
      // After a restart: stopped here, started again when its old configuration is back.
      return { ...step, action: step.action === 'stop' ? 'start' : 'stop' };
    case 'resolver':
      return { ...step, action: step.action === 'set' ? 'clear' : 'set' };
  }
}

function batch(exec: Exec, commands: string[], options: string[] = []): void {
  if (commands.length > 0) must(exec, 'ip', [...options, '-batch', '-'], { input: `${commands.join('\n')}\n` });
}

/** The module comes switched on for every bridge of the host, which would change other people's: off again at once. */
function loadBridgeNetfilter(exec: Exec): void {
  must(exec, 'modprobe', ['br_netfilter']);
  for (const family of ['iptables', 'ip6tables', 'arptables'])
    writeFileSync(`/proc/sys/net/bridge/bridge-nf-call-${family}`, '0');
}

/** All rules in one transaction per table. */
function rules(exec: Exec, { action, rules }: RulesStep): void {
  const flag = { insert: '-I', append: '-A', delete: '-D' }[action];
  const section = (table: Rule['table']): string[] => {
    const lines = rules.filter((rule) => rule.table === table).map(({ chain, match }) => `${flag} ${chain} ${match}`);
    return lines.length > 0 ? [`*${table}`, ...lines, 'COMMIT'] : [];
  };
  const input = [...section('mangle'), ...section('filter'), ''].join('\n');
  must(exec, 'iptables-restore', ['--noflush', '--wait'], { input });
}
