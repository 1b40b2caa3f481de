/**
 * dnsmasq's dhcp-script (dnsmasq(8)): a machine got a lease, has it again, or has lost it. dnsmasq says what the machine calls itself when that
 * asks, not when it is restarted itself.
 */
import { endLease, nameLease } from '../../attachment/leases.ts';
import { contains, isIPv4 } from '../../model/address.ts';
import type { NetworkConfig } from '../../model/config.ts';
import { dnsName } from '../../model/names.ts';
import { nameByDhcp } from '../../plan/attachment/dhcp-names.ts';
import { listAddresses, storeOf } from '../../store/addresses.ts';
import { containersCalled } from '../../store/aliases.ts';
import { readHostRecord } from '../../store/host-record.ts';
import { isLeased, readLeasedName, removeLeasedName, writeLeasedName } from '../../store/leases.ts';
import { listKept, readKept } from '../../store/records.ts';
import { keysOf } from '../../store/register.ts';
import { readText } from '../../system/files.ts';
import { readInclude } from '../../system/lxc-include.ts';
import { lxcPath } from '../../system/lxc-path.ts';
import { containersOf, listContainers } from '../lxc/containers.ts';
import { withIncludes } from '../lxc/lxc-config.ts';
import type { HookContext } from './context.ts';

/** `nethooks hook lease add|old|del MAC ADDRESS NAME` */
export async function run({ words, ...how }: HookContext): Promise<void> {
  const [event = '', mac = '', address = '', asked = ''] = words;
  if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(mac) || !isIPv4(address)) return;
  const network = readHostRecord().networks.find(({ subnet }) => contains(subnet, address));
  const noted = readLeasedName(address);
  const known = noted?.mac === mac ? noted.name : '';
  const leased = { lease: network?.name ?? '', address, mac };
  if (event === 'del' || !network?.dhcpNames || !isLeased(leased)) {
    await endLease(how, address, mac);
    if (event === 'del' && noted?.mac === mac) removeLeasedName(address);
    return;
  }
  // A container of ours has the names that it is given, whatever its DHCP client says.
  if (keysOf('macs').includes(`${network.name}/${mac}`)) {
    await endLease(how, address, mac); // from before it was one
    return;
  }
  const name = nameByDhcp(asked || known, readText('/proc/sys/kernel/hostname')?.trim() ?? '');
  if (name === null) {
    how.log(`${mac} at ${address} calls itself ${JSON.stringify(asked)}: no name that it may have`);
    await endLease(how, address, mac);
    removeLeasedName(address);
    return;
  }
  writeLeasedName(address, { mac, name });
  const owner = containerCalled(name, mac, readHostRecord().networks);
  if (owner !== null)
    how.log(`the name ${name}.${network.domain} is container ${owner}'s: ${mac} at ${address} does not get it`);
  await nameLease(how, leased, network, owner === null ? name : null);
}

/**
 * The LXC container that has a name, running or not; null for none. One without our hooks, or that has not been started with them yet,
 * may be the machine itself, by its MAC.
 */
function containerCalled(name: string, mac: string, networks: readonly NetworkConfig[]): string | null {
  const isCalled = (container: string): boolean =>
    dnsName(container) === name && !readKept(container).interfaces.some((one) => one.mac === mac);
  const kept =
    listKept().find(isCalled) ?? containersCalled(name).filter((one) => dnsName(one) !== name || isCalled(one))[0];
  if (kept !== undefined) return kept;
  const directory = lxcPath();
  const isItself = (configFile: string): boolean =>
    withIncludes(readText(configFile) ?? '', readInclude).some(({ hwaddr }) => hwaddr === mac);
  const there = containersOf(directory, listContainers(directory).filter(isCalled)).find(
    ({ configFile }) => !isItself(configFile),
  );
  if (there !== undefined) return there.name;
  const holders = networks.flatMap((network) => listAddresses(storeOf(network.name)));
  const holder = holders.find(({ holder: { id } }) => id.startsWith('lxc-') && isCalled(id.slice('lxc-'.length)));
  return holder?.holder.id.slice('lxc-'.length) ?? null;
}
