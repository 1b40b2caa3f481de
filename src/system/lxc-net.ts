/** Debian's lxc-net: its settings, what it has started and loaded, and the end and the return of that. */
import { existsSync, readdirSync, readlinkSync, writeFileSync } from 'node:fs';
import { NethooksError } from '../errors.ts';
import { subnetCidr } from '../model/address.ts';
import { LXC_DEFAULTS, LXC_NET_DEFAULTS, type LxcNet, parseLxcNet } from '../model/lxc-net.ts';
import type { LxcNetStep } from '../model/step.ts';
import { withoutBlock } from '../plan/marked-block.ts';
import { type Exec, must } from './exec.ts';
import { isMissing, readText, removeFile } from './files.ts';
import { commandLine } from './process.ts';
import { pause } from './sleep.ts';
import { systemdRuns } from './systemd.ts';

const PID_FILE = '/run/lxc/dnsmasq.pid';
/** By these its script, and our looks, know that it is up. */
const MARKS = ['/run/lxc/network_up', PID_FILE];
const TABLES = ['inet lxc', 'ip lxc'];
/** Where Debian 12 and 13, and 11, have it. */
const SCRIPTS = [
  '/usr/libexec/lxc/lxc-net',
  `/usr/lib/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu/lxc/lxc-net`,
];

/** Whether there is one on this host, on or off. */
export const hasLxcNet = (): boolean => SCRIPTS.some((path) => existsSync(path));

/** Its settings without what we have said in them. */
export const lxcNetSettings = (): LxcNet => parseLxcNet(readText(LXC_DEFAULTS), plain(readText(LXC_NET_DEFAULTS)));

/** A block that somebody has damaged is read as it is. */
function plain(text: string | null): string | null {
  try {
    return text === null ? null : withoutBlock(text);
  } catch (error) {
    if (!(error instanceof NethooksError)) throw error;
    return text;
  }
}

/** The name of its bridge, whether or not it is there. */
export const lxcNetBridge = (): string => lxcNetSettings().bridge;

/** Whether it is up: whatever else is there by that name is not its own. */
export const isLxcNetUp = (): boolean => existsSync('/run/lxc/network_up');

/** What it has started and loaded. */
export function lxcNetLeft(exec: Exec, { bridge, address, prefix }: LxcNet): LxcNetStep['left'] {
  const listed = must(exec, 'nft', ['list', 'tables']).stdout.split('\n');
  return {
    dnsmasq: dnsmasqOf(bridge),
    tables: TABLES.filter((table) => listed.includes(`table ${table}`)),
    rules: rulesOf(exec, bridge, `${address}/${prefix}`),
    marks: MARKS.filter((path) => existsSync(path)),
  };
}

function dnsmasqOf(bridge: string): number | null {
  const pid = Number((readText(PID_FILE) ?? '').trim());
  return pid > 1 && commandLine(pid).includes(`--interface=${bridge}`) ? pid : null;
}

/** Those that its script makes where it does not use nft, as iptables-save prints them. */
function rulesOf(exec: Exec, bridge: string, subnet: string): LxcNetStep['left']['rules'] {
  const ports = ['67', '53'].flatMap((port) =>
    ['udp', 'tcp'].map((kind) => `-A INPUT -i ${bridge} -p ${kind} -m ${kind} --dport ${port} -j ACCEPT`),
  );
  const own = [
    ...ports,
    `-A FORWARD -i ${bridge} -j ACCEPT`,
    `-A FORWARD -o ${bridge} -j ACCEPT`,
    `-A POSTROUTING -o ${bridge} -p udp -m udp --dport 68 -j CHECKSUM --checksum-fill`,
  ];
  const masquerade = /^-A POSTROUTING -s (\S+) ! -d \1 -j MASQUERADE$/;
  let table = '';
  return must(exec, 'iptables-save', [])
    .stdout.split('\n')
    .flatMap((line) => {
      if (line.startsWith('*')) table = line.slice(1);
      const isOwn = own.includes(line) || (table === 'nat' && masquerade.exec(line)?.[1] === subnetCidr(subnet));
      return isOwn ? { table, line } : [];
    });
}

/** @throws NethooksError when something of it does not end, or does not start */
export async function changeLxcNet(exec: Exec, { action, bridge, left }: LxcNetStep): Promise<void> {
  switch (action) {
    case 'end':
      return endDnsmasq(bridge);
    case 'clean':
      if (left.tables.length > 0)
        // `add` first: it may have gone meanwhile.
        must(exec, 'nft', ['-f', '-'], {
          input: left.tables.map((table) => `add table ${table}\ndelete table ${table}\n`).join(''),
        });
      for (const { table, line } of left.rules)
        exec('iptables', ['--wait', '-t', table, ...line.replace(/^-A/, '-D').split(' ')]);
      for (const path of left.marks) removeFile(path);
      return undefined;
    case 'start':
      start(exec, bridge);
  }
}

/** How long its dnsmasq may take to end. */
const END_MS = 10_000;

async function endDnsmasq(bridge: string): Promise<void> {
  const deadline = performance.now() + END_MS;
  for (let pid = dnsmasqOf(bridge), first = true; pid !== null; pid = dnsmasqOf(bridge), first = false) {
    if (first) process.kill(pid, 'SIGTERM');
    if (performance.now() > deadline) throw new NethooksError(`dnsmasq of lxc-net (pid ${pid}) does not end`);
    await pause(5);
  }
}

/** Its bridge gets another MAC than we gave it at boot: the kernel tells that whoever runs on it, or they would find out after a minute. */
function start(exec: Exec, bridge: string): void {
  if (isLxcNetUp()) return;
  const notify = `/proc/sys/net/ipv4/conf/${bridge}/arp_notify`;
  const before = readText(notify);
  if (before !== null) writeFileSync(notify, '1');
  const script = SCRIPTS.find((path) => existsSync(path));
  // Its unit may be active since boot, when it did nothing.
  if (systemdRuns()) must(exec, 'systemctl', ['--quiet', 'restart', 'lxc-net.service']);
  else if (script !== undefined) must(exec, script, ['start']);
  if (before !== null && existsSync(notify)) writeFileSync(notify, before);
}

const UNITS = '/etc/systemd/system';

/** Whether it is there or comes at boot; one that is there does not come again where its service is masked (systemd.unit(5)). */
export function lxcNetComes(bridge: string): boolean {
  if (targetOf(`${UNITS}/lxc-net.service`) === '/dev/null') return false;
  if (existsSync(`/sys/class/net/${bridge}`) || !existsSync('/run/systemd/system')) return true;
  return readdirSync(UNITS).some(
    (name) => name.endsWith('.wants') && targetOf(`${UNITS}/${name}/lxc-net.service`) !== null,
  );
}

function targetOf(link: string): string | null {
  try {
    return readlinkSync(link);
  } catch (error) {
    if (isMissing(error) || (error as NodeJS.ErrnoException).code === 'EINVAL') return null;
    throw error;
  }
}
