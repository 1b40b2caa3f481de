/** How earlier versions wrote what they kept and what ran, and what that is now: an upgrade finds containers that run. */
import { basename, dirname } from 'node:path';
import type {
  AddressStore,
  AttachmentRecord,
  DriverName,
  Interface,
  KeptRecord,
  Owner,
  WrittenFiles,
} from '../model/attachment.ts';
import { NO_POLICY, type Policy, type Published } from '../model/policy.ts';
import type { Port } from '../model/ports.ts';
import { ATTACHED } from '../plan/attachment/wiring.ts';
import { storeOf } from './addresses.ts';

/** An LXC container's interface. */
export interface EarlierInterface {
  network: string;
  domain: string;
  ifname: string;
  nic?: number;
  address: string;
  prefix: number;
  gateway: string;
  mac: string;
  setMac: boolean;
  dhcp?: true;
  mtu?: number;
}

/** What an LXC container kept. The first version had only its interfaces. */
export type EarlierKept =
  | EarlierInterface[]
  | { attachments: EarlierInterface[]; publish: Published[]; exposed: Port[]; told?: WrittenFiles };

type EarlierPolicy = Omit<Policy, 'masquerade'>;

/** `/run/nethooks/containers/NAME.json`. */
export interface EarlierContainer {
  name: string;
  pid: number;
  started: string | null;
  attachments: EarlierInterface[];
  configFile?: string | null;
  words?: readonly string[];
  policy: EarlierPolicy | null;
}

interface EarlierKey {
  network: string;
  id: string;
  ifname: string;
}

/** `/run/nethooks/cni/attachments/NETWORK/ID:IFNAME.json`. */
export interface EarlierConnection extends EarlierKey {
  kind: 'network' | 'dns' | Exclude<DriverName, 'none' | 'peer'>;
  netns: string;
  namespace: string;
  hostLink: string | null;
  store: AddressStore | null;
  ipam: { type: string; text: string; path: string[]; args: string } | null;
  masquerade: string[];
  policy: EarlierPolicy | null;
  names: { files: string[]; networks: string[] };
  result: {
    interfaces: { name: string; mac?: string; sandbox?: string }[];
    ips: { address: string; gateway?: string; interface?: number }[];
  } | null;
  shim?: { link: string; addresses: string[] };
  peer?: EarlierKey;
}

export const NOTHING_KEPT: KeptRecord = { interfaces: [], publish: [], exposed: [] };

export function currentKept(kept: KeptRecord | EarlierKept): KeptRecord {
  if (Array.isArray(kept)) return { ...NOTHING_KEPT, interfaces: kept.map(currentInterface) };
  if ('interfaces' in kept) return kept;
  const { attachments, publish, exposed, told } = kept;
  return { interfaces: attachments.map(currentInterface), publish, exposed, ...(told && { written: told }) };
}

const currentInterface = ({ address, prefix, gateway, network, ...rest }: EarlierInterface): Interface => ({
  ...rest,
  driver: 'none',
  network,
  addresses: [`${address}/${prefix}`],
  gateways: [gateway],
  hostLink: null,
  store: storeOf(network),
});

const currentPolicy = (policy: EarlierPolicy | null, masquerade: string[]): Policy | null =>
  policy === null && masquerade.length === 0 ? null : { ...NO_POLICY, ...policy, masquerade };

/** The record of an LXC container that runs, without its names. */
export function currentContainer(earlier: EarlierContainer): AttachmentRecord {
  const { name, pid, started, attachments, configFile, words, policy } = earlier;
  return {
    owner: { kind: 'lxc', name },
    state: 'attached',
    life: { pid, started },
    interfaces: attachments.map(currentInterface),
    names: { own: [], linked: [] },
    links: policy?.links.map(({ container, alias }) => ({ container, alias })) ?? [],
    policy: currentPolicy(policy, []),
    ...(configFile === undefined ? {} : { configFile }),
    ...(words === undefined ? {} : { words }),
  };
}

/** The record of what CNI or `nethooks attach` has connected, without its names. */
export function currentConnection(earlier: EarlierConnection): AttachmentRecord {
  const { netns, namespace, ifname, hostLink, store, ipam, names, result, shim, peer } = earlier;
  const [file] = names.files;
  const inside = result?.interfaces.find(({ name, sandbox }) => sandbox !== undefined && name === ifname);
  const ips = result?.ips ?? [];
  return {
    owner: ownerOf(earlier),
    state: 'attached',
    life: { netns, namespace },
    interfaces: [
      {
        driver: driverOf(earlier),
        network: names.networks[0] ?? earlier.policy?.network ?? null,
        domain: file === undefined ? null : basename(dirname(file)),
        ifname,
        addresses: ips.map(({ address }) => address),
        gateways: [...new Set(ips.flatMap(({ gateway }) => gateway ?? []))],
        mac: inside?.mac ?? '',
        hostLink,
        store,
      },
    ],
    names: { own: [], linked: [] },
    links: [],
    policy: currentPolicy(earlier.policy, earlier.masquerade),
    ...(ipam === null ? {} : { ipam }),
    ...(result === null ? {} : { result }),
    ...(shim === undefined ? {} : { shim }),
    ...(peer === undefined ? {} : { peer: `${ATTACHED}/${peer.id}:${peer.ifname}` }),
  };
}

function ownerOf({ network, id, ifname, kind }: EarlierConnection): Owner {
  if (network === ATTACHED && id.startsWith('attached.')) return { kind: 'attach', id, ifname };
  return { kind: 'cni', network, id, ifname, ...(kind === 'dns' ? { chained: true } : {}) };
}

/** Of a pair between two containers each record had the driver's name, or none. */
function driverOf({ kind, peer }: EarlierConnection): DriverName {
  if (peer !== undefined) return 'peer';
  if (kind === 'network') return 'bridge';
  return kind === 'dns' ? 'none' : kind;
}
