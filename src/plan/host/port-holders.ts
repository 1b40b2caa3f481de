/** Other programs on the ports of our daemons. None of them can be told by a rule or a setting of ours: they are named, with the way out. */
import type { NetworkConfig } from '../../model/config.ts';
import type { HostFacts, PortHolder } from '../../model/facts.ts';
import { SYSTEM_DNSMASQ } from '../../model/paths.ts';

/** One fault for each program and network. */
export function heldPorts(networks: NetworkConfig[], facts: HostFacts): string[] {
  const faults = networks.flatMap((network) =>
    facts.holders
      .filter(({ port, networks: reached }) => reached.includes(network.name) && isNeeded(port, network))
      .filter((holder) => !goesBySettings(holder, facts))
      .map(({ port, owner }) => {
        const what = port === 53 ? `DNS at ${network.address}` : `DHCP on ${network.name}`;
        return `${show(owner)} answers ${what}, too, where dnsmasq of ${network.name} is to: ${wayOut(port, owner?.name, network)}`;
      }),
  );
  return [...new Set(faults)];
}

/** How to keep a program off a network. */
export function wayOut(port: number, program: string | undefined, network: { name: string; address: string }): string {
  const way = WAYS[`${program} ${port}`]?.(network) ?? `end it, keep it off ${network.name}`;
  return `${way}, or set ${port === 53 ? 'dns' : 'dhcp'} = false`;
}

/** By the name of the program, as the kernel has it (15 characters), and the port. */
const WAYS: Record<string, (network: { name: string; address: string }) => string> = {
  'named 53': ({ address }) =>
    // By default it is at the bridge's link-local address as well, where dnsmasq also answers.
    `say listen-on { !${address}; any; }; and listen-on-v6 { !fe80::/10; any; }; among the options in /etc/bind/named.conf.options, then systemctl restart named`,
  'unbound 53': () =>
    'name the addresses it is to answer at, such as interface: 127.0.0.1, in /etc/unbound/unbound.conf.d in place of 0.0.0.0, then systemctl restart unbound',
  'systemd-resolve 53': () =>
    'take it out of DNSStubListenerExtra= in /etc/systemd/resolved.conf, then systemctl restart systemd-resolved',
  'dnsmasq 53': ({ name }) =>
    `it needs bind-dynamic and except-interface=${name}; this host's own has both in ${SYSTEM_DNSMASQ}, if it reads that directory`,
  'dhcpd 67': ({ name }) =>
    `leave ${name} out of INTERFACESv4 in /etc/default/isc-dhcp-server, then systemctl restart isc-dhcp-server`,
  'kea-dhcp4 67': ({ name }) =>
    `leave ${name} out of interfaces-config in /etc/kea/kea-dhcp4.conf, then systemctl restart kea-dhcp4-server`,
};

const isNeeded = (port: number, { dns, dhcp }: NetworkConfig): boolean => (port === 53 ? dns : dhcp !== null);

/** Our file keeps the host's own dnsmasq off: a step, no fault. Its socket for DHCP is one of all interfaces even so. */
const goesBySettings = ({ owner }: PortHolder, { systemDnsmasq: { pid, readsDropIns } }: HostFacts): boolean =>
  owner !== null && owner.pid === pid && readsDropIns;

const show = (owner: PortHolder['owner']): string =>
  owner ? `${owner.name} (pid ${owner.pid})` : 'an unknown process';
