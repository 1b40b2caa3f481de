/**
 * After another plugin: the container's names, `dns` in the result, and a resolv.conf where the runtime writes none. The other
 * plugin's interface is left alone.
 */
import { basename, dirname } from 'node:path';
import type { NetworkConfig } from '../../model/config.ts';
import { renderResolvConf } from '../../model/resolv-conf.ts';
import { attachedAt, namespaceAt, readAttachment, removeAttachment, writeAttachment } from '../../store/attachments.ts';
import { readHostRecord } from '../../store/host-record.ts';
import { ensureText } from '../../system/files.ts';
import { writeBelowRoot } from '../../system/rootfs.ts';
import type { CniContext } from './add.ts';
import type { Conf } from './conf.ts';
import { CniError, CODE } from './error.ts';
import { dnsOf, namesOf, networkOf, publishNames, removeNames } from './names.ts';
import type { Request } from './request.ts';
import type { Dns, Result } from './result.ts';

/** Chained plugins of one network share its name, so their records need a name of their own. */
const keyOf = ({ name, containerId, ifname }: Request) => ({ network: `${name}.dns`, id: containerId, ifname });

/** @throws CniError (config) without prevResult */
export function addNames({ log }: CniContext, request: Request, conf: Conf): Result {
  if (!conf.prevResult)
    throw new CniError(CODE.config, 'prevResult: missing; this comes after another plugin in a list');
  const { networks } = readHostRecord();
  const found = networkOf(conf, networks, conf.prevResult.ips);
  if (conf.network !== null && !found)
    throw new CniError(CODE.config, `network: ${conf.network} is not up`, '`nethooks up`');
  const network: NetworkConfig | null = found && conf.domain ? { ...found, domain: conf.domain } : found;
  const key = keyOf(request);
  const names = network
    ? publishNames(key, namesOf(request, conf.aliases), network, conf.prevResult.ips)
    : { files: [], networks: [] };
  const result = { ...conf.prevResult, dns: dnsOf(conf, conf.prevResult, network, networks) };
  const { netns } = request;
  const file = conf.resolvConf ? netnsResolvConf(netns) : null;
  if (conf.resolvConf) writeResolvConf(netns, file, result.dns, log);
  writeAttachment({
    ...key,
    kind: 'dns',
    netns,
    namespace: namespaceAt(netns) ?? '',
    hostLink: null,
    store: null,
    ipam: null,
    masquerade: [],
    policy: null,
    names: { ...names, files: [...names.files, ...(file ? [file] : [])] },
    result,
  });
  return result;
}

export function removeChained(request: Request): void {
  const named = keyOf(request);
  const key = named.id === '' ? attachedAt(named.network, request.netns, named.ifname) : named;
  if (!key) return;
  const record = readAttachment(key);
  if (record) removeNames(record.names);
  removeAttachment(key); // a file that is no record, too
}

/** ip-netns(8): what is bound over /etc/resolv.conf in a named namespace. */
function netnsResolvConf(netns: string): string | null {
  return /^(\/var)?\/run\/netns$/.test(dirname(netns)) ? `/etc/netns/${basename(netns)}/resolv.conf` : null;
}

/** For a namespace with a name, and for one that is a process's: below that process's root. */
function writeResolvConf(netns: string, file: string | null, dns: Dns, log: (line: string) => void): void {
  const search = dns.search ?? (dns.domain ? [dns.domain] : []);
  const text = renderResolvConf({ nameservers: dns.nameservers ?? [], search, options: dns.options ?? [] });
  const pid = /^\/proc\/(\d+)\/ns\/net$/.exec(netns)?.[1];
  if (file) ensureText(file, text);
  else if (pid) {
    const { outcome, reason } = writeBelowRoot(`/proc/${pid}/root`, ['etc'], 'resolv.conf', text);
    if (outcome === 'left') log(`/etc/resolv.conf in the container is left as it is: ${reason}`);
  } else
    log(`resolvConf: ${netns} is neither below /run/netns nor a process's, so it is not known where resolv.conf is`);
}
