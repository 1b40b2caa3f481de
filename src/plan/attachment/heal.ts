/**
 * From the records of what runs and what is there to what brings it back: pure. Each thing is made by the same functions as at a start.
 * What a container has changed inside by itself is left alone.
 */
import { bare, contains, isV6, subnetCidr } from '../../model/address.ts';
import { isOnBridge } from '../../model/antispoof.ts';
import { type AttachmentRecord, attachmentId, type Interface, showOwner } from '../../model/attachment.ts';
import type { HostFacts, LinkFact } from '../../model/facts.ts';
import type { InsideFact, InsideRoute } from '../../model/inside.ts';
import { linkNote } from '../../model/paths.ts';
import type { NamespaceId, Plan, Step } from '../../model/step.ts';
import { planNames } from './attach.ts';
import type { FileFacts } from './facts.ts';
import { anchoredCommands, insideCommands, type WiredIp, type WiredRoute } from './wiring.ts';

/** An attachment that runs, and what is there of it. */
export interface RunningFact {
  record: AttachmentRecord;
  /** Null where no process is in its namespace, so that nobody has looked. */
  inside: { namespace: NamespaceId; found: InsideFact } | null;
  /** What only it may have, by the file that is to say so. Whom one that is there names is gc's to look at. */
  held: { path: string; id: string; ifname: string; there: boolean }[];
  /** The names that are its own, or free, by domain. */
  granted: Readonly<Record<string, readonly string[]>>;
  files: FileFacts;
  /** Its record is lost: `record` is what could be found out, and to be written here. */
  lost: { path: string; text: string } | null;
}

type Host = Pick<HostFacts, 'links' | 'filtersAllBridges'>;

/** @param networks whose bridges are there once the host's plan is carried out */
export function planHealing(running: readonly RunningFact[], networks: readonly string[], host: Host): Plan {
  const ports = new Map(host.links.map((link) => [link.index, link]));
  const bridges = new Map(host.links.map((link) => [link.name, link]));
  const plan: Plan = { steps: [], warnings: [], faults: [], refusals: [] };
  const joining: string[] = [];
  for (const one of running) {
    const { interfaces } = one.record;
    // Of a network that goes nothing is brought back.
    if (interfaces.some(({ network }) => network !== null && !networks.includes(network))) continue;
    const who = showOwner(attachmentId(one.record.owner));
    if (one.lost) plan.steps.push({ kind: 'file', path: one.lost.path, before: null, content: one.lost.text });
    plan.steps.push(...planHeld(one), ...planFiles(one));
    for (const [index, iface] of interfaces.entries()) {
      if (!isOnBridge(iface)) continue;
      const port = iface.port === undefined ? undefined : (ports.get(iface.port) ?? null);
      if (port === null) {
        const text = `${who}: its ${iface.ifname} has lost its port on ${iface.network}: restart it`;
        plan.faults?.push({ by: 'container', text });
        continue;
      }
      if (port) {
        if (port.master !== '' && port.master !== iface.network) {
          plan.warnings.push(`${who}: its ${iface.ifname} is on ${port.master}, not on ${iface.network}: left alone`);
          continue;
        }
        joining.push(
          ...portCommands(one.record, port, bridges.get(iface.network as string), host, iface.network as string),
        );
      }
      const mended = planInside(who, one, index);
      plan.steps.push(...mended.steps);
      plan.warnings.push(...mended.warnings);
    }
  }
  // One program for all, as a bridge that is gone takes every port with it.
  if (joining.length > 0) plan.steps.unshift({ kind: 'ip', commands: joining, undo: [], lenient: true });
  return plan;
}

/** Its addresses first, in the order of a start. */
const planHeld = ({ held }: RunningFact): Step[] =>
  held.flatMap(({ path, id, ifname, there }) => (there ? [] : [{ kind: 'reserve', path, id, ifname }]));

/** The notes by which whoever it links to, or shares the network of, finds it. */
export function linkNotes({ owner, links, shares }: AttachmentRecord): { path: string; text: string }[] {
  if (owner.kind !== 'lxc') return [];
  const { name } = owner;
  const children = [...new Set(links.map(({ container }) => container))];
  return [
    ...(shares === undefined ? [] : [{ path: linkNote(shares, name), text: '' }]),
    ...children.map((child) => ({
      path: linkNote(child, name),
      text: links.flatMap(({ container, alias }) => (container === child ? `${alias}\n` : [])).join(''),
    })),
  ];
}

/** Files for dnsmasq. What it has read of one that said something else, it does not forget by itself. */
function planFiles({ record, granted, files }: RunningFact): Step[] {
  const notes = linkNotes(record).filter(({ path }) => files.files[path] === null);
  const steps: Step[] = [
    ...planNames(record, granted, files),
    ...notes.map(({ path, text }) => ({ kind: 'file' as const, path, before: null, content: text })),
  ];
  const changed = steps.some((step) => step.kind === 'file' && step.before !== null && !step.shared);
  const [network] = record.interfaces.flatMap((one) => one.network ?? []);
  if (!changed || network === undefined || steps.some(({ kind }) => kind === 'reload-dnsmasq')) return steps;
  return [...steps, { kind: 'reload-dnsmasq', network }];
}

