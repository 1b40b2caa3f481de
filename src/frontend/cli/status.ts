/** `nethooks status`. */

import { knownConfig } from '../../config/cache.ts';
import { planChange } from '../../host/change.ts';
import { containerFindings } from '../../host/container-findings.ts';
import type { NetworkStatus, Status } from '../../host/status.ts';
import { statusOf } from '../../host/status.ts';
import { type Finding, showFinding } from '../../model/finding.ts';
import { execUntil } from '../../system/exec.ts';
import { printable } from '../../system/log.ts';
import { lxcNetFindings } from '../lxc/lxc-net.ts';
import type { OptionsOf } from './commands.ts';
import { EXIT } from './exit.ts';
import { warn } from './output.ts';
import { changeTo, configuration, requireRoot } from './up.ts';

/** Prints what is there; exit status 3 when something is missing, or a mistake keeps it from being in force. */
export async function status({ config: file, json }: OptionsOf<'status'>): Promise<number> {
  requireRoot('status');
  const { config, mistake } =
    file === undefined ? await knownConfig() : { config: await configuration(file), mistake: null };
  const exec = execUntil(performance.now() + 60_000);
  const { plan, facts } = await planChange(exec, changeTo(config));
  const current = statusOf(config, facts, plan, mistake);
  current.findings.push(...lxcNetFindings(), ...(await containerFindings(exec)));
  if (json) console.log(JSON.stringify(current, null, 2));
  else print(current);
  return current.findings.some(isDrift) ? EXIT.drift : EXIT.ok;
}

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

/** What commands do about findings. */
const REMEDIES: Readonly<Record<string, string>> = {
  'nethooks gc': 'takes back what is left',
  'nethooks take-over lxc-net': 'makes one of the two',
};

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
  row(
    'addresses',
    `${reserved.held} of ${reserved.of} held, ${network.leases.length} DHCP lease${network.leases.length === 1 ? '' : 's'}`,
  );
  for (const { name: container, address: own, dnsName, running, pid } of network.containers)
    row(
      'container',
      `${own.padEnd(15)} ${container}${dnsName ? ` = ${dnsName}` : ''}  ${pid !== null ? `pid ${pid}` : running ? 'running' : 'not running'}`,
    );
  for (const { address: own, mac, hostname, expires } of network.leases)
    row(
      'lease',
      `${own.padEnd(15)} ${mac} ${printable(hostname)} ${expires === null ? 'for ever' : `until ${new Date(expires).toISOString()}`}`,
    );
}

const row = (title: string, text: string): void => console.log(`  ${title.padEnd(11)} ${text}`);
