/** Running and timing commands on the throwaway host (see run.ts). */
import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

export interface Options {
  env?: Record<string, string>;
  input?: string;
}

const sleep = (ms: number): unknown => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);

/** Until the kernel is done with what the last command left behind: interfaces and namespaces go in the background. */
const settle = (): unknown => sleep(30);

/** Runs a command to its end; ms. Throws if it fails. */
export const time = (argv: string[], options: Options = {}): number => timed(argv, options).elapsed;

/** The same, and what it printed. */
export function timed(argv: string[], options: Options): { elapsed: number; stdout: string } {
  settle();
  const start = performance.now();
  const stdout = must(argv, options);
  return { elapsed: performance.now() - start, stdout };
}

/** What a command printed. Throws if it fails. */
export function must(argv: string[], options: Options = {}): string {
  const { status, stdout, stderr } = run(argv, options);
  if (status !== 0) throw new Error(`${argv.join(' ')}: ${stderr}${stdout}`);
  return stdout;
}

export function run([command = '', ...args]: string[], { env, input }: Options = {}): SpawnSyncReturns<string> {
  // What lxc-start leaves running must not hold our pipes.
  return spawnSync(command, args, {
    encoding: 'utf8',
    timeout: 120_000,
    maxBuffer: 64 * 1024 * 1024,
    env: { PATH, ...env },
    ...(input ? { input } : {}),
  });
}

export const median = (values: number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

/**
 * Runs an action, which must wait for its commands; ms of CPU that it took on this host altogether: what it started, what these left
 * running, daemons that it woke. Not what this process itself used.
 */
export function cpuOf(action: () => unknown): number {
  const before = calm();
  action();
  return calm() - before;
}

/** The CPU time of everything on this host but this process, in ms, once nothing runs any more. */
function calm(): number {
  for (let last = others(); ; ) {
    sleep(20);
    const now = others();
    if (now - last < 0.2) return now;
    last = now;
  }
}

/** cgroups(7): this host's cgroup is the root of what it sees, and counts every process that ever was in it. */
function others(): number {
  const usage = /^usage_usec (\d+)/m.exec(readFileSync('/sys/fs/cgroup/cpu.stat', 'utf8'))?.[1];
  const { user, system } = process.cpuUsage();
  return (Number(usage) - user - system) / 1000;
}

/** How many processes a command is, itself included, by strace(1). Threads do not count. */
export function processesOf(argv: string[], options: Options = {}): number {
  const trace = '/tmp/processes';
  must(['strace', '-f', '-qq', '-o', trace, '-e', 'trace=fork,vfork,clone,clone3', ...argv], options);
  const forks = readFileSync(trace, 'utf8')
    .split('\n')
    .filter((line) => /^\d+ +(v?fork|clone3?)\(/.test(line) && !line.includes('CLONE_THREAD'));
  return 1 + forks.length;
}

// ---- containers

/** Namespaces, each a process to point at, as LXC has one. */
const namespaces = new Map<string, string>();
export function namespace(name: string): string {
  let pid = namespaces.get(name);
  if (pid === undefined) {
    must(['ip', 'netns', 'add', name]);
    must(['sh', '-c', `ip netns exec ${name} sleep 3600 </dev/null >/dev/null 2>&1 & echo $! >/tmp/${name}.pid`]);
    pid = readFileSync(`/tmp/${name}.pid`, 'utf8').trim();
    namespaces.set(name, pid);
  }
  return pid;
}

export type Event = 'start-host' | 'post-stop' | 'destroy';

export interface Call {
  argv: string[];
  options: Options;
}

/** What LXC does to call the hook: the veth is there, the hook finds the container's pid and configuration. */
export const hookCall = (event: Event, name: string, flags: string[] = []): Call => ({
  argv: [`/usr/lib/nethooks/lxc/${event}`, ...flags],
  options: {
    env: {
      LXC_NAME: name,
      LXC_PID: namespace(name),
      LXC_CONFIG_FILE: `/tmp/${name}.config`,
      LXC_HOOK_TYPE: event,
      LXC_HOOK_VERSION: '1',
    },
  },
});

/** The interface and the configuration that LXC has made when it calls the hook. */
export function veth(name: string, mac = '00:16:3e:00:00:01', link = `v${name}`): void {
  writeFileSync(`/tmp/${name}.config`, `lxc.net.0.type = veth\nlxc.net.0.link = br0\nlxc.net.0.hwaddr = ${mac}\n`);
  namespace(name);
  must(['ip', 'link', 'add', link, 'type', 'veth', 'peer', 'name', 'eth0', 'address', mac, 'netns', name]);
  must(['ip', 'link', 'set', link, 'master', 'br0', 'up']);
}

/** The peer's configuration. */
export const STOCK_CONFIG = JSON.stringify({
  cniVersion: '0.4.0',
  name: 'peer',
  type: 'bridge',
  bridge: 'cni0',
  isGateway: true,
  ipMasq: true,
  ipam: { type: 'host-local', subnet: '10.77.0.0/16', routes: [{ dst: '0.0.0.0/0' }] },
});
export const STOCK_PLUGIN = '/usr/lib/cni/bridge';

/** Ours, through the shim that a runtime calls, on the network that LXC's containers are on. */
export const OUR_CONFIG = JSON.stringify({ cniVersion: '0.4.0', name: 'ours', type: 'nethooks', network: 'br0' });
export const OUR_PLUGIN = 'hooks/cni';

export type Verb = 'ADD' | 'DEL';

export const cniEnv = (command: Verb, name: string): Record<string, string> => ({
  CNI_COMMAND: command,
  CNI_CONTAINERID: name,
  CNI_NETNS: `/run/netns/${name}`,
  CNI_IFNAME: 'eth0',
  CNI_PATH: '/usr/lib/cni',
});

export const cniCall = (command: Verb, name: string, plugin: string, config: string): Call => ({
  argv: [plugin],
  options: { env: cniEnv(command, name), input: config },
});

/** What a runtime adds to a plugin's configuration for a published port. */
export const portMapping = (hostPort: number): object => ({
  runtimeConfig: { portMappings: [{ hostPort, containerPort: 80, protocol: 'tcp' }] },
});