/** The host's end of a pair. */
function portCommands(
  { policy }: AttachmentRecord,
  port: LinkFact,
  bridge: LinkFact | undefined,
  { filtersAllBridges }: Host,
  network: string,
): string[] {
  const joins = port.master === '';
  const translated = filtersAllBridges || bridge?.filtersBridged || policy?.isolated.includes(network);
  return [
    ...(joins ? [`link set dev ${port.name} master ${network}`] : []),
    ...(port.up ? [] : [`link set dev ${port.name} up`]),
    // As planHairpin has it of ports that are on a bridge (plan/host/publishing.ts).
    ...(joins && translated && (policy?.publish.length ?? 0) > 0
      ? [`link set dev ${port.name} type bridge_slave hairpin on`]
      : []),
  ];
}

const NOTHING = { steps: [], warnings: [] };

/**
 * What an interface lacks inside. The address on `lo` counts as well: it is there for the time in which a DHCP client has dropped the other
 * one. Who has given it another address, a DHCP client or an admin in there, is not fought.
 */
function planInside(who: string, { record, inside }: RunningFact, index: number): Pick<Plan, 'steps' | 'warnings'> {
  const iface = record.interfaces[index] as Interface;
  if (inside === null) return NOTHING;
  const { found, namespace } = inside;
  const changed = linkCommands(iface, found);
  const ips = iface.addresses.filter((address) => !isV6(address));
  const other = iface.dhcp || ips.length === 0 ? undefined : otherAddress(record, iface, found);
  const lacks = iface.dhcp || other !== undefined ? [] : addressing(record, index, found);
  const commands = [...changed, ...lacks];
  const steps: Step[] = commands.length > 0 ? [{ kind: 'inside', about: who, namespace, commands }] : [];
  const lost = other !== undefined && ips.some((address) => !found.local.includes(bare(address)));
  const warnings = lost
    ? [`${who}: its ${iface.ifname} has ${other}, not ${ips.map(bare).join(', ')}: left alone`]
    : [];
  return { steps, warnings };
}

/** Its MAC and its MTU, where somebody has looked. */
function linkCommands({ ifname, mac, mtu }: Interface, { links }: InsideFact): string[] {
  const { mac: macNow, mtu: mtuNow } = links[ifname] ?? {};
  return [
    ...(mac !== '' && macNow !== undefined && macNow !== mac.toLowerCase()
      ? [`link set dev ${ifname} address ${mac}`]
      : []),
    ...(mtu !== undefined && mtuNow !== undefined && mtuNow !== mtu ? [`link set dev ${ifname} mtu ${mtu}`] : []),
  ];
}

/** An address that somebody else has given to an interface: no other of ours, and on one of the subnets that are on its link. */
function otherAddress({ interfaces }: AttachmentRecord, { ifname }: Interface, found: InsideFact): string | undefined {
  const ours = new Set(interfaces.flatMap(({ addresses }) => addresses.map(bare)));
  const subnets = found.routes.filter(({ device, gateway }) => device === ifname && gateway === null);
  return found.local.find(
    (address) =>
      !ours.has(address) &&
      !address.startsWith('127.') &&
      subnets.some(({ destination }) => !destination.endsWith('/0') && contains(destination, address)),
  );
}

/** What gives it back addresses and routes that it has lost, and sets it up if it is down: routes go with that. */
function addressing(record: AttachmentRecord, index: number, found: InsideFact): string[] {
  const iface = record.interfaces[index] as Interface;
  const { ifname, gateways } = iface;
  const onLink = (subnet: string) => (route: InsideRoute) => route.device === ifname && route.destination === subnet;
  const gateway = gateways.find((one) => !isV6(one));
  const ips: WiredIp[] = iface.addresses.filter((one) => !isV6(one)).map((address) => ({ address, gateway }));
  const lost = ips.filter(
    ({ address }) =>
      !found.local.includes(bare(address)) ||
      (!address.endsWith('/32') && !found.routes.some(onLink(subnetCidr(address)))),
  );
  if (iface.driver === 'none') {
    const isCut = index === 0 && gateway !== undefined && !found.routes.some(isDefault);
    const [ip = null] = ips;
    return lost.length === 0 && !isCut
      ? []
      : anchoredCommands({ ifname, ip, mac: null, mtu: null, dhcp: false, index });
  }
  const routes = routesOf(record, index).filter(
    ({ dst, table }) =>
      !isV6(dst) && table === undefined && !found.routes.some(({ destination }) => destination === subnetCidr(dst)),
  );
  // Not `addr add`: of an interface that was down the address is still there.
  return lost.length + routes.length === 0
    ? []
    : insideCommands(ifname, lost, routes).map((line) => line.replace(/^addr add/, 'addr replace'));
}

const isDefault = ({ destination }: InsideRoute): boolean => destination === '0.0.0.0/0';

/** By its CNI result, whose routes are those of its one interface. */
function routesOf({ result }: AttachmentRecord, index: number): WiredRoute[] {
  const { routes = [] } = (index === 0 ? (result ?? {}) : {}) as { routes?: WiredRoute[] };
  return routes;
}
