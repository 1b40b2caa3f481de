/** Carries a plan out. A step that fails takes the earlier ones back, last first; the first error is the one that is thrown. */
import { writeFileSync } from 'node:fs';
import { NethooksError } from '../errors.ts';
import { type DnsmasqStep, describe, type Rule, type RulesStep, type Step } from '../plan/step.ts';
import { startDnsmasq, stopDnsmasq } from './dnsmasq.ts';
import { type Exec, failure, must } from './exec.ts';
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
    let ready: (Program | null)[] = [];
    for (const [index, step] of steps.entries()) {
      // Daemons come up while rules are written, but nobody is sent to them before they answer.
      if (step.kind === 'resolver' || step.kind === 'file') await Promise.all(daemons);
      done.unshift(step);
      const program = ready[index] ?? prepare(how.exec, step);
      if (program) {
        const running = program();
        try {
          // The programs of later steps load while the first one works.
          if (ready.length === 0) ready = steps.map((later, at) => (at > index ? prepare(how.exec, later) : null));
        } finally {
          await running;
        }
      } else if (step.kind === 'dnsmasq') daemons.push(heard(daemon(how, step)));
      else apply(how, step);
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

/** A program that has been started and waits to do its work. */
type Program = () => Promise<void>;

/** The program that carries a step out; null for a step that needs none, or is a daemon. */
function prepare(exec: Exec, step: Step): Program | null {
  switch (step.kind) {
    case 'ip':
      return batch(exec, step.commands);
    case 'nft':
      return program(exec, ['nft', '-f', '-'], step.script);
    case 'rules':
      return program(exec, ['iptables-restore', '--noflush', '--wait'], rules(step));
    default:
      return null;
  }
}

/** Carries out a step that needs no program of its own. */
function apply({ exec }: Applying, step: Step): void {
  switch (step.kind) {
    case 'sysctl':
      writeFileSync(`/proc/sys/${step.key}`, step.value);
      break;
    case 'bridge-netfilter':
      loadBridgeNetfilter(exec);
      break;
    case 'file':
      if (step.content === null) removeFile(step.path);
      else writeAtomically(step.path, step.content);
      break;
    case 'resolver':
      applyResolver(exec, step);
  }
}

/** What fails in the background is said when it is waited for, not before. */
function heard(promise: Promise<void>): Promise<void> {
  promise.catch(() => undefined);
  return promise;
}

/** Stops a daemon at once; a promise for one that comes up. */
async function daemon({ exec, wait }: Applying, step: DnsmasqStep): Promise<void> {
  if (step.action !== 'start') stopDnsmasq(exec, step.network);
  if (step.action !== 'stop') await startDnsmasq(exec, step, wait);
}

async function takeBack(how: Applying, step: Step): Promise<void> {
  try {
    // Half of the step may never have been done: what cannot be undone must not keep the rest from it (ip(8), -force).
    const undo = invert(step);
    const program = step.kind === 'ip' ? batch(how.exec, step.undo, ['-force']) : prepare(how.exec, undo);
    if (program) await program();
    else if (undo.kind === 'dnsmasq') await daemon(how, undo);
    else apply(how, undo);
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

function batch(exec: Exec, commands: string[], options: string[] = []): Program | null {
  return commands.length > 0 ? program(exec, ['ip', ...options, '-batch', '-'], `${commands.join('\n')}\n`) : null;
}

/** A program that must succeed, started now and given its input later. */
function program(exec: Exec, [command = '', ...args]: string[], input: string): Program {
  const give = exec.prepare(command, args);
  return async () => {
    const result = await give(input);
    if (result.code !== 0) throw new NethooksError(failure(command, args, result));
  };
}

/** The module comes switched on for every bridge of the host, which would change other people's: off again at once. */
function loadBridgeNetfilter(exec: Exec): void {
  must(exec, 'modprobe', ['br_netfilter']);
  for (const family of ['iptables', 'ip6tables', 'arptables'])
    writeFileSync(`/proc/sys/net/bridge/bridge-nf-call-${family}`, '0');
}

/** All rules in one transaction per table (iptables-restore(8)). */
function rules({ action, rules }: RulesStep): string {
  const flag = { insert: '-I', append: '-A', delete: '-D' }[action];
  const section = (table: Rule['table']): string[] => {
    const lines = rules.filter((rule) => rule.table === table).map(({ chain, match }) => `${flag} ${chain} ${match}`);
    return lines.length > 0 ? [`*${table}`, ...lines, 'COMMIT'] : [];
  };
  return [...section('mangle'), ...section('filter'), ''].join('\n');
}
