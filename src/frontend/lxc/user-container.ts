/**
 * lxc.hook.start-host of an ordinary user's container (lxc.container.conf(5), lxc-usernet(5)), which runs as that user: who cannot write our
 * registers, so the container asks for its address by DHCP, and is given what is its own alone. Its options stand on the hook line:
 * /etc/nethooks/containers is about root's containers, which may have the same names.
 */
import { fileFacts } from '../../attachment/facts.ts';
import { knownConfig } from '../../config/cache.ts';
import { NethooksError } from '../../errors.ts';
import type { Config } from '../../model/config.ts';
import { type ContainerOptions, NO_OPTIONS } from '../../model/container-options.ts';
import { containerFiles } from '../../plan/attachment/container-files.ts';
import { bestEffort } from '../../system/container-files.ts';
import { type Exec, must } from '../../system/exec.ts';
import { executable } from '../../system/install.ts';
import { settingsOnCommandLine } from '../../system/lxc-command.ts';
import type { HookContext } from '../hooks/context.ts';
import type { InsideSpec } from './inside.ts';
import { parseLxcEvent } from './lxc-event.ts';
import { memberNics } from './spec.ts';
import { readNics, saysNames } from './start.ts';

/** @throws NethooksError for options that only root's containers can have */
export async function run({ words, env, exec, log }: HookContext): Promise<void> {
  const { name, pid, configFile, words: line } = parseLxcEvent(words, env);
  const options = line.length === 0 ? NO_OPTIONS : await optionsOf(name, line, log);
  const config = await configuration(log);
  if (config === null) return;
  const members = memberNics(
    readNics(configFile, config, settingsOnCommandLine(name, process.ppid)),
    config.networks,
    options.nics,
  );
  const mtus = members.flatMap(({ nic, options: own }) =>
    own && own.mtu !== 'auto' ? [{ ifname: nic.name, mtu: own.mtu }] : [],
  );
  if (members.length === 0 && !saysNames(options)) return;
  if (pid === null) throw new NethooksError('LXC_PID is not set or no pid');
  for (const { network } of members)
    if (network.dhcp === null) log(`network ${network.name} has no DHCP: the container has to set its address itself`);
  const files = { name, pid, options, network: members[0]?.network ?? null };
  const { hostResolver } = fileFacts({ kind: 'lxc', name }, [], files);
  const planned = containerFiles(files, [], null, hostResolver);
  for (const warning of planned.warnings) log(warning);
  const step: InsideSpec['step'] = { kind: 'container-files', name, pid, files: planned.files };
  callInside(exec, log, { step, mtus });
}

/** As root of the container's user namespace, whose files these are; all other namespaces stay. What fails is logged. */
function callInside(exec: Exec, log: HookContext['log'], spec: InsideSpec): void {
  const { name, pid } = spec.step;
  const target = ['--target', `${pid}`, '--user', '--setuid', '0', '--setgid', '0', '--'];
  const env = { BUN_JSC_useJIT: '0', NETHOOKS_LIMIT: process.env.NETHOOKS_LIMIT ?? '', LXC_NAME: name };
  bestEffort(log, 'files of the container', () => {
    const input = JSON.stringify(spec);
    const { stderr } = must(exec, 'nsenter', [...target, executable(), 'hook', 'inside'], { input, env });
    for (const line of stderr.split('\n').filter(Boolean)) log(line.replace(`nethooks: inside ${name}: `, ''));
  });
}

/** The container starts without what its network says where nobody may read that: it gets the same by DHCP. */
async function configuration(log: HookContext['log']): Promise<Config | null> {
  try {
    return (await knownConfig()).config;
  } catch (error) {
    log(`configuration: ${error instanceof Error ? error.message : error}`);
    return null;
  }
}

async function optionsOf(name: string, words: readonly string[], log: HookContext['log']): Promise<ContainerOptions> {
  const [{ resolveContainer }, { keysNeedingNetwork }] = await Promise.all([
    import('../../config/container.ts'),
    import('../../model/container-keys.ts'),
  ]);
  const { options, problems } = resolveContainer(name, { text: null, words });
  const refusing = problems.filter(({ refuses }) => refuses);
  if (refusing.length > 0) throw new NethooksError(refusing.map(({ message }) => message).join('\n'));
  for (const { message } of problems) log(message);
  const isFixed = Object.values(options.nics).some(({ address }) => address !== 'auto' && address !== 'dhcp');
  const [key] = [...keysNeedingNetwork(options), ...(isFixed ? ['address'] : [])];
  if (key !== undefined)
    throw new NethooksError(
      `hook line: ${key}: only root's containers can have it; allowed for a user's: hostname, dns, dns-search, dns-option, extra-host, resolv-conf, mtu`,
    );
  return options;
}
