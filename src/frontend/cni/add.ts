/** ADD: an interface in the container, its addresses and routes, masquerading, names, ports. */
import { closeSync } from 'node:fs';
import { connect, InterfaceExists } from '../../attachment/connect.ts';
import type { Owner } from '../../model/attachment.ts';
import type { NetworkConfig } from '../../model/config.ts';
import { existing, linkFault } from '../../plan/attachment/driver.ts';
import { readHostRecord } from '../../store/host-record.ts';
import { namespaceAt, writeRecord } from '../../store/records.ts';
import { type Applying, IpError } from '../../system/apply.ts';
import type { Exec } from '../../system/exec.ts';
import { readRoutes } from '../../system/routes.ts';
import { sweepOnce } from '../sweep.ts';
import type { Conf } from './conf.ts';
import { isConmonOf } from './conmon.ts';
import { askPlugin, giveElsewhere } from './elsewhere.ts';
import { CniError, CODE } from './error.ts';
import { dnsFrom, type Ipam, ipamOf, ipamOfNetwork } from './ipam.ts';
import { dnsOf, namesOf, networkOf } from './names.ts';
import type { Entered } from './namespace.ts';
import type { Request } from './request.ts';
import type { Result } from './result.ts';
import { describeInterfaces, ownerOfRequest, specOf } from './spec.ts';

export interface CniContext {
  exec: Exec;
  log: (line: string) => void;
}

/**
 * Connects a container.
 * @param entered its namespace, which is closed in the end
 * @throws CniError, NethooksError; nothing is left then
 */
export async function add(
  context: CniContext,
  request: Request,
  conf: Conf,
  entered: Entered,
  owner: Owner = ownerOfRequest(request),
): Promise<Result> {
  const { namespace: fd, ip } = entered;
  const how: Applying = { ...context, wait: false, namespace: { fd, host: ip.host, inside: ip.inside } };
  try {
    return await connectContainer(how, request, conf, owner);
  } catch (error) {
    throw asCniError(error, conf, request);
  } finally {
    closeSync(fd);
  }
}

async function connectContainer(how: Applying, request: Request, conf: Conf, owner: Owner): Promise<Result> {
  const { networks } = readHostRecord();
  const own = conf.kind === 'network' ? requireNetwork(conf, networks) : null;
  const ipam: Ipam = own ? ipamOfNetwork(own) : ipamOf(request, conf);
  const network = own ?? networkOf(conf, networks, []);
  const spec = specOf(request, conf, {
    owner,
    life: { netns: request.netns, namespace: namespaceAt(request.netns) ?? '' },
    ipam,
    network,
    master: conf.master ?? (conf.kind === 'macvlan' || conf.kind === 'ipvlan' ? readRoutes().defaultDevice : null),
    names: namesOf(request, conf.aliases),
  });
  const asked = ipam.how === 'plugin' ? askPlugin(how.exec, conf, ipam.delegation) : null;
  const dns = ipam.how === 'store' && ipam.options.resolvConf !== null ? dnsFrom(ipam.options.resolvConf) : {};
  const record = await connect(how, spec, {
    sweep: () => sweepOnce(how),
    giveElsewhere,
    isOwn: isConmonOf(request.containerId),
    elsewhere: asked,
    result: ([placed], [first], facts): Result => {
      if (!placed || !first) return { interfaces: [], ips: [], routes: [], dns: {} };
      const interfaces = describeInterfaces(spec, first.mac, request.netns, placed, facts);
      const addressed: Result = {
        interfaces,
        ips: placed.ips.map(({ address, gateway }) => ({
          address,
          ...(gateway === undefined ? {} : { gateway }),
          interface: interfaces.length - 1,
        })),
        routes: placed.routes as Result['routes'],
        dns: asked?.result.dns ?? dns,
      };
      return { ...addressed, dns: dnsOf(conf, addressed, network, networks) };
    },
  });
  const result = record.result as Result;
  if (asked?.afterLink !== true || how.namespace === undefined) return result;
  const { completeDhcp } = await import('./dhcp.ts');
  try {
    const given = { ...result, dns: asked.result.dns };
    const complete = await completeDhcp(how, how.namespace.fd, request.ifname, given);
    const answer = { ...complete, dns: dnsOf(conf, complete, network, networks) };
    writeRecord({ ...record, result: answer });
    return answer;
  } catch (error) {
    const give = giveElsewhere(how, record);
    const { detach } = await import('../../attachment/detach.ts');
    await detach(how, record, give ? { giveElsewhere: give } : {});
    throw error;
  }
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

/** What the kernel said, with the spec's code for it. */
function asCniError(error: unknown, conf: Conf, { ifname }: Request): unknown {
  if (error instanceof CniError || !(error instanceof Error)) return error;
  if (error instanceof InterfaceExists) return new CniError(CODE.exists, error.message);
  const fault = linkFault(error instanceof IpError ? error.stderr : error.message);
  switch (fault) {
    case 'exists':
      return new CniError(CODE.exists, existing(error instanceof IpError ? error.command : '', ifname));
    case 'unsupported':
      return new CniError(
        CODE.unsupported,
        `this kernel has no ${conf.kind}`,
        `\`modprobe ${conf.kind}\` loads it where it is a module`,
      );
    case 'no master':
      return conf.kind === 'macvlan' || conf.kind === 'ipvlan'
        ? new CniError(CODE.config, `master: ${conf.master}: no such interface`)
        : error;
    case 'no namespace':
      return new CniError(CODE.unknownContainer, 'CNI_NETNS is no network namespace');
    default:
      return error instanceof IpError &&
        conf.master !== null &&
        /^link add link .* type (mac|ip)vlan/.test(error.command)
        ? new CniError(CODE.config, `master: ${conf.master}: ${conf.kind} cannot be on it: ${error.reason}`)
        : error;
  }
}
