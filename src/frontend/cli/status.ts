/** `nethooks status`. */

import { knownConfig } from '../../config/cache.ts';
import { NethooksError } from '../../errors.ts';
import { planChange } from '../../host/change.ts';
import { containerFindings } from '../../host/container-findings.ts';
import { healingFindings } from '../../host/heal.ts';
import type { ContainerStatus, NetworkStatus, Status } from '../../host/status.ts';
import { statusOf } from '../../host/status.ts';
import { type Finding, showFinding } from '../../model/finding.ts';
import { execUntil } from '../../system/exec.ts';
import { printable } from '../../system/log.ts';
import { lxcNetFindings } from '../lxc/lxc-net.ts';
import type { OptionsOf } from './commands.ts';
import { EXIT } from './exit.ts';
import { warn } from './output.ts';
import { portLine } from './port.ts';
import { changeTo, configuration, requireRoot } from './up.ts';

/** Prints what is there; exit status 3 when something is missing, or a mistake keeps it from being in force. */
export async function status({ config: file, json, graph, format }: OptionsOf<'status'>): Promise<number> {
  const forms = [...(json ? ['json' as const] : []), ...(graph ? ['graph' as const] : []), ...(format ? [format] : [])];
  if (new Set(forms).size > 1) throw new NethooksError('--json, --graph, --format: allowed: one of them', EXIT.usage);
  requireRoot('status');
  const { config, mistake } =
    file === undefined ? await knownConfig() : { config: await configuration(file), mistake: null };
  const exec = execUntil(performance.now() + 60_000);
  const { plan, facts } = await planChange(exec, changeTo(config));
  const current = statusOf(config, facts, plan, mistake);
  current.findings.push(...healingFindings(), ...lxcNetFindings(), ...containerFindings());
  await show(current, forms[0] ?? 'text');
  return current.findings.some(isDrift) ? EXIT.drift : EXIT.ok;
}

async function show(current: Status, form: NonNullable<OptionsOf<'status'>['format']>): Promise<void> {
  switch (form) {
    case 'text':
      return print(current);
    case 'json':
      return console.log(JSON.stringify(current, null, 2));
    case 'prometheus':
      return console.log((await import('./status-metrics.ts')).metrics(current));
    case 'graph':
      return console.log((await import('./status-graph.ts')).tree(current));
    case 'mermaid':
      return console.log((await import('./status-graph.ts')).mermaid(current));
  }
}

/** What commands do that do not bring anything back. */
const REMEDIES: Readonly<Record<string, string>> = {
  'nethooks gc': 'takes back what is left',
  'nethooks resume': 'ends the pause',
  'nethooks take-over lxc-net': 'makes one of the two',
};

const isDrift = ({ severity }: Finding): boolean => severity !== 'warning';

function print({ networks, forwarding, resolver, upstreams, findings }: Status): void {
  for (const network of networks) printNetwork(network);
  row(
    'host',
    `forwarding ${forwarding ? 'on' : 'off'}, resolver ${resolver}, upstream ${upstreams.join(' ') || 'none'}`,
  );
  for (const one of findings)
    if (isDrift(one)) row(one.severity, showFinding(one));
    else warn(showFinding(one));
  for (const remedy of new Set(findings.flatMap((one) => one.remedy ?? [])))
    row('', `\`${remedy}\` ${REMEDIES[remedy] ?? 'brings it back'}`);
}

/** One line about a network. */
export const headline = ({ name, address, bridge, domain }: NetworkStatus): string =>
  `${name}  ${address}  ${bridge ? 'up' : 'down'}  domain ${domain}`;

function printNetwork(network: NetworkStatus): void {
  const { dnsmasq, uplinks, defaultDevice, masquerade, source, antispoof, checksum, served, reserved } = network;
  console.log(headline(network));
  row(
    'uplinks',
    uplinks[0] === '*' ? `any (default route: ${defaultDevice ?? 'none'})` : uplinks.join(' ') || 'none is up',
  );
  row('masquerade', source === null ? masquerade : `${masquerade}, source ${source}`);
  if (antispoof !== 'not needed') row('antispoof', antispoof);
  row('checksum', checksum);
  row('dnsmasq', dnsmasq !== null ? `running (pid ${dnsmasq})` : served ? 'not running' : 'not needed');
  row('icc', network.icc ? 'on: containers reach each other' : 'off: containers reach each other by links only');
  if (network.routed) row('routed', 'who has a route to it reaches its containers');
  if (network.internal) row('internal', 'no way out of this host');
  row(
    'addresses',
    `${reserved.held} of ${reserved.of} held, ${network.leases.length} DHCP lease${network.leases.length === 1 ? '' : 's'}`,
  );
  for (const container of network.containers) {
    row('container', containerLine(container));
    for (const port of container.ports) row('', `${' '.repeat(15)} port ${portLine(port)}`);
    for (const { container: child, alias } of container.links)
      row('', `${' '.repeat(15)} link to ${child} as ${alias}`);
    if (container.source !== null) row('', `${' '.repeat(15)} source ${container.source}`);
    for (const name of container.sharedBy) row('', `${' '.repeat(15)} network shared by ${printable(name)}`);
  }
  for (const { address: own, mac, hostname, expires } of network.leases)
    row(
      'lease',
      `${own.padEnd(15)} ${mac} ${printable(hostname)} ${expires === null ? 'for ever' : `until ${new Date(expires).toISOString()}`}`,
    );
}

const containerLine = ({ name, address, dnsName, running, pid }: ContainerStatus): string =>
  `${address.padEnd(15)} ${printable(name)}${dnsName ? ` = ${dnsName}` : ''}  ${pid !== null ? `pid ${pid}` : running ? 'running' : 'not running'}`;

const row = (title: string, text: string): void => console.log(`  ${title.padEnd(11)} ${text}`);
