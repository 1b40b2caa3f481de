/** The keys about names that a host, a network and a container have in common. The limits are glibc's (resolv.conf(5)). */

import * as v from 'valibot';
import { isAddress } from '../model/address.ts';
import type { ExtraHost } from '../model/config.ts';
import { isDomainName } from '../model/names.ts';
import { boolean, list, SERVERS, serverList, words } from './values.ts';

/** MAXNS in resolv.h: further servers would never be asked. */
const MAX_SERVERS = 3;
/** Before glibc 2.26; other C libraries still stop there. */
const MAX_DOMAINS = 6;
const MAX_SEARCH_CHARACTERS = 256;

const FEW_SERVERS = `up to ${MAX_SERVERS} ${SERVERS}`;
const fewServers = (allowed: string) => v.pipe(serverList(allowed), v.maxLength(MAX_SERVERS, allowed));
export const servers = fewServers(`allowed: ${FEW_SERVERS}`);

/** A network's `dns`: whether we answer, or whom its containers are to ask instead. */
const DNS = `allowed: true, false, or, for containers to ask instead, ${FEW_SERVERS}`;
export const networkDns = v.pipe(
  v.union([boolean, fewServers(DNS)], DNS),
  v.transform((value) => (typeof value === 'boolean' ? { dns: value, servers: [] } : { dns: true, servers: value })),
);

const SEARCH = `allowed: up to ${MAX_DOMAINS} domains of together ${MAX_SEARCH_CHARACTERS} characters, or a single . for none`;
const search = v.pipe(
  list((domain) => domain === '.' || isDomainName(domain.replace(/\.$/, '')), SEARCH),
  v.check(
    (domains) =>
      domains.length <= MAX_DOMAINS &&
      domains.join(' ').length <= MAX_SEARCH_CHARACTERS &&
      (domains.length === 1 || !domains.includes('.')),
    SEARCH,
  ),
);

const OPTIONS = 'allowed: options of resolv.conf(5), such as ndots:2, rotate';
const option = list((value) => /^[a-z][a-z0-9-]*(:\d{1,5})?$/i.test(value), OPTIONS);

const HOSTS = 'allowed: NAME:ADDRESS, such as db.example:192.0.2.7, or NAME:host-gateway for the host';
const extraHost = v.pipe(
  words(HOSTS),
  v.transform((lines) => lines.map(asHost)),
  v.check((hosts) => !hosts.includes(null), HOSTS),
  v.transform((hosts) => hosts as ExtraHost[]),
);

/** `NAME:ADDRESS` or `NAME=ADDRESS`, as Docker's --add-host takes them; an IPv6 address with or without brackets. */
function asHost(line: string): ExtraHost | null {
  const [, name = '', given = ''] = /^([^:=]+)[:=](.+)$/.exec(line) ?? [];
  const address = given.replace(/^\[(.*)\]$/, '$1');
  return isDomainName(name) && (address === 'host-gateway' || isAddress(address)) ? { name, address } : null;
}

export const nameKeys = {
  'dns-search': v.optional(search, []),
  'dns-option': v.optional(option, []),
  'extra-host': v.optional(extraHost, []),
};
