/** What each key of a container's options may hold, in its file and as a flag. */

import * as v from 'valibot';
import { NethooksError } from '../errors.ts';
import { type Cidr, contains, isIPv4, isV6, parseCidr, subnetCidr } from '../model/address.ts';
import type { NicKey, TopKey } from '../model/container-keys.ts';
import type { ContainerOptions, LinkOption, NicOptions } from '../model/container-options.ts';
import { dnsName, isDomainName, isInterfaceName, isSafeName } from '../model/names.ts';
import type { Egress } from '../model/policy.ts';
import { parseExpose, parsePortSpec } from '../model/ports.ts';
import type { CamelCase } from '../model/spelling.ts';
import { nameKeys, servers } from './name-keys.ts';
import { boolean, choice, list, matching, mtu, sourceAddress, words } from './values.ts';

/** Linux's HOST_NAME_MAX. */
const HOSTNAME_LENGTH = 64;

/** A list in a grammar that has a parser of its own, whose message is the fault's. */
const parsed = <T>(allowed: string, parse: (text: string) => T) =>
  v.pipe(
    words(allowed),
    v.rawTransform(({ dataset, addIssue, NEVER }) => {
      try {
        return dataset.value.map(parse);
      } catch (error) {
        if (!(error instanceof NethooksError)) throw error;
        addIssue({ message: error.message });
        return NEVER;
      }
    }),
  );

const LINK = 'allowed: CONTAINER or CONTAINER:ALIAS, the alias a host name (RFC 1123)';
const link = v.pipe(
  words(LINK),
  v.transform((items) => items.map(asLink)),
  v.check((links) => !links.includes(null), LINK),
  v.transform((links) => links as LinkOption[]),
  v.check(
    (links) => new Set(links.map(({ alias }) => alias)).size === links.length,
    'two links have one alias; allowed: an alias for each',
  ),
);

function asLink(text: string): LinkOption | null {
  const [container = '', given, ...rest] = text.split(':');
  const alias = given?.toLowerCase() ?? dnsName(container) ?? '';
  return rest.length === 0 && isSafeName(container) && isDomainName(alias) ? { container, alias } : null;
}

const CLIENTS = 'allowed: IPv4 addresses and subnets, such as 192.0.2.0/24';
const isIPv4Subnet = (text: string): boolean => isIPv4(text) || (!isV6(text) && parseCidr(text) !== null);

/** As nft prints them, host bits cleared; those that lie in others are left out, as sets of intervals take no overlaps. */
function apart(subnets: string[]): Cidr[] {
  const all = [...new Set(subnets.map((one) => subnetCidr(one.includes('/') ? one : `${one}/32`)))];
  const [within, first] = [(one: Cidr) => Number(one.split('/')[1]), (one: Cidr) => one.split('/')[0] as string];
  return all.filter((one) => !all.some((other) => within(other) < within(one) && contains(other, first(one))));
}

const EGRESS = 'allowed: IPv4 addresses and subnets, with :PORT for TCP and UDP to a port, such as 192.0.2.0/24:443';
function parseEgress(text: string): Egress | null {
  const [, subnet = '', digits] = /^([^:]+)(?::(\d{1,5}))?$/.exec(text) ?? [];
  const port = digits === undefined ? null : Number(digits);
  return isIPv4Subnet(subnet) && (port === null || (port > 0 && port < 65536)) ? { subnet, port } : null;
}

function egressOf(items: string[]): Egress[] {
  const all = items.flatMap((item) => parseEgress(item) ?? []);
  const ports = [...new Set(all.map(({ port }) => port))];
  return ports.flatMap((port) =>
    apart(all.flatMap((one) => (one.port === port ? one.subnet : []))).map((subnet) => ({ subnet, port })),
  );
}

const ADDRESS = "allowed: auto, dhcp, or an IPv4 address in the network's subnet";
const HOSTNAME = `allowed: a host name (RFC 1123) of up to ${HOSTNAME_LENGTH} characters`;
const ALIASES = 'allowed: host names (RFC 1123)';

/** The schema of a key's value: what it yields is the option of that name. */
type Schemas<Key extends string, Options> = {
  [K in Key]: v.GenericSchema<unknown, CamelCase<K> extends keyof Options ? Options[CamelCase<K>] : never>;
};

export const nicSchemas = {
  network: matching(isInterfaceName, 'allowed: the name of a network'),
  address: matching((value) => value === 'auto' || value === 'dhcp' || isIPv4(value), ADDRESS),
  mtu,
} satisfies Schemas<NicKey, NicOptions>;

export const containerSchemas = {
  hostname: matching((value) => value.length <= HOSTNAME_LENGTH && isDomainName(value), HOSTNAME),
  aliases: v.pipe(
    list(isDomainName, ALIASES),
    v.transform((names) => [...new Set(names.map((name) => name.toLowerCase()))]),
  ),
  publish: parsed('allowed: [[IP:][HOST-PORT]:]CONTAINER-PORT[/tcp|udp|sctp]', parsePortSpec),
  expose: v.pipe(
    parsed('allowed: PORT or FIRST-LAST, with /tcp, /udp or /sctp', parseExpose),
    v.transform((ports) => ports.flat()),
  ),
  'publish-all': boolean,
  'publish-from': v.pipe(list(isIPv4Subnet, CLIENTS), v.transform(apart)),
  egress: v.pipe(
    list((text) => parseEgress(text) !== null, EGRESS),
    v.transform(egressOf),
  ),
  source: sourceAddress,
  link,
  dns: servers,
  ...nameKeys,
  'net-admin': boolean,
  'resolv-conf': choice(['auto', 'force', 'none']),
} satisfies Schemas<TopKey, ContainerOptions>;
