/** How the host itself comes to ask dnsmasq for the containers' names. */
import type { HostConfig, NetworkConfig } from '../../model/config.ts';
import type { HostFacts } from '../../model/facts.ts';
import { RESOLV_CONF } from '../../model/paths.ts';
import { parseResolvConf } from '../../model/resolv-conf.ts';
import type { Plan, ResolverStep, Step } from '../../model/step.ts';
import { withBlock, withoutBlock } from '../marked-block.ts';

/**
 * Brings the host's resolver to what is wanted: systemd-resolved and resolvconf are told per bridge, a plain resolv.conf gets a
 * marked block, and the host's own dnsmasq, where that is asked, has a file (system-dnsmasq.ts). Wherever an earlier choice left something, it is taken back.
 * @param gone addresses of ours that answer no longer: a DHCP client that our hook served has written one without a block
 */
export function planResolver(host: HostConfig, networks: NetworkConfig[], facts: HostFacts, gone: string[]): Plan {
  const kind = host.resolver === 'auto' ? facts.resolver.kind : host.resolver;
  const asked = networks.filter((network) => network.dns);
  const links =
    kind === 'resolved' || kind === 'resolvconf'
      ? planRegistered(kind, asked, facts)
      : clearRegistered(Object.keys(facts.resolver.registered), facts);
  const file = planFile(kind === 'file' ? asked : [], facts, gone);
  return { steps: [...links, ...file.steps], warnings: file.warnings, refusals: [] };
}

function planRegistered(how: 'resolved' | 'resolvconf', networks: NetworkConfig[], facts: HostFacts): Step[] {
  const gone = Object.keys(facts.resolver.registered).filter(
    (bridge) => !networks.some((network) => network.name === bridge),
  );
  const set = networks.flatMap(({ name, address, domain }): Step[] => {
    const now = facts.resolver.registered[name];
    // resolved gets routing domains (resolved.conf(5): a leading ~ asks these servers without searching the domain).
    const domains = how === 'resolved' ? [`~${domain}`] : [];
    const same = now && now.servers.join() === address && now.domains.join() === domains.join();
    return same ? [] : [{ kind: 'resolver', how, action: 'set', bridge: name, address, domains }];
  });
  return [...clearRegistered(gone, facts), ...set];
}

function clearRegistered(bridges: string[], facts: HostFacts): Step[] {
  const { kind } = facts.resolver;
  // Only resolvconf has something of ours where the host's own dnsmasq stands in front.
  const how = kind === 'resolved' ? kind : 'resolvconf';
  return bridges.map((bridge): ResolverStep => {
    const { servers, domains } = facts.resolver.registered[bridge] as { servers: string[]; domains: string[] };
    return { kind: 'resolver', how, action: 'clear', bridge, address: servers[0] ?? '', domains };
  });
}

/** The first network's dnsmasq answers for all of them, so it alone goes into resolv.conf, which takes three servers at most. */
function planFile(networks: NetworkConfig[], facts: HostFacts, gone: string[]): { steps: Step[]; warnings: string[] } {
  const { text, link } = facts.resolver;
  const foreign = withoutServers(text ?? '', gone);
  const bare = withoutBlock(foreign);
  const address = networks[0]?.address;
  // A DHCP client that our hook serves has written the address itself.
  const there = address !== undefined && parseResolvConf(bare).nameservers.includes(address);
  const blocked = address === undefined || there ? bare : withBlock(foreign, [`nameserver ${address}`], 'top');
  // A file that we made is told from one that was empty by its last newline, which it lacks.
  const content = text === null ? blocked.trimEnd() : blocked;
  if (content === (text ?? '')) return { steps: [], warnings: [] };
  if (link !== null)
    return {
      steps: [],
      warnings: [
        `${RESOLV_CONF} is a link to ${link}, whose owner is unknown: the host does not ask for container names`,
      ],
    };
  const created = bare === '' && text !== null && !text.endsWith('\n');
  return {
    steps: [{ kind: 'file', path: RESOLV_CONF, before: text, content: created && content === '' ? null : content }],
    warnings: [],
  };
}

/** The text without the lines that name one of these servers, which nobody would answer on any more. */
function withoutServers(text: string, servers: string[]): string {
  const lines = text.split('\n');
  return lines.filter((line) => !servers.includes(/^nameserver\s+(\S+)\s*$/.exec(line)?.[1] ?? '')).join('\n');
}
