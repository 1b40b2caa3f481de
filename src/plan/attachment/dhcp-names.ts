/** What a machine may be called that is on a network by DHCP alone: pure. The name is its own word, and hostile. */
import type { AttachmentRecord, Leased } from '../../model/attachment.ts';
import type { NetworkConfig } from '../../model/config.ts';
import { dnsName } from '../../model/names.ts';

/**
 * Names by which others find what they trust: a proxy (wpad), a tunnel (isatap), a mail server's settings, themselves, or the way out
 * (systemd's nss-myhostname has `gateway`).
 */
const RESERVED: ReadonlySet<string> = new Set([
  ...['wpad', 'isatap', 'autoconfig', 'autodiscover', 'mta-sts'],
  ...['localhost', 'localdomain', 'ip6-localhost', 'ip6-loopback', 'broadcasthost'],
  ...['gateway', 'router', 'host', 'host-gateway', 'dns', 'ns', 'dhcp', 'ntp', 'nethooks'],
]);

/**
 * The bare name that a machine asks for; null for none that it could have. Of a name with a domain the first label counts, as
 * dnsmasq has it.
 * @param hostname the host's own
 */
export function nameByDhcp(asked: string, hostname: string): string | null {
  const firstLabel = (name: string): string | null => dnsName(name.split('.')[0] ?? '');
  const name = firstLabel(asked);
  return name === null || RESERVED.has(name) || name === firstLabel(hostname) ? null : name;
}

/** What is recorded of it. */
export const leaseRecord = (
  { lease, address, mac }: Leased,
  { prefix, domain }: Pick<NetworkConfig, 'prefix' | 'domain'>,
  names: string[],
): Omit<AttachmentRecord, 'state'> => ({
  owner: { kind: 'dhcp', address },
  life: { lease, address, mac },
  interfaces: [
    {
      driver: 'none',
      network: lease,
      domain,
      ifname: '',
      addresses: [`${address}/${prefix}`],
      gateways: [],
      mac,
      hostLink: null,
      store: null,
    },
  ],
  names: { own: names, linked: [] },
  links: [],
  policy: null,
});
