/** From what is asked for, and what was reserved for it, to the steps that make it and the record of them: pure. */

import { NethooksError } from '../../errors.ts';
import { bare, type Cidr, isV6 } from '../../model/address.ts';
import { isOnBridge } from '../../model/antispoof.ts';
import {
  type AttachmentRecord,
  attachmentId,
  type Interface,
  ipv4Of,
  type Names,
  type ProcessId,
} from '../../model/attachment.ts';
import { macFor, macOf } from '../../model/derived.ts';
import { dhcpOptionsText, optionNumbers } from '../../model/dhcp-options.ts';
import { localnetNote, toldMac, toldOptions } from '../../model/paths.ts';
import {
  elementsOf,
  isEmptyPolicy,
  type Link,
  NO_POLICY,
  needsLocalnet,
  type Policy,
  type Published,
  subtractElements,
} from '../../model/policy.ts';
import type { FileStep, Step } from '../../model/step.ts';
import { containerFiles, dhcpOptions } from './container-files.ts';
import type { Driver, DriverTable, LinkPlan, LinkRequest } from './driver.ts';
import type { BridgeQuestion, FileFacts, LinkFacts } from './facts.ts';
import {
  dhcpHost,
  dhcpOptionsFile,
  domainsOf,
  hostsFile,
  linkedNames,
  namesFile,
  ownNames,
  reservationFile,
} from './names.ts';
import type { AttachmentSpec, Placed } from './spec.ts';

/** What the attachment got from the store, and what it links to. */
export interface Taken {
  placed: Placed[];
  published: Published[];
  links: Link[];
  /** The names that it has, by domain, bare. */
  granted: Readonly<Record<string, readonly string[]>>;
}

export interface AttachmentPlan {
  steps: Step[];
  /** What there is once the steps are done. */
  record: AttachmentRecord;
  warnings: string[];
}

/** The interface as it will be; with the addresses that are known by now. */
export function interfaceOf(spec: AttachmentSpec, placed: Placed): Interface {
  const { ifname, nic, network, link, mtu, dhcp, addressing } = placed.spec;
  return {
    driver: link.driver,
    network: network?.name ?? null,
    domain: network?.domain ?? null,
    ifname,
    ...(nic === undefined ? {} : { nic }),
    addresses: placed.ips.map(({ address }) => address),
    gateways: [...new Set(placed.ips.flatMap(({ gateway }) => gateway ?? []))],
    mac: link.driver === 'ipvlan' ? '' : macOfInterface(spec, placed),
    ...(placed.spec.mac === null && link.driver === 'none' ? { setMac: true } : {}),
    ...(dhcp ? { dhcp } : {}),
    ...(mtu === null || link.driver !== 'none' ? {} : { mtu }),
    hostLink: 'hostLink' in link ? link.hostLink : null,
    store: addressing.how === 'store' ? addressing.store : null,
  };
}

/** A MAC made from the address, where that is known, so that no neighbour remembers the MAC of the address's last holder. */
function macOfInterface({ owner }: AttachmentSpec, { spec, ips }: Placed): string {
  const first = ips.find(({ address }) => !isV6(address));
  if (spec.mac !== null) return spec.mac;
  const onLan = spec.link.driver === 'macvlan' || spec.link.driver === 'peer';
  return first && !onLan ? macFor(bare(first.address)) : macOf(attachmentId(owner), spec.ifname, '');
}

/** The names that it wants; those of its links' aliases lead to the links' children. */
export const namesOf = (spec: AttachmentSpec, links: readonly Link[]): Names => ({
  own: spec.names,
  linked: linkedNames(spec.owner.kind === 'lxc' ? ownNames(spec.owner.name, [])[0] : undefined, links),
});

/**
 * What makes its interfaces and addresses them.
 * @param made the links are there already, and only their addresses were not known before
 */
export function planLinks(
  drivers: DriverTable,
  spec: AttachmentSpec,
  all: readonly Placed[],
  facts: LinkFacts,
  { made = false } = {},
): Step[] {
  const placed = all.filter((one) => !one.spec.untouched);
  const plans = placed.map((one, index) => linkPlan(drivers, spec, one, index, facts));
  const lines = (pick: (plan: LinkPlan) => string[]): string[] => plans.flatMap(pick);
  const before = lines((plan) => plan.before);
  const host = made ? [] : lines((plan) => plan.host);
  // What LXC made tells which port of the bridge it is paired with.
  const show = placed.flatMap((one) =>
    one.spec.link.driver === 'none' && one.spec.network ? [`link show dev ${one.spec.ifname}`] : [],
  );
  const ip = (commands: string[], undo: string[], more: object = {}): Step[] =>
    commands.length > 0 ? [{ kind: 'ip', commands, undo, ...more }] : [];
  return [
    ...ip(before, []),
    ...ip(
      host,
      lines((plan) => plan.undo),
      { makes: true },
    ),
    ...ip(
      [...lines((plan) => plan.inside), ...show],
      lines((plan) => plan.undoInside),
      { where: 'namespace' },
    ),
    ...planForwarding(plans, placed, facts),
  ];
}

