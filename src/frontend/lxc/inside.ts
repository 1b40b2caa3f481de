/**
 * `nethooks hook inside`: what is done to an ordinary user's container as the root of its user namespace, in the host's other namespaces.
 * user-container.ts says on standard input what that is.
 */
import { readFileSync } from 'node:fs';
import type { ContainerFilesStep } from '../../model/step.ts';
import { isMarkerLine } from '../../plan/marked-block.ts';
import { bestEffort, writeContainerFiles } from '../../system/container-files.ts';
import { must } from '../../system/exec.ts';
import { readBelowRoot } from '../../system/rootfs.ts';
import type { HookContext } from '../hooks/context.ts';

export interface InsideSpec {
  step: Omit<ContainerFilesStep, 'before'>;
  mtus: { ifname: string; mtu: number }[];
}

const MAX_HOSTS = 1 << 20;

export async function run({ exec, log }: HookContext): Promise<void> {
  const { step, mtus } = JSON.parse(readFileSync(0, 'utf8')) as InsideSpec;
  // What an earlier start has left there is known by its markers only: a user has no register of ours to note it in.
  const hosts = readBelowRoot(`/proc/${step.pid}/root`, ['etc'], 'hosts', MAX_HOSTS) ?? '';
  const before = hosts.split('\n').some(isMarkerLine) ? { hosts: true } : undefined;
  writeContainerFiles(exec, log, { ...step, before });
  for (const { ifname, mtu } of mtus)
    bestEffort(log, 'mtu', () => {
      const command = ['ip', 'link', 'set', 'dev', ifname, 'mtu', `${mtu}`];
      must(exec, 'nsenter', ['--target', `${step.pid}`, '--net', '--', ...command]);
    });
}
