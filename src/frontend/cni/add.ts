/** ADD: an interface in the container, its addresses and routes, masquerading, names. */
import { closeSync } from 'node:fs';
import type { NetworkConfig } from '../../model/config.ts';
import { hostLinkOf } from '../../plan/attachment/wiring.ts';
import {
  type AttachmentRecord,
  isAlive,
  namespaceAt,
  readAttachment,
  removeAttachment,
  writeAttachment,
} from '../../store/attachments.ts';
import { readRecord } from '../../store/host-record.ts';
import type { Exec } from '../../system/exec.ts';
import { ipInside } from '../../system/ip.ts';
import type { Conf } from './conf.ts';
import { del } from './del.ts';
import { completeDhcp } from './dhcp.ts';
import { CniError, CODE } from './error.ts';
import { withGateways } from './gateways.ts';
import { allocate, type Ipam, ipamOf, ipamOfNetwork } from './ipam.ts';
import { ensureBridge, inside } from './links.ts';
import { masquerade, unmasquerade } from './masquerade.ts';
import { dnsOf, namesOf, networkOf, publishNames, removeNames } from './names.ts';
import type { Entered } from './namespace.ts';
import { closePorts, openPorts } from './ports.ts';
import type { Request } from './request.ts';
import type { Result } from './result.ts';
import {
  addressInterface,
  bridgeWish,
  describeInterfaces,
  isStacked,
  macOfAttachment,
  makeInterface,
  removeInterface,
  type Wire,
} from './wire.ts';

export interface CniContext {
  exec: Exec;
  log: (line: string) => void;
}

/** What takes back what was done, the oldest first. */
type Undo = (() => void)[];

/**
 * Connects a container.
 * @param entered its namespace, which is closed in the end
 * @throws CniError, NethooksError; nothing is left then
 */
export async function add(context: CniContext, request: Request, conf: Conf, entered: Entered): Promise<Result> {
  const undo: Undo = [];
  try {
    return await connect(context, request, conf, entered, undo);
  } catch (error) {
    for (const step of undo.reverse()) {
      try {
        step();
      } catch (second) {
        context.log(`not taken back: ${second instanceof Error ? second.message : second}`);
      }
    }
    throw error;
  } finally {
    closeSync(entered.namespace);
  }
}

async function connect(
  context: CniContext,
  request: Request,
  conf: Conf,
  { namespace, ip }: Entered,
  undo: Undo,
): Promise<Result> {
  const { exec } = context;
  const { networks } = readRecord();
  const network = conf.kind === 'network' ? requireNetwork(conf, networks) : null;
  const ipam = network ? ipamOfNetwork(network) : ipamOf(request, conf);
  const record = begin(request, conf, ipam);
  const before = readAttachment(record);
  // A container that ended without a DEL, and has come back; one that lives makes this ADD fail, and keeps its record.
  const earlier = before && isAlive(before) ? before : null;
  if (before && !earlier) del(context, { ...request, netns: '' });
  // Written before anything is done: whatever happens to this process, GC finds what it left.
  if (!earlier) {
    undo.push(() => removeAttachment(record));
    writeAttachment(record);
  }

  const take = (): Result => {
    const { result, undo: back } = allocate(exec, request, conf, ipam);
    undo.push(back);
    return withGateways(conf, result);
  };
  // Our own addresses come first, as the MAC is made from them; another plugin's may need the interface (dhcp does).
  const known = ipam.how === 'plugin' ? null : take();
  const wire: Wire = {
    exec,
    request,
    conf,
    namespace,
    ip,
    hostLink: record.hostLink,
    bridge: isStacked(conf.kind) || conf.kind === 'ptp' ? null : (conf.network ?? conf.bridge),
    mac: macOfAttachment(record, conf, known),
    mtu: conf.mtu ?? (typeof network?.mtu === 'number' ? network.mtu : null),
  };
  const link = await makeInterface(wire, known);
  undo.push(() => removeInterface(exec, record, namespace));
  const dhcp = ipam.how === 'plugin' && ipam.delegation.type === 'dhcp';
  if (dhcp) await inside(ipInside(exec, namespace, '-json'), [`link set dev ${request.ifname} up`]);
  let addressed = known ?? take();
  if (known === null && conf.kind === 'bridge') ensureBridge(exec, bridgeWish(wire, addressed), link);
  const addressing = addressInterface(wire, addressed, link);
  addressing.catch(() => undefined); // it is waited for, unless something else goes wrong before
  if (dhcp) {
    await addressing;
    addressed = await completeDhcp(context, namespace, request.ifname, addressed);
  }

  if (conf.ipMasq && !isStacked(conf.kind) && !network) {
    record.masquerade = addressed.ips.map(({ address }) => address);
    undo.push(() => unmasquerade(exec, record.masquerade, record, true));
    masquerade(exec, record.masquerade, record);
  }
  if (network && (conf.publish.length > 0 || !network.icc)) {
    undo.push(() => closePorts(context, record));
    record.policy = openPorts(context, record, network, conf.publish, addressed);
  }
  const joined = network ?? networkOf(conf, networks, addressed.ips);
  if (joined) {
    undo.push(() => removeNames(record.names));
    record.names = publishNames(record, namesOf(request, conf.aliases), joined, addressed.ips);
  }
  const interfaces = describeInterfaces(wire, link);
  record.result = {
    interfaces,
    ips: addressed.ips.map((ip) => ({ ...ip, interface: interfaces.length - 1 })),
    routes: addressed.routes,
    dns: dnsOf(conf, addressed, joined, networks),
  };
  await addressing;
  writeAttachment(record);
  return record.result;
}

function begin({ name, containerId, ifname, netns, ...request }: Request, conf: Conf, ipam: Ipam): AttachmentRecord {
  return {
    network: name,
    id: containerId,
    ifname,
    kind: conf.kind,
    netns,
    namespace: namespaceAt(netns) ?? '',
    hostLink: isStacked(conf.kind) ? null : hostLinkOf(name, containerId, ifname),
    store: ipam.how === 'store' ? ipam.store : null,
    ipam:
      ipam.how === 'plugin'
        ? { type: ipam.delegation.type, text: request.text, path: request.path, args: request.argsText }
        : null,
    masquerade: [],
    policy: null,
    names: { files: [], networks: [] },
    result: null,
  };
}

/** @throws CniError when it is not up */
export function requireNetwork({ network }: Conf, networks: readonly NetworkConfig[]): NetworkConfig {
  const found = networks.find(({ name }) => name === network);
  if (found) return found;
  const up = networks.map(({ name }) => name).join(', ') || 'none';
  throw new CniError(
    CODE.config,
    `network: ${network} is not up; up: ${up}`,
    '`nethooks up` brings up those of nethooks.ini',
  );
}
