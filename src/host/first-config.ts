/** The first configuration of a host: the networks of an earlier installation, or one with a free subnet. */
import template from '../../templates/nethooks.ini.mustache' with { type: 'text' };
import { defaultRanges } from '../config/resolve.ts';
import { NethooksError } from '../errors.ts';
import { type Cidr, subnetCidr } from '../model/address.ts';
import type { AddressRange } from '../model/config.ts';
import type { LinkFact, RouteFact } from '../model/facts.ts';
import { CONFIG_FILE, CONFIG_FILES } from '../model/paths.ts';
import { type FormerNetwork, formerNetworks } from '../plan/host/former-networks.ts';
import { freeBridge, freeSubnet } from '../plan/host/free-subnet.ts';
import { fill } from '../plan/template.ts';
import type { Exec } from '../system/exec.ts';
import { readText } from '../system/files.ts';
import { readRoutes } from '../system/routes.ts';
import { readLinks } from './facts.ts';
import { readTraces } from './traces.ts';

/** What templates/nethooks.ini.mustache is filled in with. */
export interface FirstConfigView {
  name: string;
  address: string;
  /** Bits. */
  prefix: number;
  dhcp: AddressRange | null;
  reserve: AddressRange;
}

export interface FirstConfig {
  text: string;
  /** The networks in it, each with its subnet as in 10.0.0.0/24. */
  networks: { name: string; subnet: Cidr }[];
  /** Whether containers have addresses or bridges from them, of an earlier installation. */
  isFormer: boolean;
  /** What people should know. */
  warnings: string[];
}

/**
 * The networks that this host had, else one with a free subnet.
 * @param named bridges that containers with our hooks name; null: there is a configuration, so that former networks are in it
 * @throws NethooksError when every private /24 is in use
 */
export async function firstConfig(exec: Exec, named: readonly string[] | null): Promise<FirstConfig> {
  const links = await readLinks(exec);
  const { routes } = readRoutes();
  const former = named === null ? [] : formerNetworks(readTraces(links, named), links, routes);
  const networks = former.length > 0 ? former : [newNetwork(links, routes)];
  const [first = '', ...others] = networks.map(({ name, address, prefix }) =>
    fill<FirstConfigView>(template, { name, address, prefix, ...defaultRanges(address, prefix) }),
  );
  return {
    // The keys that are commented out, and the host's, once.
    text: [first, ...others.map((text) => text.slice(text.indexOf('[network.')).replaceAll(/^;.*\n/gm, ''))].join('\n'),
    networks: networks.map(({ name, address, prefix }) => ({ name, subnet: subnetCidr(`${address}/${prefix}`) })),
    isFormer: former.length > 0,
    warnings: former.flatMap(({ name, address, prefix, taken }) =>
      taken === null
        ? []
        : [
            `network ${name}: its subnet ${taken} is in use elsewhere by now: it has ${subnetCidr(`${address}/${prefix}`)}, and containers get other addresses`,
          ],
    ),
  };
}

function newNetwork(links: LinkFact[], routes: RouteFact[]): Pick<FormerNetwork, 'name' | 'address' | 'prefix'> {
  const octets = freeSubnet(links, routes);
  if (octets === null) throw new NethooksError(`no free private /24 subnet found; write ${CONFIG_FILE} by hand`);
  return { name: freeBridge(links), address: `${octets}.1`, prefix: 24 };
}

/** The host's configuration in whatever format; undefined when it has none. */
export const existingConfig = (): string | undefined => CONFIG_FILES.find((path) => readText(path) !== null);
