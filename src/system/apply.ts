/** Carries a plan out. A step that fails takes the earlier ones back, last first; the first error is the one that is thrown. */
import { writeFileSync } from 'node:fs';
import { NethooksError } from '../errors.ts';
import { type DnsmasqStep, describe, type FileStep, type Rule, type RulesStep, type Step } from '../model/step.ts';
import { startDnsmasq, stopDnsmasq } from './dnsmasq.ts';
import { type Exec, failure, must } from './exec.ts';
import { removeFile, writeAtomically } from './files.ts';
import { changeDirectory, keepCopy, placeFile } from './place.ts';
import { applyResolver } from './resolver.ts';
import { applyUnits } from './systemd.ts';

/** What carrying out needs to know beside the steps. */
export interface Applying {
  exec: Exec;
  /** Is told what could not be taken back. */
  log: (line: string) => void;
  /** Whether to wait for services to be up; at boot that would be waiting for ourselves (systemd.special(7), networking). */
  wait: boolean;
}

/** Which kinds of earlier steps must have come to their end before one of a kind begins; what is left out runs side by side. */
const AFTER: Record<Step['kind'], Step['kind'][]> = {
  // A bridge goes after its daemon, and hands its packets to chains that are there.
  ip: ['ip', 'nft', 'rules', 'bridge-netfilter', 'dnsmasq'],
  // Rules name interfaces that need not be there yet. Side by side they would take the processor from what makes the bridge, and
  // with it from the daemon, which takes longest.
  nft: ['nft', 'rules'],
  rules: ['nft', 'rules'],
  'bridge-netfilter': [],
  sysctl: ['ip'],
  // Its configuration stands before it in a plan; nobody is sent to it before it answers, and all else is in place.
  dnsmasq: ['ip', 'file'],
  file: ['dnsmasq', 'nft', 'rules', 'file', 'directory', 'unit'],
  directory: ['file', 'directory', 'unit'],
  unit: ['file', 'directory', 'unit'],
  resolver: ['ip', 'dnsmasq', 'nft', 'rules'],
};

/**
 * @param onFailure `leave`: no step after one that fails is begun, and those before it stay. For an installation, which notes what
 *   it is about to do, so that the next run completes it or takes it back: that covers SIGKILL as well
 * @throws NethooksError naming the first step that failed; everything that was begun has been taken back then
 */
export async function applySteps(
  how: Applying,
  steps: Step[],
  onFailure: 'take back' | 'leave' = 'take back',
): Promise<void> {
  const begun: Step[] = [];
  const failures = new Map<Step, unknown>();
  const works: { kind: Step['kind']; work: Promise<void> }[] = [];
  for (const step of steps) {
    const earlier = works.filter(({ kind }) => AFTER[step.kind].includes(kind)).map(({ work }) => work);
    const work = Promise.all(earlier).then(async () => {
      if (failures.size > 0) return;
      begun.unshift(step);
      try {
        await begin(how, step);
      } catch (cause) {
        failures.set(step, cause);
      }
    });
    works.push({ kind: step.kind, work });
  }
  await Promise.all(works.map(({ work }) => work));
  if (failures.size === 0) return;
  if (onFailure === 'take back') await takeAllBack(how, begun, failures);
  const [cause] = failures.values();
  throw new NethooksError(cause instanceof Error ? cause.message : String(cause), 1, { cause });
}

/**
 * @param begun the last step first
 * @param failed they may have done half of their work, or nothing, so that they cannot be taken back is no news
 */
async function takeAllBack(how: Applying, begun: Step[], failed: ReadonlyMap<Step, unknown>): Promise<void> {
  for (const step of begun) await takeBack(failed.has(step) ? { ...how, log: () => undefined } : how, step);
  for (const step of begun) {
    // Daemons that ran before and were to be restarted, with the configuration files that are back by now.
    if (step.kind === 'dnsmasq' && step.action === 'restart') await takeBack(how, { ...step, action: 'stop' });
  }
}

/** Carries out a step. What needs no program of its own is done when this returns. */
function begin(how: Applying, step: Step): Promise<void> | undefined {
  switch (step.kind) {
    case 'ip':
      return batch(how.exec, step.commands);
    case 'nft':
      return program(how.exec, ['nft', '-f', '-'], step.script);
    case 'rules':
      return changeRules(how.exec, step);
    case 'dnsmasq':
      return daemon(how, step);
    default:
      apply(how, step);
      return undefined;
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
      changeFile(exec, step);
      break;
    case 'directory':
      changeDirectory(step);
      break;
    case 'unit':
      applyUnits(exec, step);
      break;
    case 'resolver':
      applyResolver(exec, step);
  }
}

function changeFile(exec: Exec, { path, content, mode, backup }: FileStep): void {
  if (backup !== undefined) keepCopy(exec, path, backup);
  if (content === null) removeFile(path);
  else if (typeof content === 'string' && mode === undefined) writeAtomically(path, content);
  else placeFile(exec, path, content, mode);
}

/** Stops a daemon at once; a promise for one that comes up. */
async function daemon({ exec, wait }: Applying, step: DnsmasqStep): Promise<void> {
  if (step.action !== 'start') stopDnsmasq(exec, step.network);
  if (step.action !== 'stop') await startDnsmasq(exec, step, wait);
}

async function takeBack(how: Applying, step: Step): Promise<void> {
  try {
    // Half of the step may never have been done: what cannot be undone must not keep the rest from it (ip(8), -force).
    await (step.kind === 'ip' ? batch(how.exec, step.undo, ['-force']) : begin(how, invert(step)));
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
      return invertFile(step);
    case 'directory':
      return { ...step, action: step.action === 'make' ? 'remove' : 'make' };
    case 'unit':
      return { ...step, action: UNIT_INVERSE[step.action] };
    case 'dnsmasq':
      // After a restart: stopped here, started again when its old configuration is back.
      return { ...step, action: step.action === 'stop' ? 'start' : 'stop' };
    case 'resolver':
      return { ...step, action: step.action === 'set' ? 'clear' : 'set' };
  }
}

/** A file whose text is not in the step comes back from its backup, or goes if there was none. */
export function invertFile({ path, before, content, backup }: FileStep): FileStep {
  const text = typeof content === 'object' ? null : content;
  return {
    kind: 'file',
    path,
    before: text,
    content: backup === undefined ? before : { from: backup, exact: true },
  };
}

/** What cannot be undone is followed by something that does no harm. */
const UNIT_INVERSE = {
  reload: 'reload',
  enable: 'disable',
  disable: 'enable',
  start: 'reload',
  forget: 'reload',
} as const;

async function batch(exec: Exec, commands: string[], options: string[] = []): Promise<void> {
  if (commands.length > 0) await program(exec, ['ip', ...options, '-batch', '-'], `${commands.join('\n')}\n`);
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
  const flag = { insert: '-I', append: '-A', delete: '-D' }[action];
  const section = (table: Rule['table']): string[] => {
    const lines = rules.filter((rule) => rule.table === table).map(({ chain, match }) => `${flag} ${chain} ${match}`);
    return lines.length > 0 ? [`*${table}`, ...lines, 'COMMIT'] : [];
  };
  return [...section('mangle'), ...section('filter'), ''].join('\n');
}
