/** `nethooks attach A --peer B`: a wire between two containers, without a bridge and without the host. */
import { closeSync } from 'node:fs';
import { connect } from '../../attachment/connect.ts';
import { detach, withNamespace } from '../../attachment/detach.ts';
import { NethooksError } from '../../errors.ts';
import { isIPv4, subnetOf, toAddress, toNumber } from '../../model/address.ts';
import { type AttachmentRecord, attachmentId } from '../../model/attachment.ts';
import { macOf } from '../../model/derived.ts';
import { linkFault } from '../../plan/attachment/driver.ts';
import { ASKS_NOTHING } from '../../plan/attachment/publish.ts';
import type { AttachmentSpec, LinkSpec } from '../../plan/attachment/spec.ts';
import { namespaceAt, writeRecord } from '../../store/records.ts';
import { IpError } from '../../system/apply.ts';
import type { CniContext } from '../cni/add.ts';
import { openNamespace } from '../cni/namespace.ts';
import { sweepOnce } from '../sweep.ts';
import { ownerOfTarget } from './attach.ts';
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
export async function attachPeers(context: CniContext, [one, two]: readonly [End, End]): Promise<void> {
  if (namespaceAt(one.target.netns) === namespaceAt(two.target.netns) && one.ifname === two.ifname)
    throw new NethooksError('both ends are in one network namespace: --peer-ifname names the other one', 2);
  const link: LinkSpec = { driver: 'peer', netns: two.target.netns, ifname: two.ifname, mac: macOfEnd(two) };
  // The first one makes the pair, the second finds its end there.
  const first = await connectEnd(context, one, link);
  try {
    const second = await connectEnd(context, two, { driver: 'none' });
    writeRecord({ ...first, peer: attachmentId(second.owner) });
    const interfaces = second.interfaces.map((own) => ({ ...own, driver: 'peer' as const }));
    writeRecord({ ...second, interfaces, peer: attachmentId(first.owner) });
  } catch (error) {
    await withNamespace({ ...context, wait: false }, first.life, (how) => detach(how, first));
    throw error;
  }
}

async function connectEnd(context: CniContext, end: End, link: LinkSpec): Promise<AttachmentRecord> {
  const fd = openNamespace(end.target.netns);
  const how = { ...context, wait: false, namespace: { fd, host: null, inside: null } };
  try {
    return await connect(how, specOf(end, link), { sweep: () => sweepOnce(how), result: () => resultOf(end) });
  } catch (error) {
    throw explained(error);
  } finally {
    closeSync(fd);
  }
}

const macOfEnd = ({ target, ifname }: End): string => macOf(attachmentId(ownerOfTarget(target, ifname)), ifname, '');

const specOf = (end: End, link: LinkSpec): AttachmentSpec => ({
  ...ASKS_NOTHING,
  owner: ownerOfTarget(end.target, end.ifname),
  life: { netns: end.target.netns, namespace: namespaceAt(end.target.netns) ?? '' },
  interfaces: [
    {
      ifname: end.ifname,
      link,
      network: null,
      mac: macOfEnd(end),
      mtu: null,
      addressing: { how: 'static', ips: [{ address: end.address }], routes: [] },
    },
  ],
});

const resultOf = ({ target, ifname, address }: End) => ({
  interfaces: [{ name: ifname, sandbox: target.netns }],
  ips: [{ address, interface: 0 }],
  routes: [],
  dns: {},
});

function explained(error: unknown): unknown {
  const words = error instanceof IpError ? error.stderr : error instanceof Error ? error.message : '';
  return linkFault(words) === 'exists'
    ? new NethooksError(
        'one of the two has an interface of that name already; --ifname and --peer-ifname choose others',
      )
    : error;
}
