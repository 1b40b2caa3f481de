/** resolv.conf(5): the host's, to learn whom to ask, and the containers', to tell them. */

import { isAddress } from './address.ts';

export interface ResolvConf {
  /** IPv4 or IPv6 addresses, the latter perhaps with a scope (`fe80::1%eth0`). */
  nameservers: string[];
  search: string[];
  options: string[];
}

/** Where systemd-resolved answers; its own upstreams are in /run/systemd/resolve/resolv.conf (systemd-resolved.service(8)). */
const RESOLVED_STUBS: readonly string[] = ['127.0.0.53', '127.0.0.54'];

/**
 * As glibc reads it: a keyword begins its line, `#` or `;` makes the line a comment, the last of `search` and `domain` wins,
 * `options` add up. Lines that make no sense are skipped.
 */
export function parseResolvConf(text: string): ResolvConf {
  const found: ResolvConf = { nameservers: [], search: [], options: [] };
  for (const line of text.split('\n')) {
    const [, keyword, rest = ''] = /^(nameserver|search|domain|options)[ \t]+(.*)$/s.exec(line) ?? [];
    const words = rest.split(/\s+/).filter((word) => isWord(word));
    const comment = words.findIndex((word) => /^[#;]/.test(word));
    const values = comment < 0 ? words : words.slice(0, comment);
    const [first] = values;
    if (keyword === undefined || first === undefined) continue;
    if (keyword === 'nameserver' && isServer(first)) found.nameservers.push(first);
    if (keyword === 'search') found.search = values;
    if (keyword === 'domain') found.search = [first];
    if (keyword === 'options') found.options.push(...values);
  }
  return found;
}

/**
 * The file's text, without lines that would say nothing. glibc asks the first three nameservers only; all are written.
 * @throws TypeError for a value that would not stay in its place in its line
 */
export function renderResolvConf({ nameservers, search, options }: ResolvConf): string {
  for (const value of [...nameservers, ...search, ...options]) {
    if (value === '' || /[\s\p{Cc}]/u.test(value))
      throw new TypeError(`not a word of resolv.conf: ${JSON.stringify(value)}`);
  }
  const lines = [
    ...(search.length > 0 ? [`search ${search.join(' ')}`] : []),
    ...nameservers.map((address) => `nameserver ${address}`),
    ...(options.length > 0 ? [`options ${options.join(' ')}`] : []),
  ];
  return lines.map((line) => `${line}\n`).join('');
}

/** What it comes to, in one line: two files with one line have programs ask the same. */
export function showResolvConf({ nameservers, search, options }: ResolvConf): string {
  const list = (title: string, words: readonly string[]): string[] =>
    words.length > 0 ? [`${title} ${words.map((word) => word.toLowerCase().replace(/\.$/, '')).join(' ')}`] : [];
  return [
    ...list('nameserver', nameservers),
    ...list('search', search),
    ...list('options', [...new Set(options)].sort()),
  ].join(', ');
}

export interface UpstreamFacts {
  /** The text of /etc/resolv.conf. */
  resolvConf: string;
  /** The text of /run/systemd/resolve/resolv.conf; null without systemd-resolved. */
  resolvedUplink: string | null;
  /** The text of a file with the servers that the host's own dnsmasq asks, where programs ask that; else null. */
  dnsmasqUplink: string | null;
  /** Our bridges' addresses: dnsmasq must not ask itself. */
  own: readonly string[];
  /** The servers that each uplink's DHCP lease named. */
  leases: readonly (readonly string[])[];
}

/**
 * The servers that our dnsmasq forwards to, in order, each once. systemd-resolved's stub is replaced by what it asks itself: one
 * hop less, and resolved asks us for the containers' domain. So is the host's own dnsmasq. Any other server on 127.0.0.0/8 stays: dnsmasq runs on the host,
 * where a local unbound does answer.
 */
export function upstreams({ resolvConf, resolvedUplink, dnsmasqUplink, own, leases }: UpstreamFacts): string[] {
  const serversIn = (text: string | null): string[] => parseResolvConf(text ?? '').nameservers;
  const uplinks = resolvedUplink === null ? null : serversIn(resolvedUplink).filter((server) => !isStub(server));
  const behind = serversIn(dnsmasqUplink).filter((server) => !server.startsWith('127.') && !own.includes(server));
  const configured = serversIn(resolvConf).flatMap((server) => {
    if (isStub(server)) return uplinks ?? [server];
    return server.startsWith('127.') && behind.length > 0 ? behind : [server];
  });
  const servers = [...configured, ...leases.flat()].map((server) => server.toLowerCase());
  return [...new Set(servers)].filter((server) => !own.includes(server) && canAnswer(server)).slice(0, MOST_SERVERS);
}

/** dnsmasq asks all of them at once when it starts, and whenever the last one that answered does not. */
const MOST_SERVERS = 8;

/** Whether an address can be one host's: neither none at all (0.0.0.0, ::), nor multicast, reserved or broadcast. */
export function canAnswer(server: string): boolean {
  const address = server.replace(/%.*$/, '').toLowerCase();
  if (address.includes(':')) return !/^(ff|[0:]*$)/.test(address);
  const [first = 0] = address.split('.').map(Number);
  return first > 0 && first < 224;
}

function isWord(text: string): boolean {
  return text !== '' && !/[\s\p{Cc}]/u.test(text);
}

function isStub(server: string): boolean {
  return RESOLVED_STUBS.includes(server);
}

/** An IPv6 address may have a scope: `fe80::1%eth0`. */
const isServer = (text: string): boolean => isAddress(text.includes(':') ? text.replace(/%[\w.-]+$/, '') : text);
