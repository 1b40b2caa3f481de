/**
 * What a plan is made of: plain data, one step per effect, in the order of application. src/system/apply.ts carries a step out
 * and knows how to take it back.
 */
import type { WrittenFiles } from './attachment.ts';
import type { FileCopy } from './file-copy.ts';
import type { Policy, PolicyElements } from './policy.ts';

export interface IpStep {
  kind: 'ip';
  /** Lines for `ip -batch`. */
  commands: string[];
  /** Lines that take them back. */
  undo: string[];
  /** In the network namespace of the attachment that is planned; else on the host. */
  where?: 'namespace';
  /** The first line makes what `undo` removes: where that one is refused, it is somebody else's. */
  makes?: true;
  /** Whether something that is not there any more is no failure, as what removes links goes by. */
  lenient?: true;
}

export interface SysctlStep {
  kind: 'sysctl';
  key: string;
  before: string;
  value: string;
  /** Never taken back: others may have come to rely on it meanwhile. */
  shared?: true;
}

export interface NftStep {
  kind: 'nft';
  /** One transaction in nft(8) syntax. */
  script: string;
  /** One transaction that puts back what was there. */
  undo: string;
}

/** Loads br_netfilter, which is never unloaded: others may have come to need it. Bridges that do not ask for it stay without. */
export interface BridgeNetfilterStep {
  kind: 'bridge-netfilter';
}

/** A rule in the words that iptables-save prints. */
export interface Rule {
  table: 'mangle' | 'filter';
  chain: string;
  match: string;
  /** Where in the chain it is inserted, or was: 1 is its head (iptables(8), `--insert`). */
  number?: number;
}

export interface RulesStep {
  kind: 'rules';
  /** `insert` puts each rule at its number, one after the other; `append` puts them behind everyone else's. */
  action: 'insert' | 'append' | 'delete';
  rules: Rule[];
  /** They are the first in iptables' table `mangle`, or the last: iptables makes it for them, but never removes it. */
  mangle?: boolean;
}

export interface FileStep {
  kind: 'file';
  path: string;
  /** null: the file is not there. */
  before: string | null;
  /** null: the file is to be removed. */
  content: string | null | FileCopy;
  /**
   * Permissions of the new file; default: those of the file that it replaces, else 0644. Only for steps of which one process at a
   * time carries out any: the new file is PATH.new until it is complete, so that a run after a SIGKILL overwrites what is left.
   */
  mode?: number;
  /** Where an exact copy of what is there now is kept, made before the file is touched, unless an earlier run has made it. */
  backup?: string;
  /** Never taken back: it is about more than what the plan is for. */
  shared?: true;
}

export interface DirectoryStep {
  kind: 'directory';
  path: string;
  /** `make` also makes missing parents; `remove` leaves a directory that is not empty; `purge` removes all that is in it, too. */
  action: 'make' | 'remove' | 'purge';
  /** Names in the directory that `purge` leaves, and with them the directory. */
  except?: string[];
}

/** What systemctl(1) is asked to do; only where systemd runs. */
export interface UnitStep {
  kind: 'unit';
  /** `reload` has systemd read all unit files again, `disable` also stops, `forget` is for units whose files are gone. */
  action: 'reload' | 'enable' | 'disable' | 'start' | 'forget';
  units: string[];
}

export interface DnsmasqStep {
  kind: 'dnsmasq';
  action: 'start' | 'restart' | 'stop';
  network: string;
  /** Directories that it watches: it follows only those that are there when it starts. */
  directories: string[];
  /** It does not answer, and so will not end when it is asked to. */
  hung?: true;
}

/** What becomes of Debian's lxc-net: `end` ends its dnsmasq, `clean` removes its rules and marks, `start` brings all of it back. */
export interface LxcNetStep {
  kind: 'lxc-net';
  action: 'end' | 'clean' | 'start';
  bridge: string;
  /** What there is of it. */
  left: {
    dnsmasq: number | null;
    tables: readonly string[];
    rules: readonly { table: string; line: string }[];
    marks: readonly string[];
  };
}

/** Has a program of somebody else's read its files, if it runs; dnsmasq does so only when it starts. */
export interface NeighbourStep {
  kind: 'neighbour';
  program: 'firewalld' | 'dnsmasq' | 'systemd-networkd' | 'NetworkManager';
}

export interface ResolverStep {
  kind: 'resolver';
  how: 'resolved' | 'resolvconf';
  action: 'set' | 'clear';
  bridge: string;
  address: string;
  domains: string[];
}

