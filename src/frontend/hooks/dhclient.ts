/**
 * dhclient's enter hook (dhclient-script(8)), sourced before resolv.conf is written. The values come from the network: only what
 * is an IP address is used or printed.
 */
import { join } from 'node:path';
import { currentUpstreams } from '../../host/facts.ts';
import { parseIp } from '../../model/address.ts';
import { RUN, UPSTREAMS } from '../../model/paths.ts';
import { canAnswer } from '../../model/resolv-conf.ts';
import { upstreamsFile } from '../../plan/host/dnsmasq.ts';
import { readHostRecord } from '../../store/host-record.ts';
import { changed } from '../../system/event.ts';
import { ensureText, removeFile } from '../../system/files.ts';
import { resolverFact } from '../../system/resolver.ts';
import type { HookContext } from './context.ts';

const BOUND = ['BOUND', 'RENEW', 'REBIND', 'REBOOT', 'TIMEOUT'];
const UNBOUND = ['EXPIRE', 'FAIL', 'RELEASE', 'STOP'];

/** Remembers the lease's servers for dnsmasq; prints the list for resolv.conf, ours first, where the host reads that file itself. */
export async function run({ env }: HookContext): Promise<void> {
  const { reason = '', interface: name = '' } = env;
  if (!/^[A-Za-z0-9][A-Za-z0-9_.@-]{0,14}$/.test(name)) return;
  const lease = join(RUN, 'upstreams.d', name);
  const servers = (env.new_domain_name_servers ?? '')
    .split(/\s+/)
    .filter((word) => parseIp(word) !== null && canAnswer(word));
  if (BOUND.includes(reason) && servers.length > 0) {
    if (ensureText(lease, `${servers.join(' ')}\n`)) changed({ what: `${name}: asks ${servers.join(' ')}` });
  } else if (!UNBOUND.includes(reason) || !removeFile(lease)) return;
  else changed({ what: `${name}: its servers are asked no more` });
  const { networks, host } = readHostRecord();
  if (networks.length === 0) return;
  const resolver = resolverFact([]);
  const kind = host.resolver === 'auto' ? resolver.kind : host.resolver;
  const own = networks.find((network) => network.dns)?.address;
  const prepend = kind === 'file' && BOUND.includes(reason);
  // dhclient-script is about to replace the servers in resolv.conf by these.
  const text = prepend ? upstreamsFile(servers) : resolver.text;
  ensureText(UPSTREAMS, upstreamsFile(currentUpstreams(networks, text)));
  if (prepend && own) console.log([own, ...servers.filter((server) => server !== own)].join(' '));
}
