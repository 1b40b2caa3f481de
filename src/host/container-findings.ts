/** Running containers that have changed what they were given: by hand, or by a DHCP client of theirs. */
import type { Finding } from '../model/finding.ts';
import { parseResolvConf, showResolvConf } from '../model/resolv-conf.ts';
import { isAlive, listRecords, readKept } from '../store/records.ts';
import { printable } from '../system/log.ts';
import { readBelowRoot } from '../system/rootfs.ts';

/** Longer ones are not read. */
const MAX_RESOLV_CONF = 65_536;
/** As much as a line of `status` shows of what a container wrote. */
const SHOWN = 200;

export function containerFindings(): Finding[] {
  const findings: Finding[] = [];
  for (const { owner, state, life } of listRecords()) {
    if (owner.kind !== 'lxc' || state !== 'attached' || !life || !('pid' in life) || !isAlive({ life })) continue;
    const text = resolvConf(owner.name, life.pid);
    if (text !== null)
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