function linkPlan(
  drivers: DriverTable,
  spec: AttachmentSpec,
  placed: Placed,
  index: number,
  facts: LinkFacts,
): LinkPlan {
  const { link } = placed.spec;
  const driver: Driver = drivers[link.driver] as Driver;
  const bridge = link.driver === 'bridge' ? (facts.bridges[link.bridge] ?? null) : null;
  const mac = link.driver === 'ipvlan' ? '' : macOfInterface(spec, placed);
  const request: LinkRequest = { link, placed, mac, mtu: placed.spec.mtu, bridge, index };
  driver.validate(request);
  return driver.plan(request);
}

/** Packets go from one interface to another, as the stock plugins bridge and ptp see to it. */
function planForwarding(plans: LinkPlan[], placed: readonly Placed[], { forwarding }: LinkFacts): Step[] {
  const addresses = placed.flatMap(({ ips }, index) =>
    plans[index]?.forwards ? ips.map(({ address }) => address) : [],
  );
  const step = (needed: boolean, key: string, before = ''): Step[] =>
    needed && before !== '1' ? [{ kind: 'sysctl', key, before, value: '1', shared: true }] : [];
  return [
    ...step(
      addresses.some((address) => !isV6(address)),
      'net/ipv4/ip_forward',
      forwarding?.ipv4,
    ),
    ...step(addresses.some(isV6), 'net/ipv6/conf/all/forwarding', forwarding?.ipv6),
  ];
}

/** Everything beside the links and the firewall: names, files, the record. */
export function planAttachment(spec: AttachmentSpec, taken: Taken, facts: FileFacts, by: ProcessId): AttachmentPlan {
  const interfaces = withDhcpOptions(
    taken.placed.map((placed) => interfaceOf(spec, placed)),
    spec,
    taken.links,
  );
  const policy = policyOf(spec, taken, interfaces);
  const record = {
    ...recordOf(spec, interfaces, by),
    names: namesOf(spec, taken.links),
    policy: isEmptyPolicy(policy) ? null : policy,
  };
  const { steps: files, warnings } = planContainerFiles(spec, taken, interfaces, facts);
  return {
    steps: [
      ...planNames(record, taken.granted, facts),
      ...(spec.hostFiles ?? []).map(({ path, text }) => fileStep(path, facts.files[path] ?? null, text)),
      ...files,
    ],
    record,
    warnings,
  };
}

/** The record with the ports that its interfaces turned out to have on bridges, by their names. */
export function withPorts(record: AttachmentRecord, ports: ReadonlyMap<string, number>): AttachmentRecord {
  const { policy } = record;
  const interfaces = record.interfaces.map((one) => {
    const port = isOnBridge(one) ? ports.get(one.ifname) : undefined;
    return port === undefined ? one : { ...one, port };
  });
  const port = interfaces[0]?.port;
  return { ...record, interfaces, policy: policy && port !== undefined ? { ...policy, port } : policy };
}

/** The record of the intent, before anything is known that has to be taken first. */
export const intentOf = (spec: AttachmentSpec, by: ProcessId): AttachmentRecord =>
  recordOf(
    spec,
    spec.interfaces.map((one) => interfaceOf(spec, { spec: one, ips: [], routes: [] })),
    by,
  );

function recordOf(spec: AttachmentSpec, interfaces: Interface[], by: ProcessId): AttachmentRecord {
  const { owner, life, links, configFile, words, ipam, hostFiles } = spec;
  return {
    owner,
    state: 'intent',
    by,
    life,
    interfaces,
    names: namesOf(spec, []),
    links,
    policy: null,
    ...(configFile === undefined ? {} : { configFile }),
    ...(words === undefined ? {} : { words }),
    ...(ipam ? { ipam } : {}),
    ...(hostFiles ? { files: hostFiles.map(({ path }) => path) } : {}),
  };
}

const fileStep = (path: string, before: string | null, content: string | null): FileStep => ({
  kind: 'file',
  path,
  before,
  content,
});

