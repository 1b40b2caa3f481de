/** What each key may hold, as valibot schemas. INI gives strings, JSON and YAML give native values: both are taken. */
import ipaddr from 'ipaddr.js';
import * as v from 'valibot';
import { isIPv4 } from '../plan/ipv4.ts';

/** A key whose values beyond those listed come with a later version: refused with that reason, never ignored. */
const now = (values: readonly string[], later: readonly string[]): string =>
  `allowed: ${values.join(', ')}${later.length > 0 ? `; ${later.join(', ')} is not supported by this version` : ''}`;

const text = (allowed: string) => v.pipe(v.union([v.string(), v.number()], allowed), v.transform(String), v.trim());

const matching = (test: (value: string) => boolean, allowed: string) => v.pipe(text(allowed), v.check(test, allowed));

const choice = <const T extends readonly string[]>(values: T, later: readonly string[] = []) =>
  v.pipe(text(now(values, later)), v.picklist(values, now(values, later)));

const boolean = v.pipe(
  v.union([v.boolean(), v.picklist(['true', 'false', 'yes', 'no', 'on', 'off'])], 'allowed: true, false'),
  v.transform((value) => value === true || value === 'true' || value === 'yes' || value === 'on'),
);

const CIDR = 'allowed: an IPv4 address and prefix length from 8 to 30, such as 10.0.0.1/24';
const address = v.pipe(
  matching((value) => ipaddr.IPv4.isValidCIDRFourPartDecimal(value) && isIPv4(value.split('/')[0] ?? ''), CIDR),
  v.transform((value) => ({ address: value.split('/')[0] as string, prefix: Number(value.split('/')[1]) })),
  v.check(({ prefix }) => prefix >= 8 && prefix <= 30, CIDR),
);

const RANGE = 'allowed: FIRST-LAST, such as 10.0.0.100-10.0.0.200';
const range = v.pipe(
  text(RANGE),
  v.transform((value) => value.split('-').map((part) => part.trim())),
  v.check((parts) => parts.length === 2 && parts.every(isIPv4), RANGE),
  v.transform(([from, to]) => ({ from: from as string, to: to as string })),
);

const OFF = v.pipe(
  v.union([v.picklist(['false', 'no', 'off', 'none']), v.literal(false)]),
  v.transform(() => null),
);

/** `a, b c` and lists, empty items dropped. */
const list = (test: (value: string) => boolean, allowed: string) =>
  v.pipe(
    v.union([v.array(text(allowed)), text(allowed)], allowed),
    v.transform((value) => (Array.isArray(value) ? value : value.split(/[\s,]+/)).filter((item) => item !== '')),
    v.array(v.pipe(v.string(), v.check(test, allowed))),
  );

/** An interface's name: what the kernel takes (dev_valid_name in net/core/dev.c), in printable ASCII. */
export const isInterfaceName = (name: string): boolean =>
  /^[!-~]{1,15}$/.test(name) && !/[/:%"'\\]/.test(name) && name !== '.' && name !== '..';

/** A DNS name of labels as RFC 1123 section 2.1 allows them. */
export const isDomainName = (name: string): boolean =>
  name.length <= 253 && /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/i.test(name);

const SECONDS = { s: 1, m: 60, h: 3600, d: 86400, w: 604800 } as const;
const LEASE = 'allowed: a time of at least 2m, such as 45m, 1h, 7d, or infinite';
const lease = v.pipe(
  matching((value) => value === 'infinite' || /^\d+[smhdw]?$/.test(value), LEASE),
  v.transform((value) => {
    if (value === 'infinite') return value;
    const unit = (/[smhdw]$/.exec(value)?.[0] ?? 's') as keyof typeof SECONDS;
    return Number.parseInt(value, 10) * SECONDS[unit];
  }),
  // dnsmasq raises shorter ones to two minutes without a word (dnsmasq(8), --dhcp-range).
  v.check((value) => value === 'infinite' || (value >= 120 && value < 2 ** 32), LEASE),
);

const MTU = 'allowed: auto, or bytes from 576 to 65535';
const mtu = v.pipe(
  matching((value) => value === 'auto' || /^\d+$/.test(value), MTU),
  v.transform((value) => (value === 'auto' ? value : Number(value))),
  v.check((value) => value === 'auto' || (value >= 576 && value <= 65535), MTU),
);

export const hostSchema = v.strictObject({
  firewall: v.optional(choice(['auto', 'nftables'], ['iptables']), 'auto'),
  resolver: v.optional(choice(['auto', 'resolved', 'resolvconf', 'file', 'none'], ['networkmanager']), 'auto'),
});

export const networkSchema = v.strictObject({
  address,
  uplinks: v.optional(
    list((name) => name === '*' || isInterfaceName(name), 'allowed: *, or names of interfaces of up to 15 characters'),
    '*',
  ),
  masquerade: v.optional(boolean, true),
  domain: v.optional(matching(isDomainName, 'allowed: a domain name, such as lxc'), 'lxc'),
  dns: v.optional(boolean, true),
  'dns-upstream': v.optional(
    list((value) => isIPv4(value) || ipaddr.IPv6.isValid(value), 'allowed: IP addresses of DNS servers'),
    [],
  ),
  dhcp: v.optional(v.union([OFF, range], `${RANGE}, or false`)),
  lease: v.optional(lease, '1h'),
  reserve: v.optional(range),
  icc: v.optional(
    v.pipe(
      boolean,
      v.check((value) => value, 'allowed: true; false (isolated containers) is not supported by this version'),
    ),
    true,
  ),
  mtu: v.optional(mtu, 'auto'),
});

export const HOST_KEYS = Object.keys(hostSchema.entries);
export const NETWORK_KEYS = Object.keys(networkSchema.entries);
