/** `nethooks config check|show|init`. */
import { dirname } from 'node:path';
import { resolveContainer } from '../../config/container.ts';
import { loadConfig } from '../../config/load.ts';
import type { hostSchema, networkSchema } from '../../config/schema.ts';
import { NethooksError } from '../../errors.ts';
import { existingConfig, type FirstConfig, firstConfig } from '../../host/first-config.ts';
import type { Config, ContainerDefaults, HostConfig, NameDefaults, NetworkConfig } from '../../model/config.ts';
import { CONFIG_FILE, containerFile } from '../../model/paths.ts';
import { changed } from '../../system/event.ts';
import { execUntil } from '../../system/exec.ts';
import { filesIn, readText, writeAtomically } from '../../system/files.ts';
import { bridgesNamed } from '../lxc/give-back.ts';
import type { OptionsOf } from './commands.ts';
import { EXIT } from './exit.ts';
import { warn } from './output.ts';
import { requireRoot } from './up.ts';

/** Reads the configuration; what is wrong is thrown as a ConfigError with every problem. */
export async function check({ config: file }: OptionsOf<'config check'>): Promise<number> {
  const { source, networks } = loadConfig(file);
  if (file === undefined) checkContainers();
  console.log(
    `${source}: ok, ${networks.length} network${networks.length === 1 ? '' : 's'}: ${networks.map(({ name }) => name).join(', ')}`,
  );
  return EXIT.ok;
}

/** @throws NethooksError with every problem of every container's file */
export function checkContainers(): void {
  const directory = dirname(containerFile('-'));
  const names = filesIn(directory).flatMap((name) => (name.endsWith('.ini') ? [name.slice(0, -'.ini'.length)] : []));
  const problems = names.flatMap((name) => {
    const { problems: found } = resolveContainer(name, { text: readText(containerFile(name)), words: [] });
    return found.map(({ message }) => message);
  });
  if (problems.length > 0) throw new NethooksError(problems.join('\n'));
}

/** Prints the configuration as nethooks understands it. */
export async function show({ config, json }: OptionsOf<'config show'>): Promise<number> {
  const loaded = loadConfig(config);
  console.log(json ? JSON.stringify(loaded, null, 2) : asIni(loaded));
  return EXIT.ok;
}

/** Writes the first configuration; an existing one in any format is left alone. */
export async function init({ print }: OptionsOf<'config init'>): Promise<number> {
  const existing = existingConfig();
  if (existing && !print) {
    console.log(`${existing}: kept as it is`);
    return EXIT.ok;
  }
  if (!print) requireRoot('config init');
  const first = await firstConfig(execUntil(performance.now() + 10_000), existing ? null : bridgesNamed());
  for (const warning of first.warnings) warn(warning);
  if (print) console.log(first.text.trimEnd());
  else {
    writeAtomically(CONFIG_FILE, first.text);
    changed({ what: `write ${CONFIG_FILE}` });
    console.log(written(first));
  }
  return EXIT.ok;
}

/** What is said of a first configuration that was written. */
export const written = ({ networks }: FirstConfig): string =>
  `${CONFIG_FILE}: written, ${networks.map(({ subnet }) => `subnet ${subnet}`).join(', ')}`;

function asIni({ source, host, containers, networks }: Config): string {
  const section = (name: string, values: Record<string, string | string[]>): string[] => [
    `[${name}]`,
    ...Object.entries(values).flatMap(([key, value]) =>
      typeof value === 'string' ? [`${key} = ${value}`] : value.map((one) => `${key}[] = ${one}`),
    ),
    '',
  ];
  return [
    `; ${source}, with every default`,
    '',
    ...section('host', hostKeys(host, containers)),
    ...networks.flatMap((network) => section(`network.${network.name}`, networkKeys(network))),
  ]
    .join('\n')
    .trimEnd();
}

/** Every key with its value: one that is missing does not compile. */
type Written<Schema extends { entries: object }> = Record<keyof Schema['entries'], string | string[]>;

const hostKeys = (host: HostConfig, containers: ContainerDefaults): Written<typeof hostSchema> => ({
  resolver: host.resolver,
  'hooks-at-once': String(host.hooksAtOnce),
  'hook-timeout': `${host.hookTimeout}s`,
  ...nameKeys(containers),
  'publish-ports': `${containers.publishPorts.from}-${containers.publishPorts.to}`,
  'publish-address': containers.publishAddress,
});

const nameKeys = ({ dns, dnsSearch, dnsOption, extraHost }: NameDefaults) => ({
  dns: dns.join(', '),
  'dns-search': dnsSearch.join(', '),
  'dns-option': dnsOption.join(', '),
  'extra-host': extraHost.map(({ name, address }) => `${name}:${address}`).join(', '),
});

function networkKeys(network: NetworkConfig): Written<typeof networkSchema> {
  const range = (value: NetworkConfig['dhcp']) => (value ? `${value.from}-${value.to}` : 'false');
  return {
    address: `${network.address}/${network.prefix}`,
    uplinks: network.uplinks === '*' ? '*' : network.uplinks.join(', '),
    masquerade: String(network.masquerade),
    domain: network.domain,
    ...nameKeys(network.containers),
    dns: network.containers.dns.join(', ') || String(network.dns),
    'dns-upstream': network.dnsUpstream.join(', '),
    dnsmasq: network.dnsmasqLines,
    dhcp: range(network.dhcp),
    lease: network.lease === 'infinite' ? network.lease : `${network.lease}s`,
    'dhcp-names': String(network.dhcpNames),
    reserve: range(network.reserve),
    icc: String(network.icc),
    antispoof: String(network.antispoof),
    source: network.source ?? '',
    routed: String(network.routed),
    trusted: network.trusted.join(', '),
    reach: network.reach === '*' ? '*' : network.reach.join(', '),
    internal: String(network.internal),
    mtu: String(network.mtu),
  };
}
