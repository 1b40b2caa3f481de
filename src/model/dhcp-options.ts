/**
 * What a container's own DHCP client is told in place of what its network says, as dnsmasq reads it (dnsmasq(8), --dhcp-optsdir).
 * dnsmasq tells single clients apart by tags. A tag on a reservation (`set:TAG`) would crash 2.90 at the next SIGHUP, and one for each
 * MAC in its configuration would take a restart for each container. So its configuration has a tag for each value of each byte of a
 * MAC, once and for all, and six of them together are one client.
 */
import { isIPv4 } from './address.ts';

/** Absent: as the network. */
export interface DhcpOptions {
  /** Servers of either family; DHCP knows those of IPv4 only. */
  dns?: string[];
  /** Empty: none. */
  search?: string[];
  hostname?: string;
}

/** By number (RFC 2132, RFC 3397), as dnsmasq keeps the name of 12 for itself. */
const [DNS, HOSTNAME, DOMAIN, MTU, SEARCH] = [6, 12, 15, 26, 119];

interface Told {
  mac: string;
  /** Bytes. */
  mtu?: number;
  dhcpOptions?: DhcpOptions;
}

/** Whether it is told anything of its own. */
export const hasDhcpOptions = ({ mtu, dhcpOptions }: Pick<Told, 'mtu' | 'dhcpOptions'>): boolean =>
  mtu !== undefined || dhcpOptions !== undefined;

/** A line for each option, to be sent to this MAC alone; empty where it is told what its network says. */
export function dhcpOptionsText({ mac, mtu, dhcpOptions = {} }: Told): string {
  const { dns, search, hostname } = dhcpOptions;
  const lines: string[] = [];
  const send = (option: number, values: string[]): void => void lines.push(line(mac, option, values));
  // Without a value dnsmasq sends none, where it would send its own address.
  if (dns) send(DNS, dns.filter(isIPv4));
  if (search) {
    send(SEARCH, search.map(withoutDot));
    send(DOMAIN, []); // which would be searched, too
  }
  if (mtu !== undefined) send(MTU, [String(mtu)]);
  if (hostname !== undefined) send(HOSTNAME, [hostname]);
  return lines.join('');
}

/** @throws TypeError for what would not stay in its place in its line */
function line(mac: string, option: number, values: string[]): string {
  const bytes = mac.split(':');
  const strange = values.find((value) => !/^[A-Za-z0-9.-]+$/.test(value));
  if (strange !== undefined) throw new TypeError(`not a word of dnsmasq's: ${JSON.stringify(strange)}`);
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/.test(mac)) throw new TypeError(`not a MAC: ${JSON.stringify(mac)}`);
  return `${[...bytes.map((byte, place) => `tag:${tag(place, byte)}`), option, ...values].join(',')}\n`;
}

const withoutDot = (domain: string): string => domain.replace(/\.$/, '');

/** The numbers of the options in such a text. */
export const optionNumbers = (text: string): string[] =>
  text.split('\n').flatMap((one) => /,(\d+)(?:,|$)/.exec(one)?.[1] ?? []);

const tag = (place: number, byte: string): string => `mac${place}-${byte}`;

/** The lines of dnsmasq's configuration that make the tags. */
export function macTags(): string {
  let text =
    '# Written by nethooks: every byte of a MAC is a tag, by which files in dhcp-options/ know whom they are about.\n';
  for (let place = 0; place < 6; place++) {
    const [before, after] = ['*:'.repeat(place), ':*'.repeat(5 - place)];
    for (let value = 0; value < 256; value++) {
      const byte = value.toString(16).padStart(2, '0');
      text += `dhcp-mac=set:${tag(place, byte)},${before}${byte}${after}\n`;
    }
  }
  return text;
}
