/** From a runtime's request to what is asked for, and from what was made to the result. Pure. */

import type { Life, Owner } from '../../model/attachment.ts';
import type { NetworkConfig } from '../../model/config.ts';
import { bridgeMac, hostLinkOf, hostMac } from '../../model/derived.ts';
import type { LinkFacts } from '../../plan/attachment/facts.ts';
import { EPHEMERAL } from '../../plan/attachment/publish.ts';
import type { Addressing, AddressSet, AttachmentSpec, LinkSpec, Placed } from '../../plan/attachment/spec.ts';
import type { Conf } from './conf.ts';
import { CniError, CODE } from './error.ts';
import { distinct } from './gateways.ts';
import type { Ipam } from './ipam.ts';
import { wantedIn } from './ranges.ts';
import type { Request } from './request.ts';
import type { Interface } from './result.ts';

/** What a request is about, beside what it says itself. */
export interface Circumstances {
  owner: Owner;
  life: Life;
  ipam: Ipam;
  /** The network of ours that it is on, or whose bridge it joins. */
  network: NetworkConfig | null;
  /** What is below macvlan and ipvlan. */
  master: string | null;
  names: string[];
}

/** The owner of an attachment that a runtime asks for. */
export const ownerOfRequest = ({ name, containerId, ifname }: Request): Owner => ({
  kind: 'cni',
  network: name,
  id: containerId,
  ifname,
});

/** @throws CniError (config) */
export function specOf(request: Request, conf: Conf, around: Circumstances): AttachmentSpec {
  const { owner, life, ipam, network, names } = around;
  const stacked = conf.kind === 'macvlan' || conf.kind === 'ipvlan';
  const { name, containerId, ifname, path, argsText, text } = request;
  return {
    owner,
    life,
    interfaces: [
      {
        ifname,
        link: linkOf(conf, hostLinkOf(name, containerId, ifname), around.master),
        network,
        mac: conf.wantedMac,
        mtu: conf.mtu ?? (conf.kind === 'network' && typeof network?.mtu === 'number' ? network.mtu : null),
        addressing: addressingOf(conf, ipam),
      },
    ],
    names: network ? names : [],
    publish: conf.publish,
    publishPorts: EPHEMERAL,
    exposed: [],
    links: [],
    masquerade: conf.ipMasq && !stacked && conf.kind !== 'network',
    files: null,
    ...(ipam.how === 'plugin' ? { ipam: { type: ipam.delegation.type, text, path, args: argsText } } : {}),
  };
}

function linkOf(conf: Conf, hostLink: string, master: string | null): LinkSpec {
  switch (conf.kind) {
    case 'macvlan':
    case 'ipvlan':
      if (master === null) throw new CniError(CODE.config, 'master: missing, and the host has no default route');
      return { driver: conf.kind, mode: conf.mode, master };
    case 'ptp':
      return { driver: 'ptp', hostLink };
    default: {
      const { isGateway, promiscMode, forceAddress, publish } = conf;
      const ensure = conf.kind === 'network' ? null : { isGateway, promisc: promiscMode, force: forceAddress };
      // What it publishes, it may ask for itself.
      const hairpin = conf.hairpinMode || publish.length > 0;
      return { driver: 'bridge', bridge: conf.network ?? conf.bridge, hostLink, hairpin, ensure };
    }
  }
}

function addressingOf(conf: Conf, ipam: Ipam): Addressing {
  if (ipam.how === 'none') return { how: 'none' };
  if (ipam.how === 'plugin') return { how: 'elsewhere' };
  const { store, options } = ipam;
  const { sets, routes } = options;
  const wanted = wantedIn(sets, conf.wantedIps);
  // Never given out: what the containers go through.
  const skip = sets.flat().map(({ gateway }) => gateway);
  return {
    how: 'store',
    store,
    sets: sets.map((ranges, index): AddressSet => ({ ranges, wanted: wanted[index] ?? null, skip })),
    routes: distinct(routes),
    defaultRoute: conf.isDefaultGateway,
    hints: [],
    search: false,
  };
}

/** As the stock plugins list them: bridge, host's end, container's end. */
export function describeInterfaces(
  { interfaces }: AttachmentSpec,
  mac: string,
  netns: string,
  placed: Placed,
  facts: LinkFacts,
): Interface[] {
  const [spec] = interfaces;
  if (!spec) return [];
  const { link, ifname } = spec;
  const own = link.driver === 'ipvlan' ? {} : { mac };
  const bridge = link.driver === 'bridge' ? [{ name: link.bridge, mac: macOfBridge(link, placed, facts) }] : [];
  return [
    ...bridge,
    ...('hostLink' in link ? [{ name: link.hostLink, mac: hostMac(mac) }] : []),
    { name: ifname, ...own, sandbox: netns },
  ];
}

function macOfBridge(
  { bridge, ensure }: Extract<LinkSpec, { driver: 'bridge' }>,
  { ips }: Placed,
  { bridges }: LinkFacts,
): string {
  const gateways = ensure?.isGateway ? ips.flatMap(({ gateway }) => gateway ?? []) : [];
  return bridges[bridge]?.mac ?? bridgeMac(bridge, gateways);
}
