/** What each key of nethooks.ini may hold, as valibot schemas. */

import * as v from 'valibot';
import { isIPv4, parseCidr } from '../model/address.ts';
import { isDomainName, isInterfaceName } from '../model/names.ts';
import { nameKeys, networkDns, servers } from './name-keys.ts';
import { boolean, choice, list, matching, mtu, SERVERS, serverList, sourceAddress, text } from './values.ts';

const CIDR = 'allowed: an IPv4 address and prefix length from 8 to 30, such as 10.0.0.1/24';
const address = v.pipe(
  text(CIDR),
  v.transform(parseCidr),
  v.check((cidr) => cidr !== null && isIPv4(cidr.address) && cidr.prefix >= 8 && cidr.prefix <= 30, CIDR),
  v.transform((cidr) => cidr as { address: string; prefix: number }),
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

/** The range of docker 0.9 to 1.4; the kernel's own ephemeral ports (net.ipv4.ip_local_port_range) end before 61000. */
const PORTS = 'allowed: FIRST-LAST of ports from 1 to 65535, such as 49153-65535';
const publishPorts = v.pipe(
  matching((value) => /^\d{1,5}\s*-\s*\d{1,5}$/.test(value), PORTS),
  v.transform((value) => value.split('-').map(Number)),
  v.check(([from = 0, to = 0]) => from >= 1 && from <= to && to <= 65535, PORTS),
  v.transform(([from, to]) => ({ from: from as number, to: to as number })),
);

const AT_ONCE = 'allowed: auto, or a number from 1 to 64';
const atOnce = v.pipe(
  matching((value) => value === 'auto' || /^[1-9]\d?$/.test(value), AT_ONCE),
  v.transform((value) => (value === 'auto' ? value : Number(value))),
  v.check((value) => value === 'auto' || value <= 64, AT_ONCE),
);

const TIMEOUT = 'allowed: a time from 2s to 5m';
const hookTimeout = v.pipe(
  matching((value) => /^\d+[sm]?$/.test(value), TIMEOUT),
  v.transform((value) => Number.parseInt(value, 10) * (value.endsWith('m') ? SECONDS.m : 1)),
  v.check((value) => value >= 2 && value <= 300, TIMEOUT),
);

const LINES = 'allowed: lines of dnsmasq.conf, each without a line break';
const line = v.pipe(
  text(LINES),
  // biome-ignore lint/suspicious/noControlCharactersInRegex: a line break would begin another option
  v.check((value) => !/[\0-\x1f\x7f]/.test(value), LINES),
);
/** Commas are dnsmasq's own. */
const lines = v.pipe(
  v.union([v.array(line), line], LINES),
  v.transform((value) => [value].flat().filter((one) => one !== '')),
);

export const hostSchema = v.strictObject({
  resolver: v.optional(choice(['auto', 'resolved', 'resolvconf', 'file', 'none'], ['networkmanager']), 'auto'),
  dns: v.optional(servers, []),
  ...nameKeys,
  'hooks-at-once': v.optional(atOnce, 'auto'),
  'hook-timeout': v.optional(hookTimeout, '5s'),
  'publish-ports': v.optional(publishPorts, '49153-65535'),
  'publish-address': v.optional(matching(isIPv4, "allowed: an IPv4 address of the host's, or 0.0.0.0"), '0.0.0.0'),
});

export const networkSchema = v.strictObject({
  address,
  uplinks: v.optional(
    list((name) => name === '*' || isInterfaceName(name), 'allowed: *, or names of interfaces of up to 15 characters'),
    '*',
  ),
  masquerade: v.optional(boolean, true),
  domain: v.optional(matching(isDomainName, 'allowed: a domain name, such as lxc'), 'lxc'),
  dns: v.optional(networkDns, true),
  'dns-upstream': v.optional(serverList(`allowed: ${SERVERS}`), []),
  dnsmasq: v.optional(lines, []),
  ...nameKeys,
  dhcp: v.optional(v.union([OFF, range], `${RANGE}, or false`)),
  lease: v.optional(lease, '1h'),
  'dhcp-names': v.optional(boolean),
  reserve: v.optional(range),
  icc: v.optional(boolean, true),
  antispoof: v.optional(boolean),
  source: v.optional(sourceAddress),
  routed: v.optional(boolean, false),
  trusted: v.optional(list(isInterfaceName, 'allowed: names of interfaces of up to 15 characters'), []),
  reach: v.optional(
    list((name) => name === '*' || isInterfaceName(name), 'allowed: *, or names of networks'),
    [],
  ),
  internal: v.optional(boolean, false),
  mtu: v.optional(mtu, 'auto'),
});
