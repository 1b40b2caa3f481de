/** `nethooks attach A --peer B`: a wire between two containers, without a bridge and without the host. */
import { closeSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { connect, InterfaceExists } from '../../attachment/connect.ts';
import { detach, withNamespace } from '../../attachment/detach.ts';
import { NethooksError } from '../../errors.ts';
import { type Cidr, contains, hostCidr, isIPv4, overlaps, subnetOf, toAddress, toNumber } from '../../model/address.ts';
import { type AttachmentRecord, attachmentId } from '../../model/attachment.ts';
import { macOf } from '../../model/derived.ts';
import { existing, linkFault } from '../../plan/attachment/driver.ts';
import { ASKS_NOTHING } from '../../plan/attachment/publish.ts';
import type { Addressing, AttachmentSpec, LinkSpec, PlacedIp } from '../../plan/attachment/spec.ts';
import { Exhausted, storeOf } from '../../store/addresses.ts';
import { namespaceAt, writeRecord } from '../../store/records.ts';
import { IpError } from '../../system/apply.ts';
import { readRoutes } from '../../system/routes.ts';
import type { CniContext } from '../cni/add.ts';
import { openNamespace } from '../cni/namespace.ts';
import { sweepOnce } from '../sweep.ts';
import { ownerOfTarget } from './attach.ts';
import type { Target } from './target.ts';

/** One end. */
export interface End {
  target: Target;
  ifname: string;
  /** With prefix length; null for one of a pair that nobody has. */
  address: Cidr | null;
}

/**
 * Where pairs of addresses come from, of two each (RFC 3021): link-local (RFC 3927), as nothing beyond the wire is to be reached by them,
 * and no router passes them on; a part of that in which no cloud, DNS cache or network plugin is known to have anything.
 */
const PAIRS = '169.254.128.0/19';
/** No network is called so: names of bridges are shorter. The first address of a pair stands for both. */
const STORE = storeOf('nethooks-attach-peer');

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

/**
 * @returns the addresses of both ends, with prefix length
 * @throws NethooksError, CniError; nothing is left then
 */
export async function attachPeers(
  context: CniContext,
  [one, two]: readonly [End, End],
): Promise<readonly [Cidr, Cidr]> {
  if (namespaceAt(one.target.netns) === namespaceAt(two.target.netns) && one.ifname === two.ifname)
    throw new NethooksError('both ends are in one network namespace: --peer-ifname names the other one', 2);
  const link: LinkSpec = { driver: 'peer', netns: two.target.netns, ifname: two.ifname, mac: macOfEnd(two) };
  // The first one makes the pair, the second finds its end there.
  const first = await connectEnd(context, one, link);
  const address = first.interfaces[0]?.addresses[0] ?? '';
  const other = two.address ?? otherAddress(address) ?? '';
  try {
    const second = await connectEnd(context, { ...two, address: other }, { driver: 'none' });
    writeRecord({ ...first, peer: attachmentId(second.owner) });
    const interfaces = second.interfaces.map((own) => ({ ...own, driver: 'peer' as const }));
    writeRecord({ ...second, interfaces, peer: attachmentId(first.owner) });
    return [address, other];
  } catch (error) {
    await withNamespace({ ...context, wait: false }, first.life, (how) => detach(how, first));
    throw error;
  }
}

async function connectEnd(context: CniContext, end: End, link: LinkSpec): Promise<AttachmentRecord> {
  const fd = openNamespace(end.target.netns);
  const how = { ...context, wait: false, namespace: { fd, host: null, inside: null } };
  try {
    return await connect(how, specOf(end, link), {
      sweep: () => sweepOnce(how),
      result: ([placed]) => resultOf(end, placed?.ips ?? []),
    });
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
      addressing: end.address === null ? fromPairs() : { how: 'static', ips: [{ address: end.address }], routes: [] },
    },
  ],
});

/** The first address of any pair that no interface and no route of this host overlaps. */
function fromPairs(): Addressing {
  const used = [...readRoutes().routes.map(({ destination }) => destination), ...ownAddresses()];
  const [from = '', bits] = PAIRS.split('/');
  const { first, last } = subnetOf(from, Number(bits));
  const ranges = [];
  for (let pair = first; pair < last; pair += 2) {
    const [address, other] = [toAddress(pair), toAddress(pair + 1)];
    // A route to all of 169.254.0.0/16 is for neighbours without DHCP, and says of none that it is there.
    if (used.some((one) => !contains(one, '169.254.0.0') && overlaps(one, `${address}/31`))) continue;
    ranges.push({ from: address, to: address, prefix: 31, gateway: other });
  }
  return {
    how: 'store',
    store: STORE,
    sets: [{ ranges, wanted: null, skip: [] }],
    routes: [],
    hints: [],
    search: false,
  };
}

const ownAddresses = (): Cidr[] =>
  Object.values(networkInterfaces()).flatMap((all = []) =>
    all.flatMap(({ address }) => (isIPv4(address) ? hostCidr(address) : [])),
  );

const resultOf = ({ target, ifname }: End, ips: readonly PlacedIp[]) => ({
  interfaces: [{ name: ifname, sandbox: target.netns }],
  ips: ips.map(({ address }) => ({ address, interface: 0 })),
  routes: [],
  dns: {},
});

function explained(error: unknown): unknown {
  if (error instanceof Exhausted)
    return new NethooksError(`every pair of addresses of ${PAIRS} is taken; --address chooses another one`);
  const words = error instanceof IpError ? error.stderr : '';
  if (!(error instanceof InterfaceExists) && linkFault(words) !== 'exists') return error;
  const what = error instanceof IpError && !error.command.startsWith('link ') ? existing(error.command, '') : null;
  return new NethooksError(
    what ?? 'one of the two has an interface of that name already; --ifname and --peer-ifname choose others',
  );
}
