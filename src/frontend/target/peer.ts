/** `nethooks attach A --peer B`: a wire between two containers, without a bridge and without the host. */
import { closeSync } from 'node:fs';
import { NethooksError } from '../../errors.ts';
import { isIPv4, subnetOf, toAddress, toNumber } from '../../model/address.ts';
import { insideCommands, macOf } from '../../plan/attachment/wiring.ts';
import {
  type AttachmentRecord,
  type Key,
  namespaceAt,
  removeAttachment,
  writeAttachment,
} from '../../store/attachments.ts';
import { failure } from '../../system/exec.ts';
import { ipInside } from '../../system/ip.ts';
import type { CniContext } from '../cni/add.ts';
import { inside } from '../cni/links.ts';
import { openNamespace } from '../cni/namespace.ts';
import { ATTACHED, attachmentId } from './attach.ts';
import type { Target } from './target.ts';

/** One end. */
export interface End {
  target: Target;
  ifname: string;
  /** With prefix length. */
  address: string;
}

/** The other end's address where the subnet leaves no choice: in a /30 or a /31. Null elsewhere. */
export function otherAddress(address: string): string | null {
  const [text = '', bits = ''] = address.split('/');
  const prefix = Number(bits);
  if (!isIPv4(text) || (prefix !== 30 && prefix !== 31)) return null;
  const { first } = subnetOf(text, prefix);
  const [one, two] = prefix === 31 ? [first, first + 1] : [first + 1, first + 2];
  const own = toNumber(text);
  if (own !== one && own !== two) return null;
  return `${toAddress(own === one ? two : one)}/${prefix}`;
}

/** @throws NethooksError, CniError; nothing is left then */
export async function attachPeers({ exec }: CniContext, ends: readonly [End, End]): Promise<void> {
  const [one, two] = ends;
  const namespaces = ends.map(({ target }) => openNamespace(target.netns)) as [number, number];
  const keys = ends.map(
    ({ target, ifname }): Key => ({ network: ATTACHED, id: attachmentId(target.kind, target.name), ifname }),
  ) as [Key, Key];
  try {
    if (namespaceAt(one.target.netns) === namespaceAt(two.target.netns) && one.ifname === two.ifname)
      throw new NethooksError('both ends are in one network namespace: --peer-ifname names the other one', 2);
    const [near, far] = ends.map(({ ifname }, index) => [
      'name',
      ifname,
      'address',
      macOf(ATTACHED, (keys[index] as Key).id, ifname),
      'netns',
      index === 0 ? '/proc/self/fd/3' : two.target.netns,
    ]) as [string[], string[]];
    const words = ['link', 'add', ...near, 'type', 'veth', 'peer', ...far];
    const made = exec('ip', words, { fd: namespaces[0] });
    if (made.code !== 0) throw new NethooksError(explain(made.stderr, failure('ip', words, made)));
    try {
      for (const [index, { ifname, address }] of ends.entries())
        await inside(ipInside(exec, namespaces[index] as number, '-json'), insideCommands(ifname, [{ address }], []));
      for (const index of [0, 1] as const) writeAttachment(recordOf(ends[index], keys[index], keys[1 - index] as Key));
    } catch (error) {
      exec('nsenter', ['--net=/proc/self/fd/3', 'ip', 'link', 'delete', 'dev', one.ifname], { fd: namespaces[0] });
      for (const key of keys) removeAttachment(key);
      throw error;
    }
  } finally {
    for (const fd of namespaces) closeSync(fd);
  }
}

const explain = (stderr: string, otherwise: string): string =>
  /File exists/.test(stderr)
    ? 'one of the two has an interface of that name already; --ifname and --peer-ifname choose others'
    : otherwise;

function recordOf({ target, address, ifname }: End, key: Key, peer: Key): AttachmentRecord {
  return {
    ...key,
    kind: 'ptp',
    netns: target.netns,
    namespace: namespaceAt(target.netns) ?? '',
    hostLink: null,
    store: null,
    ipam: null,
    masquerade: [],
    policy: null,
    names: { files: [], networks: [] },
    result: {
      interfaces: [{ name: ifname, sandbox: target.netns }],
      ips: [{ address, interface: 0 }],
      routes: [],
      dns: {},
    },
    peer,
  };
}
