/** Carries a plan out. A step that fails takes the earlier ones back, last first; the first error is the one that is thrown. */
import { readdirSync, writeFileSync } from 'node:fs';
import { NethooksError } from '../errors.ts';
import type { WrittenFiles } from '../model/attachment.ts';
import type {
  ConnectionsStep,
  ContainerFilesStep,
  FileStep,
  HairpinStep,
  InsideStep,
  IpStep,
  ReserveStep,
  Step,
} from '../model/step.ts';
import { changeElements } from './elements.ts';
import { changed, planned, takenBack } from './event.ts';
import { type Exec, type ExecResult, failure, wordsOf } from './exec.ts';
import { readText, removeFile, writeAtomically } from './files.ts';
import { type Ip, ipInside, ipOnHost } from './ip.ts';

/** What carrying out needs to know beside the steps. */
export interface Applying {
  exec: Exec;
  /** Is told what could not be taken back. */
  log: (line: string) => void;
  /** Whether to wait for services to be up; at boot that would be waiting for ourselves (systemd.special(7), networking). */
  wait: boolean;
  /** The network namespace of the attachment that the steps are for. */
  namespace?: Namespace;
}

/** A network namespace, and programs that were started for it ahead of their input. */
export interface Namespace {
  /** An open file descriptor. */
  fd: number;
  /** `ip` on the host and in the namespace, each for its first lines; whoever takes one sets it to null. */
  host: Ip | null;
  inside: Ip | null;
}

/** What came out of steps that others need to know. */
export interface Outputs {
  /** What `ip` in the namespace printed. */
  inside: string;
  /** What stands in the container's files now. */
  written: WrittenFiles | undefined;
}

/** Which kinds of earlier steps must have come to their end before one of a kind begins; what is left out runs in parallel. */
const AFTER: Record<Step['kind'], Step['kind'][]> = {
  // A bridge comes when its managers know that it is not theirs, goes after its daemon, and hands its packets to chains that are there.
  ip: ['ip', 'nft', 'rules', 'bridge-netfilter', 'dnsmasq', 'elements', 'lxc-net', 'neighbour'],
  // Rules name interfaces that need not be there yet. In parallel nft would compete for CPU with the bridge and delay dnsmasq.
  nft: ['nft', 'rules'],
  // firewalld empties what it reads its files for.
  rules: ['nft', 'rules', 'neighbour'],
  'bridge-netfilter': [],
  sysctl: ['ip'],
  // Its configuration stands before it in a plan. The resolver is switched only once dnsmasq answers.
  dnsmasq: ['ip', 'file', 'neighbour'],
  file: ['dnsmasq', 'nft', 'rules', 'file', 'directory', 'unit', 'lxc-net'],
  directory: ['file', 'directory', 'unit'],
  unit: ['file', 'directory', 'unit'],
  'lxc-net': ['file', 'unit', 'lxc-net'],
  neighbour: ['file', 'dnsmasq'],
  resolver: ['ip', 'dnsmasq', 'nft', 'rules', 'neighbour'],
  // The record says what the kernel is to have before it has it; a port leads to an address that answers.
  elements: ['file', 'ip', 'elements'],
  connections: ['elements'],
  hairpin: ['ip'],
  // One after the other: there may be as many as containers.
  inside: ['ip', 'inside'],
  reserve: ['file', 'reserve'],
  'container-files': [],
  'reload-dnsmasq': ['file'],
};

/** @throws NethooksError naming the first step that failed; everything that was begun has been taken back then */
export const applySteps = (how: Applying, steps: Step[]): Promise<Outputs> => new Transaction(how).run(steps);

/**
 * Carries out steps up to the first one that fails, and leaves those before it. For an installation, which notes what it is about to
 * do, so that the next run completes it or takes it back: that covers SIGKILL as well.
 * @throws NethooksError naming the step that failed
 */
export const applyUntilFailure = async (how: Applying, steps: Step[]): Promise<void> => {
  const { failures } = await carryOut(how, steps, { stop: true });
  throwFirst(failures);
};

/**
 * Carries out every step, whatever becomes of the others: what is taken down is not put up again because something is in the way.
 * @throws NethooksError naming the first step that failed, when all have been tried
 */
export const applyAll = async (how: Applying, steps: Step[]): Promise<void> => {
  const { failures } = await carryOut(how, steps, { stop: false });
  throwFirst(failures);
};

/** Steps that are all done, or none of them, with what was done for them elsewhere. */
export class Transaction {
  readonly how: Applying;
  private readonly undo: (() => Promise<void>)[] = [];

  constructor(how: Applying) {
    this.how = how;
  }

  /** Something that was done elsewhere, and goes back when a later step fails. */
  did(what: string, back: () => unknown): void {
    const change = { what };
    changed(change);
    this.undo.push(() =>
      attempt(this.how, what, async () => {
        await back();
        takenBack(change);
      }),
    );
  }

