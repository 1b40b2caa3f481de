/**
 * This host may have a dnsmasq of its own, which by default takes port 53 of all addresses: then whichever comes second fails. A file
 * that goes with us keeps it off our bridges, whether it is there or comes later, and tells it whom to ask for containers' names.
 */
import { dirname } from 'node:path/posix';
import type { HostConfig, NetworkConfig } from '../../model/config.ts';
import type { HostFacts } from '../../model/facts.ts';
import { SYSTEM_DNSMASQ } from '../../model/paths.ts';
import type { Step } from '../../model/step.ts';
import { ALIAS } from './bridge.ts';
import { served as isServed, zonesOf } from './dnsmasq.ts';

/** Stands before the steps to our own daemons, which need the port. */
export function planSystemDnsmasq(host: HostConfig, networks: NetworkConfig[], facts: HostFacts): Step[] {
  const before = facts.files[SYSTEM_DNSMASQ] ?? null;
  const content = text(host, networks.filter(isServed), facts);
  const { pid, readsDropIns } = facts.systemDnsmasq;
  const changes: Step[] = before === content ? [] : [{ kind: 'file', path: SYSTEM_DNSMASQ, before, content }];
  const restarts = pid !== null && readsDropIns && (changes.length > 0 || facts.holders.some(isIts(pid)));
  return [...changes, ...(restarts ? [{ kind: 'neighbour', program: 'dnsmasq' } as const] : [])];
}

/** Takes it out, and a directory that nobody else needs. */
export function planSystemDnsmasqDown(facts: HostFacts): Step[] {
  const before = facts.files[SYSTEM_DNSMASQ] ?? null;
  if (before === null) return [];
  const { pid, hasDropIns } = facts.systemDnsmasq;
  return [
    { kind: 'file', path: SYSTEM_DNSMASQ, before, content: null },
    // Beside lxc-net's daemon it would not start again.
    ...(pid === null || facts.links.some(({ name }) => name === facts.lxcNet.bridge)
      ? []
      : [{ kind: 'neighbour', program: 'dnsmasq' } as const]),
    ...(hasDropIns ? [] : [{ kind: 'directory', path: dirname(SYSTEM_DNSMASQ), action: 'remove' } as const]),
  ];
}

/** Whether the system's dnsmasq holds a port only because it has not read our file yet. */
const isIts =
  (pid: number) =>
  ({ port, owner }: HostFacts['holders'][number]): boolean =>
    port === 53 && owner?.pid === pid;

/** Null without a daemon of ours. */
function text({ resolver }: HostConfig, networks: NetworkConfig[], facts: HostFacts): string | null {
  if (networks.length === 0) return null;
  const { setsBinding, setsAccess } = facts.systemDnsmasq;
  // lxc-net's has one as well, and no such file.
  const others = facts.lxcVersion !== null && facts.lxcNet.comes ? [facts.lxcNet.bridge] : [];
  const served = new Set([...networks.map(({ name }) => name), ...others]);
  const asked = resolver === 'none' ? [] : networks.filter(({ dns }) => dns);
  const zones = new Map(
    [...asked].reverse().flatMap((one) => [one.domain, ...zonesOf([one])].map((zone) => [zone, one.address])),
  );
  const exposed = facts.links.filter((link) => link.exposed && link.alias !== ALIAS).map(({ name }) => name);
  const lines = [
    '# Written by nethooks; changes are overwritten by `nethooks up`.',
    "# This host's own dnsmasq leaves bridges to those that serve containers there.",
    // Two modes would end it.
    ...(setsBinding ? [] : ['bind-dynamic']),
    ...[...served].map((name) => `except-interface=${name}`),
    // With a line such as those above, dnsmasq serves strangers, too (dnsmasq(8), --local-service).
    ...(setsAccess || exposed.length === 0
      ? []
      : [
          '# Nor does it become a resolver for the internet. To serve these say interface= in /etc/dnsmasq.conf, and `nethooks up`.',
          ...exposed.map((name) => `except-interface=${name}`),
        ]),
    ...[...zones].map(([zone, address]) => `server=/${zone}/${address}`),
    ...new Set(asked.map(({ domain }) => `rebind-domain-ok=/${domain}/`)),
  ];
  return `${lines.join('\n')}\n`;
}