/** What one attachment has in the sets and maps of our table, from before to after, in one transaction. */
export interface ElementsStep {
  kind: 'elements';
  remove: PolicyElements;
  add: PolicyElements;
  /** Bridges that the rules must keep apart, or the transaction fails: a container must not run without. */
  guard: string[];
  /** What makes the table where it is missing and nothing else would: null where `up` is to bring it. */
  setup: string | null;
}

/** Ends connections that a policy allowed and the next one does not (conntrack(8)). Never fails. */
export interface ConnectionsStep {
  kind: 'connections';
  before: Policy | null;
  after: Policy | null;
}

/** Sends what a container asks the host for, and the host translates to itself, back through its own port of the bridge. */
export interface HairpinStep {
  kind: 'hairpin';
  bridge: string;
  /** ifindex of the port; null for the one that the namespace's first interface says it is paired with. */
  port: number | null;
}

/** A container's own files, below its root. What goes wrong is logged: it starts without. */
export interface ContainerFilesStep {
  kind: 'container-files';
  /** The container's name, which is its hostname unless something else says so. */
  name: string;
  /** pid of its init. */
  pid: number;
  files: ContainerFiles;
  /** What we wrote at an earlier time. */
  before: WrittenFiles | undefined;
}

/** What a container's files are to say. */
export interface ContainerFiles {
  /** null: left as it is. `force`: also over a symbolic link. */
  resolvConf: { text: string; force: boolean } | null;
  /** Our lines in /etc/hosts; none takes out those that are there. */
  hosts: string[];
  /** null: as LXC's configuration has it. */
  hostname: string | null;
  /** For systemd's daemons, where the container has them. */
  dropIns: DropIn[];
}

/** A file `/etc/systemd/DIRECTORY/nethooks.conf`. */
export interface DropIn {
  daemon: 'resolved' | 'networkd';
  directory: string;
  text: string;
  /** A file below /etc/systemd that goes before, if it has the words. */
  unless?: { file: string; says: string };
}

/** Has a network's dnsmasq read its files anew: it never forgets a reservation by itself nor, before 2.87, a hosts file that goes. */
export interface ReloadStep {
  kind: 'reload-dnsmasq';
  network: string;
}

/** Brings back what a running container had inside. What goes wrong is logged: the others are mended all the same. */
export interface InsideStep {
  kind: 'inside';
  /** Whose it is. */
  about: string;
  namespace: NamespaceId;
  /** Lines for `ip -batch`. */
  commands: string[];
}

/** A network namespace as it was found: by the time of the step its path may lead to another one. */
export interface NamespaceId {
  path: string;
  /** Device and inode. */
  id: string;
}

/** Notes that somebody has an address, a host port, a name or a MAC, unless somebody else has come to have it (system/reservation-file.ts). */
export interface ReserveStep {
  kind: 'reserve';
  path: string;
  id: string;
  ifname: string;
}

export type Step =
  | InsideStep
  | ReserveStep
  | ElementsStep
  | ConnectionsStep
  | HairpinStep
  | ContainerFilesStep
  | ReloadStep
  | IpStep
  | SysctlStep
  | NftStep
  | BridgeNetfilterStep
  | RulesStep
  | FileStep
  | DirectoryStep
  | UnitStep
  | DnsmasqStep
  | LxcNetStep
  | NeighbourStep
  | ResolverStep;

/** What no step mends: a firewall that drops, a program on a port, a container that has to be restarted, an installation that lacks a file. */
export interface Fault {
  by: 'firewall' | 'port-holder' | 'container' | 'installation';
  text: string;
}

export interface Plan {
  steps: Step[];
  /** Worth knowing, nothing wrong. */
  warnings: string[];
  /** What does not work, and no step can mend. */
  faults?: Fault[];
  /** Why this must not be applied; empty when it may be. */
  refusals: string[];
}

/** What is to be said about a plan, the worst first. */
export const remarks = ({ faults = [], warnings }: Plan): string[] => [...faults.map(({ text }) => text), ...warnings];

/** What a step is about, in one line. */
export const headline = (step: Step): string => headlines(step)[0] ?? '';

