/**
 * After another plugin: the container's names, `dns` in the result, and a resolv.conf where the runtime writes none. The other
 * plugin's interface is left alone.
 */
import { basename, dirname } from 'node:path';
import { connect } from '../../attachment/connect.ts';
import { attachmentId, type Owner } from '../../model/attachment.ts';
import type { NetworkConfig } from '../../model/config.ts';
import { NO_OPTIONS } from '../../model/container-options.ts';
import { renderResolvConf } from '../../model/resolv-conf.ts';
import { ASKS_NOTHING } from '../../plan/attachment/publish.ts';
import { readHostRecord } from '../../store/host-record.ts';
import { namespaceAt, readRecord } from '../../store/records.ts';
import { sweepOnce } from '../sweep.ts';
import type { CniContext } from './add.ts';
import type { Conf } from './conf.ts';
import { attachedAt, detachRecord } from './del.ts';
import { CniError, CODE } from './error.ts';
import { dnsOf, namesOf, networkOf } from './names.ts';
import type { Request } from './request.ts';
import type { Dns, Result } from './result.ts';

/** Chained plugins of one network share its name with the one before them. */
const ownerOf = ({ name, containerId, ifname }: Request): Owner => ({
  kind: 'cni',
  network: name,
  id: containerId,
  ifname,
  chained: true,
});

/** @throws CniError (config) without prevResult */
export async function addNames(context: CniContext, request: Request, conf: Conf): Promise<Result> {
  const { prevResult } = conf;
  if (!prevResult) throw new CniError(CODE.config, 'prevResult: missing; this comes after another plugin in a list');
  const how = { ...context, wait: false };
  const { networks } = readHostRecord();
  const found = networkOf(conf, networks, prevResult.ips);
  if (conf.network !== null && !found)
    throw new CniError(CODE.config, `network: ${conf.network} is not up`, '`nethooks up`');
  const network: NetworkConfig | null = found && conf.domain ? { ...found, domain: conf.domain } : found;
  const { netns, ifname } = request;
  const result = { ...prevResult, dns: dnsOf(conf, prevResult, network, networks) };
  const resolver = conf.resolvConf ? resolvConfOf(netns, result.dns, context.log) : {};
  await connect(
    how,
    {
      ...ASKS_NOTHING,
      owner: ownerOf(request),
      life: { netns, namespace: namespaceAt(netns) ?? '' },
      interfaces: [
        {
          ifname,
          link: { driver: 'none' },
          // Names only: its rules are the other plugin's.
          network: network && { ...network, icc: true },
          mac: '',
          mtu: null,
          untouched: true,
          addressing: { how: 'static', ips: prevResult.ips, routes: [] },
        },
      ],
      names: network ? namesOf(request, conf.aliases) : [],
      ...resolver,
    },
    { sweep: () => sweepOnce(how), result: () => result },
  );
  return result;
}

export async function removeChained(context: CniContext, request: Request): Promise<void> {
  const record = request.containerId === '' ? attachedAt(request, true) : readRecord(attachmentId(ownerOf(request)));
  if (record) await detachRecord({ ...context, wait: false }, record);
}

/** For a namespace with a name (ip-netns(8)), and for one that is a process's: below that process's root. */
function resolvConfOf(netns: string, dns: Dns, log: (line: string) => void) {
  const search = dns.search ?? (dns.domain ? [dns.domain] : []);
  const text = renderResolvConf({ nameservers: dns.nameservers ?? [], search, options: dns.options ?? [] });
  if (/^(\/var)?\/run\/netns$/.test(dirname(netns)))
    return { hostFiles: [{ path: `/etc/netns/${basename(netns)}/resolv.conf`, text }] };
  const pid = /^\/proc\/(\d+)\/ns\/net$/.exec(netns)?.[1];
  if (pid) return { files: { name: '', pid: Number(pid), options: NO_OPTIONS, network: null, resolvConf: text } };
  log(`resolvConf: ${netns} is neither below /run/netns nor a process's, so it is not known where resolv.conf is`);
  return {};
}