/** A container's own files. */
export function planContainerFiles(
  { files, ...spec }: Pick<AttachmentSpec, 'files' | 'owner'>,
  { links }: Pick<Taken, 'links'>,
  interfaces: readonly Interface[],
  facts: FileFacts,
): { steps: Step[]; warnings: string[] } {
  if (files === null) return { steps: [], warnings: [] };
  const address = interfaces[0] ? ipv4Of(interfaces[0]) : null;
  const ifnames = interfaces.flatMap(({ network, ifname }) => (network === null ? [] : ifname));
  const planned = containerFiles(files, links, address, facts.hostResolver, ifnames);
  const { name, pid } = files;
  const warnings =
    spec.owner.kind === 'lxc' && ownNames(name, []).length === 0 && interfaces.length > 0
      ? [`${name} cannot be a DNS name (RFC 1123): it has an address, but no name`]
      : [];
  return {
    steps: [{ kind: 'container-files', name, pid, files: planned.files, before: facts.written }],
    warnings: [...planned.warnings, ...warnings],
  };
}

/** With what the container's own DHCP client is told. */
export function withDhcpOptions(
  interfaces: readonly Interface[],
  { files, owner }: Pick<AttachmentSpec, 'files' | 'owner'>,
  links: readonly Link[],
): Interface[] {
  const options = files && owner.kind === 'lxc' ? dhcpOptions(files, links) : null;
  return interfaces.map(({ dhcpOptions: _, ...one }) =>
    options && one.network !== null ? { ...one, dhcpOptions: options } : one,
  );
}

/** The files that dnsmasq reads, where they differ. DHCP knows LXC's containers; what CNI made has no client inside. */
export function planNames(record: AttachmentRecord, granted: Taken['granted'], facts: FileFacts): Step[] {
  const { owner, interfaces, names } = record;
  const write = (path: string, text: string): FileStep[] => {
    const before = facts.files[path] ?? null;
    const content = text === '' ? null : text;
    return before === content ? [] : [{ kind: 'file', path, before, content }];
  };
  const hosts = domainsOf(interfaces).flatMap((domain) =>
    write(namesFile(domain, owner), hostsFile(interfaces, names, domain, new Set(granted[domain]))),
  );
  const stale = new Set<string>();
  const reservations = interfaces.flatMap((one) => {
    const address = ipv4Of(one);
    if (one.network === null || address === null || owner.kind !== 'lxc') return [];
    // dnsmasq only ever adds reservations: it keeps the first MAC of an address until it reads all files anew.
    const told = toldMac(one.network, address);
    const before = facts.files[told] ?? null;
    if (before !== null && before !== one.mac) stale.add(one.network);
    return [
      ...write(reservationFile(one.network, owner, one.ifname), dhcpHost(one)),
      ...(before === one.mac ? [] : [{ ...fileStep(told, before, one.mac), shared: true as const }]),
    ];
  });
  const options = interfaces.flatMap((one) => {
    const { network, ifname, mac } = one;
    if (network === null || mac === '' || owner.kind !== 'lxc') return [];
    const text = dhcpOptionsText(one);
    const now = optionNumbers(text);
    // It takes on what is new or different, but keeps what is not there any more, also for whoever gets this MAC next.
    const told = toldOptions(network, mac);
    const before = facts.files[told] ?? null;
    if (before?.split(' ').some((number) => !now.includes(number))) stale.add(network);
    return [
      ...write(dhcpOptionsFile(network, owner, ifname), text),
      ...((before ?? '') === now.join(' ')
        ? []
        : [{ ...fileStep(told, before, now.join(' ') || null), shared: true as const }]),
    ];
  });
  if (facts.reloads && hosts.some(({ before }) => before !== null))
    for (const { network } of interfaces) if (network !== null) stale.add(network);
  return [...hosts, ...reservations, ...options, ...reloads(stale)];
}

const reloads = (networks: ReadonlySet<string>): Step[] =>
  [...networks].map((network) => ({ kind: 'reload-dnsmasq', network }));

/**
 * Who may use its ports, what it may reach, and as whom.
 * @throws NethooksError for an address to send from where nothing is translated
 */
export function limitsOf(
  { publishFrom = [], egress = [], source = null, interfaces: specs }: AttachmentSpec,
  interfaces: readonly Interface[],
): Pick<Policy, 'publishFrom' | 'egress' | 'source'> {
  const from = interfaces.flatMap((one) => ipv4Of(one) ?? []);
  const untranslated = specs.find(({ network }) => network && (!network.masquerade || network.internal))?.network;
  if (source !== null && untranslated)
    throw new NethooksError(
      `source = ${source}: network ${untranslated.name} has ${untranslated.internal ? 'internal = true' : 'masquerade = false'}, ` +
        'so nothing that its containers send is translated; allowed: one of the two',
    );
  return {
    ...(publishFrom.length > 0 ? { publishFrom } : {}),
    ...(egress.length > 0 ? { egress: { from, to: egress } } : {}),
    ...(source === null ? {} : { source: { from, to: source } }),
  };
}