/** One line about a step, for people. */
export function describe(step: Step): string[] {
  switch (step.kind) {
    case 'ip':
      return step.commands.map((command) => `${step.where === 'namespace' ? 'inside: ' : ''}ip ${command}`);
    case 'inside':
      return step.commands.map((command) => `in ${step.about}: ip ${command}`);
    case 'reserve':
      return [`note in ${step.path}: ${step.id}`];
    case 'elements':
      return (['remove', 'add'] as const).flatMap((verb) =>
        Object.entries(step[verb]).flatMap(([set, elements]) =>
          elements.map((element: string) => `nft ${verb === 'add' ? 'add' : 'delete'} element ${set} { ${element} }`),
        ),
      );
    case 'connections':
      return ['end connections that are not allowed any more'];
    case 'hairpin':
      return [`hairpin on, for a port of ${step.bridge}`];
    case 'container-files':
      return [
        ...(step.files.resolvConf ? ['write /etc/resolv.conf in the container'] : []),
        ...(step.files.hosts.length > 0 ? ['write /etc/hosts in the container'] : []),
        ...(step.files.hostname === null ? [] : [`hostname ${step.files.hostname}`]),
      ];
    case 'reload-dnsmasq':
      return [`dnsmasq for ${step.network} reads its files again`];
    case 'sysctl':
      return [`sysctl ${step.key}: ${step.before} -> ${step.value}`];
    case 'nft':
      return [
        'nft table inet nethooks:',
        ...step.script
          .trimEnd()
          .split('\n')
          .map((line) => `    ${line}`),
      ];
    case 'bridge-netfilter':
      return ['modprobe br_netfilter'];
    case 'rules':
      return [
        ...step.rules.map((rule) => `iptables -t ${rule.table} ${ruleLine(step.action, rule)}`),
        ...(step.mangle && step.action === 'delete' ? ['nft delete table ip mangle'] : []),
      ];
    case 'file':
      return fileDiff(step);
    case 'directory':
      return [`${step.action === 'make' ? 'make' : 'remove'} ${step.path === '/' ? '' : step.path}/`];
    case 'unit':
      return UNITS[step.action](step.units);
    case 'dnsmasq':
      return [`${step.action} dnsmasq for ${step.network}`];
    case 'lxc-net':
      return [LXC_NET[step.action]];
    case 'neighbour':
      return [NEIGHBOURS[step.program]];
    case 'resolver':
      return [
        step.action === 'set'
          ? `${step.how}: ask ${step.address} (${step.bridge}) for ${step.domains.join(', ') || 'every name'}`
          : `${step.how}: no longer ask ${step.address} (${step.bridge})`,
      ];
  }
}

/** The same without the lines of each file and script. */
export const headlines = (step: Step): string[] =>
  describe(step).flatMap((line) => (line.startsWith(' ') ? [] : [line.replace(/:$/, '')]));

/** A rule in the words of iptables(8). */
export function ruleLine(action: RulesStep['action'], { chain, match, number = 1 }: Rule): string {
  const place = { insert: `-I ${chain} ${number}`, append: `-A ${chain}`, delete: `-D ${chain}` }[action];
  return `${place} ${match}`;
}

const NEIGHBOURS: Record<NeighbourStep['program'], string> = {
  firewalld: 'firewall-cmd --reload',
  dnsmasq: "restart this host's own dnsmasq",
  'systemd-networkd': 'have systemd-networkd read its files',
  NetworkManager: 'have NetworkManager read its files',
};

const UNITS: Record<UnitStep['action'], (units: string[]) => string[]> = {
  reload: () => ['systemctl daemon-reload'],
  enable: (units) => units.map((unit) => `enable ${unit}`),
  disable: (units) => units.map((unit) => `stop and disable ${unit}`),
  start: (units) => units.map((unit) => `start ${unit}`),
  forget: () => ['have systemd forget the units'],
};

const LXC_NET: Record<LxcNetStep['action'], string> = {
  end: 'end the dnsmasq of lxc-net',
  clean: 'remove the rules of lxc-net',
  start: 'start lxc-net',
};

/** Lines that somebody reads; of more than that only how it begins. */
const MOST_LINES = 200;
const few = (lines: string[]): string[] =>
  lines.length > MOST_LINES ? [...lines.slice(0, 3), `  … ${lines.length - 3} more lines`] : lines;

/** Which lines a file gains and loses; enough for files whose change is a block in one place. */
function fileDiff({ path, before, content }: FileStep): string[] {
  if (content === null) return [`remove ${path}`];
  if (typeof content !== 'string') return [`${content.exact ? 'put back' : 'write'} ${path}`];
  const [old, wanted] = [(before ?? '').split('\n'), content.split('\n')];
  let head = 0;
  while (head < old.length && head < wanted.length && old[head] === wanted[head]) head++;
  let tail = 0;
  while (tail < old.length - head && tail < wanted.length - head && old.at(-1 - tail) === wanted.at(-1 - tail)) tail++;
  return [
    `${before === null ? 'write' : 'change'} ${path}:`,
    ...few(old.slice(head, old.length - tail).flatMap((line) => (line === '' ? [] : [`  - ${line}`]))),
    ...few(wanted.slice(head, wanted.length - tail).flatMap((line) => (line === '' ? [] : [`  + ${line}`]))),
  ];
}