  /**
   * @param rest finds out what more there is to do while the programs of the first steps work
   * @throws NethooksError naming the first step that failed, or what `rest` throws; everything has been taken back then
   */
  async run(steps: Step[], rest?: () => Promise<Step[]>): Promise<Outputs> {
    const { begun, failures, outputs, refusal } = await carryOut(this.how, steps, { stop: true, rest });
    this.undo.push(async () => {
      const { takeAllBack } = await import('./undo.ts');
      await takeAllBack(this.how, begun, failures, outputs);
      for (const step of begun) takenBack(step);
    });
    if (failures.size === 0 && refusal === undefined) return outputs;
    await this.rollback();
    throwFirst(failures);
    throw refusal;
  }

  /** Takes everything back, the last first. Never fails. */
  async rollback(): Promise<void> {
    for (const back of this.undo.splice(0).reverse()) await back();
  }
}

/** What goes wrong while things are taken back keeps nothing else from it. */
export async function attempt(how: Applying, what: string, back: () => unknown): Promise<void> {
  try {
    await back();
  } catch (error) {
    how.log(`not taken back: ${what}: ${error instanceof Error ? error.message : error}`);
  }
}

interface CarriedOut {
  /** The last step first. */
  begun: Step[];
  failures: Map<Step, unknown>;
  outputs: Outputs;
  /** What `rest` threw. */
  refusal?: unknown;
}

interface Order {
  /** Whether to begin nothing more when a step has failed. */
  stop: boolean;
  rest?: (() => Promise<Step[]>) | undefined;
}

async function carryOut(how: Applying, steps: Step[], { stop, rest }: Order): Promise<CarriedOut> {
  const begun: Step[] = [];
  const failures = new Map<Step, unknown>();
  const outputs: Outputs = { inside: '', written: undefined };
  // Of a kind whose steps wait for each other the last one is enough: there may be thousands.
  const works = new Map<Step['kind'], Promise<void>[]>();
  const carry = async (step: Step): Promise<void> => {
    if (stop && failures.size > 0) return;
    begun.unshift(step);
    try {
      await begin(how, step, outputs);
      changed(step);
    } catch (cause) {
      failures.set(step, cause);
    }
  };
  const schedule = (more: Step[]): void => {
    for (const step of more) {
      planned(step);
      const { kind } = step;
      const earlier = AFTER[kind].flatMap((other) => works.get(other) ?? []);
      const work = earlier.length === 0 ? carry(step) : Promise.all(earlier).then(() => carry(step));
      works.set(kind, AFTER[kind].includes(kind) ? [work] : [...(works.get(kind) ?? []), work]);
    }
  };
  let refusal: unknown;
  schedule(steps);
  try {
    if (rest) schedule(await rest());
  } catch (error) {
    refusal = error;
  }
  await Promise.all([...works.values()].flat());
  return { begun, failures, outputs, refusal };
}

function throwFirst(failures: ReadonlyMap<Step, unknown>): void {
  const [cause] = failures.values();
  if (cause === undefined) return;
  throw cause instanceof NethooksError
    ? cause
    : new NethooksError(cause instanceof Error ? cause.message : String(cause), 1, { cause });
}

/** Carries out a step. What waits for no program and no daemon is done when this returns. */
export function begin(how: Applying, step: Step, outputs: Outputs): Promise<void> | undefined {
  switch (step.kind) {
    case 'ip':
      return changeLinks(how, step, outputs);
    case 'elements':
      return changeElements(how.exec, step);
    case 'connections':
      return endConnections(how, step);
    case 'hairpin':
      return setHairpin(how, step, outputs);
    case 'container-files':
      return changeContainerFiles(how, step, outputs);
    case 'inside':
    case 'reserve':
      return heal(how, step);
    case 'sysctl':
      writeFileSync(`/proc/sys/${step.key}`, step.value);
      return undefined;
    case 'file':
      return changeFile(how, step);
    default:
      return onHost(how, step);
  }
}

/** Most are small texts; what is copied, kept or has a mode is of an installation. */
function changeFile(how: Applying, step: FileStep): Promise<void> | undefined {
  const { path, content, mode, backup } = step;
  if (backup !== undefined || mode !== undefined || (content !== null && typeof content !== 'string'))
    return onHost(how, step);
  if (content === null) removeFile(path);
  else writeAtomically(path, content);
  return undefined;
}

/** Steps of the host and of an installation. */
export type HostStep = Extract<
  Step,
  {
    kind:
      | 'nft'
      | 'neighbour'
      | 'rules'
      | 'dnsmasq'
      | 'reload-dnsmasq'
      | 'bridge-netfilter'
      | 'file'
      | 'directory'
      | 'unit'
      | 'lxc-net'
      | 'resolver';
  }
>;