/** What the kernel is to have for it; ports lead to the first interface. */
function policyOf(spec: AttachmentSpec, { placed, published, links }: Taken, interfaces: Interface[]): Policy {
  const [first] = interfaces;
  const address = first ? ipv4Of(first) : null;
  const masquerade = spec.masquerade ? interfaces.flatMap(({ addresses }) => addresses) : [];
  return {
    ...NO_POLICY,
    network: first?.network ?? null,
    address: first?.network && address !== null ? address : '',
    isolated: placed.flatMap(({ spec: { network } }) => (network && !network.icc ? [network.name] : [])),
    publish: published,
    ...limitsOf(spec, interfaces),
    links,
    exposed: spec.exposed,
    masquerade,
  };
}

/** @throws NethooksError when a bridge does not send what it passes on through the rules that keep containers apart */
export function requireFiltering(policy: Policy | null, { bridges }: Pick<LinkFacts, 'bridges'>): void {
  const open = policy?.isolated.find((network) => {
    const filters = bridges[network]?.rules?.filtersBridged;
    return !filters?.ipv4 || !filters.ipv6;
  });
  if (open !== undefined)
    throw new NethooksError(
      `network ${open} has icc = false, but its bridge passes packets on unseen; \`nethooks up\` brings that into order`,
    );
}

/**
 * From one policy to the next: exactly the difference goes, and all that is wanted is added, as a flush may have taken what was there.
 * @param before what it has there, whether or not all of it still is; null for nothing
 * @param after what it is to have; null for nothing
 * @param setup makes the table where there is none
 * @param alone those of its masqueraded addresses in whose subnet nobody else is masqueraded
 * @throws NethooksError when the container's network cannot keep it apart as it should
 */
export function planPolicy(
  before: Policy | null,
  after: Policy | null,
  facts: Pick<LinkFacts, 'bridges'>,
  setup: string,
  alone: readonly Cidr[] = [],
): Step[] {
  if (before === null && after === null) return [];
  requireFiltering(after, facts);
  const add = elementsOf(...(after ? [after] : []));
  const gone = subtractElements(elementsOf(...(before ? [before] : [])), add);
  // What is local to a subnet is so for all that are on it.
  const { local, local6 } = elementsOf({ ...NO_POLICY, masquerade: [...alone] });
  const remove = { ...gone, local, local6 };
  return [
    {
      kind: 'elements',
      remove,
      add,
      guard: after?.isolated ?? [],
      setup: after && after.masquerade.length > 0 ? setup : null,
    },
    ...(after ? planBridge(after, facts) : []),
    ...(needsConntrack(before, after) ? [{ kind: 'connections' as const, before, after }] : []),
  ];
}

/** Whether there may be connections to end: of what goes, or of clients that asked a UDP port before it was published. */
function needsConntrack(before: Policy | null, after: Policy | null): boolean {
  return (
    (before !== null && before.address !== '') || (after?.publish.some(({ protocol }) => protocol === 'udp') ?? false)
  );
}

/** What publishing needs of the bridge, beside rules (plan/host/publishing.ts). */
function planBridge(policy: Policy, { bridges }: Pick<LinkFacts, 'bridges'>): Step[] {
  const { network, publish, port } = policy;
  const bridge = network === null ? null : bridges[network]?.rules;
  if (network === null || !bridge || publish.length === 0) return [];
  const localnet: Step[] =
    needsLocalnet(policy) && !bridge.localnet
      ? [
          { kind: 'sysctl', key: `net/ipv4/conf/${network}/route_localnet`, before: '0', value: '1', shared: true },
          // Noted, so that it is taken back.
          { kind: 'file', path: localnetNote(network), before: null, content: '', shared: true },
        ]
      : [];
  const hairpin: Step[] = bridge.filtersBridged.ipv4 ? [{ kind: 'hairpin', bridge: network, port }] : [];
  return [...localnet, ...hairpin];
}

/** The bridges that a plan of it asks about: those that it joins, and those of its networks where rules go with it. */
export function bridgesOf({ interfaces, publish }: AttachmentSpec): BridgeQuestion[] {
  const joined = interfaces.flatMap(({ link }) => (link.driver === 'bridge' ? [link] : []));
  const networks = interfaces.flatMap(({ network }) =>
    network && (publish.length > 0 || !network.icc) ? network.name : [],
  );
  return [...new Set([...joined.map(({ bridge }) => bridge), ...networks])].map((name) => ({
    name,
    addresses: joined.some(({ bridge, ensure }) => bridge === name && ensure !== null),
    rules: networks.includes(name),
  }));
}
