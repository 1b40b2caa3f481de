import { readdirSync, readFileSync, statfsSync } from 'node:fs';
import { execa } from 'execa';
import { eventually } from './eventually.ts';

/** What of the machine itself tests must never change. */
export interface MachineState {
  readonly network: string;
  readonly mounts: string[];
}

/** Whether a path is on an overlay, as everything is where the machine is a container. OVERLAYFS_SUPER_MAGIC: statfs(2). */
export function isOnOverlay(path: string): boolean {
  return statfsSync(path).type === 0x794c7630;
}

/** The machine's own network state (links, addresses, routes, rules, nft) and mounts. */
export async function machineState(): Promise<MachineState> {
  const lists = await Promise.all([
    execa('ip', ['-o', 'link']),
    execa('ip', ['-o', 'address']),
    execa('ip', ['route', 'show', 'table', 'all']),
    execa('ip', ['rule']),
    execa('nft', ['list', 'ruleset']),
  ]);
  const network = lists.map(({ stdout }) => stdout.replaceAll(/_lft \d+sec/g, '')).join('\n');
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ').slice(4, 6).join(' '))
    // Whoever else works on this machine makes network namespaces with ip-netns(8); we never do.
    .filter((line) => !line.startsWith('/run/netns') && !line.startsWith('/tmp/'));
  return { network, mounts };
}

/**
 * Checks that the machine is as it was `before`, and that of the throwaway hosts that process `owner` started no process and
 * no cgroup is left. Everything a throwaway host starts is in its cgroup, so where that is gone, its namespaces are too.
 * @throws Error after 5 s with what is left
 */
export async function assertNothingLeft(before: MachineState, owner: number = process.pid): Promise<void> {
  await expectGone([`nethooks-${owner}-`]);
  const after = await machineState();
  const mounts = after.mounts.filter((line) => !before.mounts.includes(line));
  if (mounts.length > 0) throw new Error(`mounts are left on the machine:\n${mounts.join('\n')}`);
  if (after.network !== before.network) {
    throw new Error(`the machine's network has changed:\n--- before\n${before.network}\n--- after\n${after.network}`);
  }
}

/**
 * Checks that no process and no cgroup is left of throwaway hosts with these ids, or beginnings of ids.
 * @throws Error after 5 s with what is left
 */
export async function expectGone(ids: readonly string[]): Promise<void> {
  await eventually(async () => {
    const left = [...processes(ids), ...(await cgroups(ids))];
    if (left.length > 0) throw new Error(`left on the machine:\n${left.join('\n')}`);
  });
}

/** Processes in the hosts' cgroups; and those of their supervisors, which are outside, but carry the id in their environment. */
function processes(ids: readonly string[]): string[] {
  return readdirSync('/proc').flatMap((pid) => {
    if (!/^\d+$/.test(pid)) return [];
    const cgroup = read(`/proc/${pid}/cgroup`);
    const environment = read(`/proc/${pid}/environ`);
    const ours = ids.some((id) => cgroup.includes(`/${id}`) || environment.includes(`NETHOOKS_ID=${id}`));
    return ours ? [`process ${pid}: ${read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ')}`] : [];
  });
}

/** Directories of the hosts in any cgroup hierarchy. */
async function cgroups(ids: readonly string[]): Promise<string[]> {
  const { stdout } = await execa('find', ['/sys/fs/cgroup', '-type', 'd', '-name', 'nethooks-*'], { reject: false });
  return stdout.split('\n').filter((path) => ids.some((id) => path.includes(`/${id}`)));
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // it has just ended
  }
}
