/**
 * The lines that a network gives its dnsmasq as they are (`dnsmasq[]`). What nethooks says itself is refused by name; the rest dnsmasq
 * judges: it is started with them, as `--test` accepts much that ends a start.
 */
import { isIPv4, toNumber } from '../model/address.ts';
import type { NetworkConfig } from '../model/config.ts';
import { dnsmasqConfig, served } from '../plan/host/dnsmasq.ts';
import type { Fault } from './check.ts';

export const KEY = 'dnsmasq';

const OURS = 'nethooks says where dnsmasq listens; allowed: none of it';
const FILES = 'nethooks says what dnsmasq reads; allowed: its options themselves, each as a line';
const RUNS = 'dnsmasq runs no program and is no other user than nethooks says; allowed: none of it';
const STATE = 'nethooks says what dnsmasq remembers where; allowed: none of it';

/** Options of dnsmasq(8) that would break what nethooks relies on, and what there is in their place. */
const REFUSED: Readonly<Record<string, string>> = {
  ...named(
    'interface except-interface no-dhcp-interface no-dhcpv4-interface no-dhcpv6-interface listen-address bind-interfaces bind-dynamic',
    OURS,
  ),
  port: 'whether it answers DNS is the key dns; allowed: dns = false',
  ...named(
    'conf-file conf-dir servers-file hostsdir dhcp-hostsdir dhcp-optsdir dhcp-hostsfile dhcp-optsfile read-ethers no-hosts',
    FILES,
  ),
  ...named('dhcp-script dhcp-luascript dhcp-scriptuser script-arp script-on-renewal conf-script user group', RUNS),
  ...named('pid-file dhcp-leasefile leasefile-ro', STATE),
  ...named('keep-in-foreground no-daemon test help version', 'says how dnsmasq is called; allowed: none of it'),
  ...named('no-resolv resolv-file', 'the servers to ask are the key dns-upstream'),
  domain: 'the domain is the key domain, and DHCP is told of it',
};

/** A line as dnsmasq's configuration files have them: a long option, with a value or without. */
const LINE = /^([a-z][a-z0-9-]*)(?:\s*=\s*(.*))?$/;

/** What of a network's lines nethooks itself does not take. Pure. */
export function refusedLines({ name, dnsmasqLines, reserve }: NetworkConfig, isServed: boolean): Fault[] {
  const fault = (value: string, message: string): Fault => ({ section: `network.${name}`, key: KEY, value, message });
  return dnsmasqLines.flatMap((line) => {
    const [, option, value = ''] = LINE.exec(line) ?? [];
    if (option === undefined)
      return fault(line, 'allowed: a line of dnsmasq.conf, such as log-queries or cname=a.lxc,b.lxc');
    if (!isServed) return fault(line, 'the network has no dnsmasq; allowed: with dns or dhcp');
    const refused = Object.hasOwn(REFUSED, option) ? REFUSED[option] : refusedValue(option, value.split(','), reserve);
    return refused ? fault(line, `${option}: ${refused}`) : [];
  });
}

function refusedValue(option: string, words: string[], { from, to }: NetworkConfig['reserve']): string | null {
  const addresses = words.map((word) => word.trim()).filter(isIPv4);
  if (option === 'dhcp-range' && addresses.length > 0) return 'the range is the key dhcp; allowed: ranges of IPv6';
  if (option === 'server' && words.length === 1 && !words[0]?.startsWith('/'))
    return 'the servers to ask are the key dns-upstream; allowed: server=/DOMAIN/ADDRESS';
  if (option !== 'dhcp-host') return null;
  const within = addresses.find((address) => toNumber(from) <= toNumber(address) && toNumber(address) <= toNumber(to));
  return within === undefined
    ? null
    : `${within} may be a container's; allowed: addresses that are not in reserve = ${from}-${to}`;
}

/** Starts dnsmasq with a configuration and ends it: what it said if it did not start, and the line that it named. Null: it started. */
export type Attempt = (conf: string) => { words: string; line: number | null } | null;

/** What dnsmasq itself does not take. Empty also where it cannot be started at all: others say that. */
export function unusableLines(networks: NetworkConfig[], attempt: Attempt): Fault[] {
  const facts = { upstreams: [], links: [], defaultDevice: null, leaseScript: null };
  return networks.flatMap((network) => {
    const { name, dnsmasqLines } = network;
    if (dnsmasqLines.length === 0) return [];
    const confWith = (lines: string[]) =>
      dnsmasqConfig({ ...network, dnsmasqLines: lines }, networks.filter(served), facts);
    const fault = (value: string, words: string): Fault => ({
      section: `network.${name}`,
      key: KEY,
      value,
      message: `dnsmasq does not start with it: ${words}`,
    });
    const conf = confWith(dnsmasqLines);
    const failed = attempt(conf);
    if (failed === null) return [];
    const at = failed.line === null ? undefined : conf.split('\n')[failed.line - 1];
    if (at !== undefined && dnsmasqLines.includes(at)) return [fault(at, failed.words)];
    if (attempt(confWith([])) !== null) return [];
    const alone = dnsmasqLines.flatMap((line) => {
      const one = attempt(confWith([line]));
      return one ? [fault(line, one.words)] : [];
    });
    return alone.length > 0 ? alone : [fault(dnsmasqLines.join('; '), `all together: ${failed.words}`)];
  });
}

function named(options: string, why: string): Record<string, string> {
  return Object.fromEntries(options.split(' ').map((option) => [option, why]));
}
