/** Running containers that have changed what they were given: by hand, or by a DHCP client of theirs. */
import type { Interface } from '../model/attachment.ts';
import type { Finding } from '../model/finding.ts';
import { parseResolvConf, showResolvConf } from '../model/resolv-conf.ts';
import { isAlive, listRecords, readKept } from '../store/records.ts';
import type { Exec } from '../system/exec.ts';
import { printable } from '../system/log.ts';
import { readBelowRoot } from '../system/rootfs.ts';

/** Longer ones are not read. */
const MAX_RESOLV_CONF = 65_536;
/** As much as a line of `status` shows of what a container wrote. */
const SHOWN = 200;

export async function containerFindings(exec: Exec): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const { owner, state, life, interfaces } of listRecords()) {
    if (owner.kind !== 'lxc' || state !== 'attached' || !life || !('pid' in life) || !isAlive({ life })) continue;
    const texts = [resolvConf(owner.name, life.pid), ...(await mtus(exec, life.pid, interfaces))];
    for (const text of texts.flatMap((one) => one ?? []))
      findings.push({
        severity: 'warning',
        about: owner.name,
        text,
        remedy: `nethooks configure ${owner.name}`,
      });
  }
  return findings;
}

/** Only where the file is of our writing: a link, which we left, is the container's own business, as is what it puts in its place. */
function resolvConf(container: string, pid: number): string | null {
  const asked = readKept(container).written?.resolvConf;
  if (asked === undefined) return null;
  const text = textOf(pid);
  if (text === null) return null;
  const [found, wanted] = [text, asked].map((one) => showResolvConf(parseResolvConf(one))) as [string, string];
  if (found === wanted) return null;
  return `its resolv.conf says "${printable(found.slice(0, SHOWN))}", not "${wanted}"`;
}

/** Null where there is no such file, or no such container any more. */
function textOf(pid: number): string | null {
  try {
    return readBelowRoot(`/proc/${pid}/root`, ['etc'], 'resolv.conf', MAX_RESOLV_CONF);
  } catch {
    return null;
  }
}

/** Those that were asked for: each takes a program in the container's network namespace. */
async function mtus(exec: Exec, pid: number, interfaces: readonly Interface[]): Promise<string[]> {
  const texts: string[] = [];
  for (const { ifname, mtu } of interfaces) {
    if (mtu === undefined) continue;
    const shown = await exec.start('nsenter', [`--net=/proc/${pid}/ns/net`, 'ip', 'link', 'show', 'dev', ifname]);
    const found = /\bmtu (\d+)/.exec(shown.stdout)?.[1];
    if (shown.code === 0 && found !== undefined && Number(found) !== mtu)
      texts.push(`the MTU of its ${ifname} is ${found}, not ${mtu}`);
  }
  return texts;
}
