/** What values may be, as valibot schemas: what every file's schema is made of. */
import ipaddr from 'ipaddr.js';
import * as v from 'valibot';
import { isAddress, isIPv4 } from '../model/address.ts';
import { splitList } from '../model/spelling.ts';

/** Values that come with a later version are refused with that reason, never ignored. */
const now = (values: readonly string[], later: readonly string[]): string =>
  `allowed: ${values.join(', ')}${later.length > 0 ? `; ${later.join(', ')} is not supported by this version` : ''}`;

/** INI gives strings, JSON and YAML give native values: both are taken. */
export const text = (allowed: string) =>
  v.pipe(v.union([v.string(), v.number()], allowed), v.transform(String), v.trim());

export const matching = (test: (value: string) => boolean, allowed: string) =>
  v.pipe(text(allowed), v.check(test, allowed));

export const choice = <const T extends readonly string[]>(values: T, later: readonly string[] = []) =>
  v.pipe(text(now(values, later)), v.picklist(values, now(values, later)));

export const boolean = v.pipe(
  v.union([v.boolean(), v.picklist(['true', 'false', 'yes', 'no', 'on', 'off'])], 'allowed: true, false'),
  v.transform((value) => value === true || value === 'true' || value === 'yes' || value === 'on'),
);

/** `a, b c` and lists, empty items dropped. */
export const words = (allowed: string) =>
  v.pipe(
    v.union([v.array(text(allowed)), text(allowed)], allowed),
    v.transform((value) => (Array.isArray(value) ? value.filter((item) => item !== '') : splitList(value))),
  );

/** A list whose items all pass the test; the message names the first that does not. */
export const list = (test: (value: string) => boolean, allowed: string) =>
  v.pipe(words(allowed), v.array(v.pipe(v.string(), v.check(test, allowed))));

const MTU = 'allowed: auto, or bytes from 576 to 65535';
export const mtu = v.pipe(
  matching((value) => value === 'auto' || /^\d+$/.test(value), MTU),
  v.transform((value) => (value === 'auto' ? value : Number(value))),
  v.check((value) => value === 'auto' || (value >= 576 && value <= 65535), MTU),
);

/** The first octet of what no host sends from: this network, loopback, multicast and above. */
const NO_SOURCE = /^(0|127|22[4-9]|2[3-5]\d)\./;
export const sourceAddress = matching(
  (value) => isIPv4(value) && !NO_SOURCE.test(value),
  "allowed: an IPv4 address of the host's, none of 127.0.0.0/8",
);

export const SERVERS = 'IP addresses of DNS servers, none of them 0.0.0.0, ::, multicast or broadcast';

/** Ranges in which no one machine answers, as ipaddr.js calls them: classification is what we have it for. */
const NOBODY: readonly string[] = ['unspecified', 'multicast', 'broadcast'];

export const serverList = (allowed: string) =>
  list((server) => isAddress(server) && !NOBODY.includes(ipaddr.process(server).range()), allowed);
