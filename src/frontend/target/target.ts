/** Whose network namespace is meant: a process's, a named one, or that of a container of LXC, Docker, podman or rkt. */
import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import { NethooksError } from '../../errors.ts';
import { type Exec, failure } from '../../system/exec.ts';
import { filesIn } from '../../system/files.ts';

const KINDS = ['pid', 'netns', 'lxc', 'docker', 'podman', 'rkt'] as const;
type Kind = (typeof KINDS)[number];

export interface Target {
  kind: Kind;
  /** What it is called, safe as a file name. */
  name: string;
  /** Path of its network namespace. */
  netns: string;
}

const ALLOWED = 'allowed: pid:N, netns:PATH, lxc:NAME, docker:NAME, podman:NAME, rkt:UUID, or a name alone';

/** The words of a target: what it is, and its own name. `kind` is null for a name alone. */
export function parseTarget(word: string): { kind: Kind | null; name: string } {
  const [, prefix, rest = ''] = /^([a-z]+):(.+)$/.exec(word) ?? [];
  if (prefix === undefined) {
    if (/^[A-Za-z0-9/][A-Za-z0-9_./-]*$/.test(word)) return { kind: null, name: word };
    throw new NethooksError(`target ${JSON.stringify(word)}: ${ALLOWED}`, 2);
  }
  if ((KINDS as readonly string[]).includes(prefix)) return { kind: prefix as Kind, name: rest };
  throw new NethooksError(`target ${word}: ${prefix}: unknown; ${ALLOWED}`, 2);
}

/** Its name as a file's, and in DNS: a namespace's path ends with its name. */
export const targetName = (kind: Kind, name: string): string =>
  kind === 'netns' ? basename(name) : kind === 'pid' ? `pid-${name}` : name;

/** @throws NethooksError when it does not run, is not unique, or the program that would know is not installed */
export function resolveTarget(exec: Exec, word: string): Target {
  const { kind, name } = parseTarget(word);
  const target = kind === null ? detect(exec, name) : { kind, netns: namespaceOf(exec, kind, name) };
  const short = targetName(target.kind, name);
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$/.test(short))
    throw new NethooksError(`target ${word}: ${short}: allowed: letters, digits, _ . -`, 2);
  if (!existsSync(target.netns))
    throw new NethooksError(`target ${word}: there is no network namespace ${target.netns}`);
  return { ...target, name: short };
}

function namespaceOf(exec: Exec, kind: Kind, name: string): string {
  if (kind === 'pid') {
    if (/^[1-9]\d{0,9}$/.test(name) && existsSync(`/proc/${name}`)) return `/proc/${name}/ns/net`;
    throw new NethooksError(`target pid:${name}: there is no such process`);
  }
  if (kind === 'netns') return name.startsWith('/') ? name : `/run/netns/${name}`;
  const pid = pidOf(exec, kind, name);
  if (pid === null) throw new NethooksError(`target ${kind}:${name}: no such container, or it does not run`);
  return `/proc/${pid}/ns/net`;
}

const ASK: Record<'lxc' | 'docker' | 'podman' | 'rkt', { argv: (name: string) => string[]; pid: RegExp }> = {
  lxc: { argv: (name) => ['lxc-info', '-n', name, '-pH'], pid: /^(\d+)$/m },
  docker: {
    argv: (name) => ['docker', 'inspect', '--type', 'container', '--format', '{{.State.Pid}}', '--', name],
    pid: /^(\d+)$/m,
  },
  podman: {
    argv: (name) => ['podman', 'inspect', '--type', 'container', '--format', '{{.State.Pid}}', '--', name],
    pid: /^(\d+)$/m,
  },
  rkt: { argv: (name) => ['rkt', 'status', name], pid: /^pid=(\d+)$/m },
};

/** The container's first process, as its manager says; null when it has none. */
function pidOf(exec: Exec, kind: keyof typeof ASK, name: string): number | null {
  if (name.startsWith('-')) throw new NethooksError(`target ${kind}:${name}: ${ALLOWED}`, 2);
  const { argv, pid } = ASK[kind];
  const [command = '', ...args] = argv(name);
  const result = exec(command, args);
  if (result.code !== 0 && result.code !== 1 && result.code !== 125)
    throw new NethooksError(`target ${kind}:${name}: ${failure(command, args, result)}`);
  const found = Number(pid.exec(result.stdout)?.[1] ?? 0);
  return found > 0 ? found : null;
}

/** A name alone: everything that is called so. More than one is not for us to choose from. */
function detect(exec: Exec, name: string): { kind: Kind; netns: string } {
  if (name.includes('/')) return { kind: 'netns', netns: namespaceOf(exec, 'netns', name) };
  const found: { kind: Kind; netns: string }[] = [];
  if (/^\d+$/.test(name) && existsSync(`/proc/${name}/ns/net`))
    found.push({ kind: 'pid', netns: `/proc/${name}/ns/net` });
  if (filesIn('/run/netns').includes(name)) found.push({ kind: 'netns', netns: `/run/netns/${name}` });
  const ask = (kind: keyof typeof ASK): void => {
    const pid = tryPid(exec, kind, name);
    if (pid !== null) found.push({ kind, netns: `/proc/${pid}/ns/net` });
  };
  ask('lxc');
  // These take long to answer, and so are asked only for names that nobody else knows.
  if (found.length === 0) for (const kind of ['docker', 'podman', 'rkt'] as const) ask(kind);
  const [first, ...others] = found;
  if (!first)
    throw new NethooksError(
      `target ${name}: no process, network namespace or running container is called so; ${ALLOWED}`,
    );
  if (others.length === 0) return first;
  throw new NethooksError(`target ${name}: which one? ${found.map(({ kind }) => `${kind}:${name}`).join(', ')}`, 2);
}

/** Programs that are not installed know no container. */
function tryPid(exec: Exec, kind: keyof typeof ASK, name: string): number | null {
  try {
    return pidOf(exec, kind, name);
  } catch {
    return null;
  }
}
