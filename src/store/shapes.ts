/** What the records hold, for {@link readJson}: the fields that their readers rely on (model/attachment.ts, model/host-record.ts). */
import { boolean, either, fields, listOf, number, optional, orNull, type Shape, text, word } from '../model/shape.ts';

const words = listOf(text);
const port = fields({ protocol: text, port: number });
const published = fields({ protocol: text, hostAddress: orNull(text), hostPort: number, containerPort: number });
const store = fields({ dataDir: text, network: text });

const iface = fields({
  driver: text,
  network: orNull(text),
  domain: orNull(text),
  ifname: text,
  addresses: words,
  gateways: words,
  mac: text,
  hostLink: orNull(text),
  port: optional(number),
  store: orNull(store),
  mtu: optional(number),
  dhcpOptions: optional(fields({ dns: optional(words), search: optional(words), hostname: optional(text) })),
});

const link = fields({ container: text, alias: text, from: text, to: text, ports: listOf(port) });

const policy = fields({
  network: orNull(text),
  address: text,
  port: orNull(number),
  isolated: words,
  publish: listOf(published),
  publishFrom: optional(words),
  egress: optional(fields({ from: words, to: listOf(fields({ subnet: text, port: orNull(number) })) })),
  source: optional(fields({ from: words, to: text })),
  links: listOf(link),
  exposed: listOf(port),
  masquerade: words,
});

const life = orNull(
  either(
    fields({ pid: number, started: orNull(text) }),
    fields({ netns: text, namespace: text }),
    fields({ lease: text, address: text, mac: text }),
  ),
);

export const attachmentShape: Shape = fields({
  owner: fields({ kind: word('lxc', 'cni', 'attach', 'dhcp') }),
  state: word('intent', 'attached', 'leaving'),
  by: optional(fields({ pid: number, started: orNull(text) })),
  life,
  interfaces: listOf(iface),
  names: fields({ own: words, linked: listOf(fields({ name: text, address: text })) }),
  links: listOf(fields({ container: text, alias: text })),
  policy: orNull(policy),
  configFile: optional(orNull(text)),
  words: optional(words),
  ipam: optional(orNull(fields({ type: text, text, path: words, args: text }))),
  shim: optional(fields({ link: text, addresses: words })),
  peer: optional(text),
  shares: optional(text),
  files: optional(words),
});

const written = optional(
  fields({
    hosts: boolean,
    resolvConf: optional(text),
    replaced: optional(orNull(text)),
    hostname: optional(orNull(text)),
    dropIns: optional(words),
  }),
);
const keptPorts = { publish: listOf(published), exposed: listOf(port) };

export const keptShape: Shape = fields({
  interfaces: listOf(iface),
  ...keptPorts,
  written,
  place: optional(fields({ configFile: text, device: number })),
});

/** As earlier versions wrote it (earlier-formats.ts). */
const earlier = fields({
  network: text,
  domain: text,
  ifname: text,
  address: text,
  prefix: number,
  gateway: text,
  mac: text,
});
export const earlierKeptShape: Shape = either(
  listOf(earlier),
  fields({ attachments: listOf(earlier), ...keptPorts, told: written }),
);

const earlierPolicy = orNull(
  fields({
    network: orNull(text),
    address: text,
    port: orNull(number),
    isolated: words,
    publish: listOf(published),
    links: listOf(link),
    exposed: listOf(port),
  }),
);

export const earlierContainerShape: Shape = fields({
  name: text,
  pid: number,
  started: orNull(text),
  attachments: listOf(earlier),
  policy: earlierPolicy,
});

export const earlierConnectionShape: Shape = fields({
  network: text,
  id: text,
  ifname: text,
  kind: text,
  netns: text,
  namespace: text,
  hostLink: orNull(text),
  store: orNull(store),
  masquerade: words,
  policy: earlierPolicy,
  names: fields({ files: words, networks: words }),
  result: orNull(fields({ interfaces: listOf(fields({ name: text })), ips: listOf(fields({ address: text })) })),
});

const network = fields({
  name: text,
  address: text,
  prefix: number,
  subnet: text,
  uplinks: either(text, words),
  masquerade: boolean,
  domain: text,
  dns: boolean,
  dnsUpstream: words,
  dhcp: orNull(fields({ from: text, to: text })),
  reserve: fields({ from: text, to: text }),
  icc: boolean,
  mtu: either(number, word('auto')),
  containers: fields({ dns: words, dnsSearch: words, dnsOption: words }),
});

/** Also of an earlier version, which had fewer fields: what is missing is added. */
export const hostShape: Shape = fields({
  networks: listOf(network),
  host: optional(fields({ resolver: text })),
  found: optional(words),
  bridgesBefore: optional(words),
  ipForwardBefore: optional(orNull(text)),
  mangleMade: optional(boolean),
});

export const cacheShape: Shape = fields({ config: fields({ networks: listOf(network), host: fields({}) }) });
