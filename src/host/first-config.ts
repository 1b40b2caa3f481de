/** The first configuration of a host: one network with a free subnet. */
import template from '../../templates/nethooks.ini.mustache' with { type: 'text' };
import { defaultRanges } from '../config/resolve.ts';
import { NethooksError } from '../errors.ts';
import type { AddressRange } from '../model/config.ts';
import { CONFIG_FILE, CONFIG_FILES } from '../model/paths.ts';
import { freeBridge, freeSubnet } from '../plan/host/free-subnet.ts';
import { fill } from '../plan/template.ts';
import type { Exec } from '../system/exec.ts';
import { readText } from '../system/files.ts';
import { readRoutes } from '../system/routes.ts';
import { readLinks } from './facts.ts';

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
  /** The network in it. */
  network: string;
  /** As in 10.0.0.0/24. */
  subnet: string;
}

/** @throws NethooksError when every private /24 is in use */
export async function firstConfig(exec: Exec): Promise<FirstConfig> {
  const links = await readLinks(exec);
  const octets = freeSubnet(links, readRoutes().routes);
  if (octets === null) throw new NethooksError(`no free private /24 subnet found; write ${CONFIG_FILE} by hand`);
  const address = `${octets}.1`;
  const network = freeBridge(links);
  const text = fill<FirstConfigView>(template, { name: network, address, prefix: 24, ...defaultRanges(address, 24) });
  return { text, network, subnet: `${octets}.0/24` };
}

/** The host's configuration in whatever format; undefined when it has none. */
export const existingConfig = (): string | undefined => CONFIG_FILES.find((path) => readText(path) !== null);
