/** Containers of lxc-net's that come to us: what makes their addresses and names stay theirs. Pure. */
import { bare } from '../../model/address.ts';
import type { Interface, KeptRecord } from '../../model/attachment.ts';
import type { LxcNet, Shares, Taken, TakenContainer } from '../../model/lxc-net.ts';
import { dnsName } from '../../model/names.ts';
import { keptRecord, leasedName } from '../../model/paths.ts';
import type { FileStep, Step } from '../../model/step.ts';
import { dhcpHost, reservationFile } from './names.ts';

/** By these a container finds its address again, dnsmasq keeps it for its MAC, and the name of one that runs is answered. */
export function planKept(
  { bridge, prefix }: Pick<LxcNet, 'bridge' | 'prefix'>,
  { taken, foreign }: Shares,
  containers: readonly TakenContainer[],
): Step[] {
  const names = new Map<string, string>();
  const steps: FileStep[] = [];
  for (const { address, mac, hostname } of foreign)
    if (hostname !== null && dnsName(hostname) !== null) names.set(address, `${mac} ${hostname}`);
  for (const { name, kept } of containers) {
    const own = taken.filter(({ container }) => container === name);
    const interfaces = own.map((one) => interfaceOf(one, bridge, prefix));
    if (interfaces.every((one) => isKept(kept, one))) continue;
    for (const { nic, address } of own)
      if (nic.mac !== null && nic.running.includes(address)) names.set(address, `${nic.mac} ${dnsName(name)}`);
    const owner = { kind: 'lxc' as const, name };
    for (const one of interfaces)
      if (one.mac !== '') steps.push(write(reservationFile(bridge, owner, one.ifname), dhcpHost(one)));
    const others = kept.interfaces.filter(({ ifname }) => !interfaces.some((one) => one.ifname === ifname));
    // The last of them: where it is there, the others are.
    steps.push(write(keptRecord(name), JSON.stringify({ ...kept, interfaces: [...others, ...interfaces] })));
  }
  return [...[...names].map(([address, text]) => write(leasedName(address), `${text}\n`)), ...steps];
}

const isKept = (kept: KeptRecord, { network, ifname, addresses }: Interface): boolean =>
  kept.interfaces.some(
    (one) =>
      one.network === network && one.ifname === ifname && one.addresses.map(bare).join() === addresses.map(bare).join(),
  );

function interfaceOf({ nic, address }: Taken, network: string, prefix: number): Interface {
  return {
    driver: 'none',
    network,
    domain: null,
    ifname: nic.ifname,
    addresses: [`${address}/${prefix}`],
    gateways: [],
    mac: nic.mac ?? '',
    hostLink: null,
    store: { dataDir: '/var/lib/cni/networks', network },
  };
}

const write = (path: string, content: string): FileStep => ({ kind: 'file', path, before: null, content });