/** What no start needs, as a rule: a hook does not load it. */
async function onHost(how: Applying, step: HostStep): Promise<void> {
  const { carryOutOnHost } = await import('./apply-host.ts');
  await carryOutOnHost(how, step);
}

/** What no start needs, either. */
async function heal(how: Applying, step: InsideStep | ReserveStep): Promise<void> {
  const { mendInside, reserve } = await import('./heal.ts');
  if (step.kind === 'reserve') reserve(step);
  else await mendInside(how, step);
}

/** Loaded while `ip` works. */
async function changeContainerFiles(
  { exec, log }: Applying,
  step: ContainerFilesStep,
  outputs: Outputs,
): Promise<void> {
  const { writeContainerFiles } = await import('./container-files.ts');
  outputs.written = writeContainerFiles(exec, log, step);
}

/** Loaded only where there are rules. */
async function endConnections({ exec, log }: Applying, { before, after }: ConnectionsStep): Promise<void> {
  const { forgetConnections } = await import('./connections.ts');
  forgetConnections(exec, before, after, log);
}

/** Gives an `ip` its lines: one that waits for them where there is one, and each but once. */
async function changeLinks(how: Applying, step: IpStep, outputs: Outputs): Promise<void> {
  const { namespace } = how;
  const inside = step.where === 'namespace';
  // What removes links may come before what one of them was started for.
  const ready = step.lenient ? null : inside ? namespace?.inside : namespace?.host;
  if (!ready || !namespace) {
    outputs.inside += await batch(how, step);
    return;
  }
  namespace[inside ? 'inside' : 'host'] = null;
  const result = await ready(step.commands);
  if (result.code !== 0) throw new IpError(step, result);
  if (inside) outputs.inside += result.stdout;
}

/** A line of `ip -batch` that the kernel refused. */
export class IpError extends NethooksError {
  readonly stderr: string;
  /** Its number, from 1 on; 0 when ip did not say. */
  readonly line: number;
  /** What it was; empty when ip did not say. */
  readonly command: string;
  /** Why, in the kernel's words. */
  readonly reason: string;

  constructor({ commands }: IpStep, result: ExecResult) {
    const line = Number(/Command failed \S*:(\d+)/.exec(result.stderr)?.[1] ?? 0);
    const command = commands[line - 1] ?? '';
    super(failure('ip', command === '' ? ['-batch', '-'] : [command], result));
    this.stderr = result.stderr;
    this.line = line;
    this.command = command;
    this.reason = wordsOf(result);
  }
}

/** Whether ip's words are only about devices that are not there. */
const onlyMissing = (stderr: string): boolean =>
  stderr.split('\n').every((line) => /^(Cannot find device|Command failed|$)/.test(line));

/** @returns what it printed */
export async function batch({ exec, namespace }: Applying, step: IpStep, given: string[] = []): Promise<string> {
  if (step.commands.length === 0) return '';
  const options = step.lenient ? ['-force', ...given] : given;
  const input = `${step.commands.join('\n')}\n`;
  // Lines on the host may name the namespace, too: it is descriptor 3 of whoever runs them.
  const ip = namespace
    ? (step.where === 'namespace' ? ipInside : ipOnHost)(exec, namespace.fd, ...options)(step.commands)
    : exec.start('ip', [...options, '-batch', '-'], { input });
  const result = await ip;
  const missing = step.lenient === true && onlyMissing(result.stderr);
  if (result.code !== 0 && !missing) throw new IpError(step, result);
  return step.where === 'namespace' ? result.stdout : '';
}

function setHairpin(how: Applying, { bridge, port }: HairpinStep, { inside }: Outputs): Promise<void> | undefined {
  const index = port ?? pairedWith(inside);
  const ports = `/sys/class/net/${bridge}/brif`;
  const name = readdirSync(ports).find(
    (candidate) => Number(readText(`/sys/class/net/${candidate}/ifindex`)?.trim()) === index,
  );
  const mode = `/sys/class/net/${name}/brport/hairpin_mode`;
  if (name === undefined || readText(mode)?.trim() !== '0') return undefined;
  try {
    writeFileSync(mode, '1');
    return undefined;
  } catch {
    // Where the host is a container itself /sys may be read-only; netlink is not, but costs a process.
    const commands = [`link set dev ${name} type bridge_slave hairpin on`];
    return batch(how, { kind: 'ip', commands, undo: [] }).then(() => undefined);
  }
}

/** By the name of each interface in `ip link show`, the ifindex of the host's interface that it is paired with. */
export const portsIn = (shown: string): ReadonlyMap<string, number> =>
  new Map([...shown.matchAll(/^\d+: ([^@\s]+)@if(\d+):/gm)].map(([, name = '', index]) => [name, Number(index)]));

/** ifindex of the host's interface that the first one in `ip link show` is paired with (`eth0@if12`); null when it shows none. */
export const pairedWith = (shown: string): number | null => Number(/@if(\d+):/.exec(shown)?.[1] ?? Number.NaN) || null;
