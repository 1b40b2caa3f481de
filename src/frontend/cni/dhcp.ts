/**
 * What the stock dhcp plugin leaves out: name servers always, the default route in old versions. The server is asked again for just
 * that, with a DHCPINFORM (RFC 2131, 4.4.3) from the address that it has given.
 */
import { bare, isV6 } from '../../model/address.ts';
import { type Exec, failure } from '../../system/exec.ts';
import { executable } from '../../system/install.ts';
import { ipInside } from '../../system/ip.ts';
import type { CniContext } from './add.ts';
import type { DhcpAnswer } from './dhcp-inform.ts';
import { CniError, CODE } from './error.ts';
import { isDefault, type Result } from './result.ts';

/** The result with what was missing, which is set inside as well. A server that does not answer leaves it as it was. */
export async function completeDhcp(
  { exec, log }: CniContext,
  namespace: number,
  ifname: string,
  result: Result,
): Promise<Result> {
  const own = result.ips.find(({ address }) => !isV6(address));
  const hasRoute = result.routes.some(isDefault);
  if (!own || (hasRoute && result.dns.nameservers)) return result;
  const args = ['--net=/proc/self/fd/3', executable(), 'cni', 'dhcp-inform', bare(own.address)];
  const answer = exec('nsenter', args, { fd: namespace });
  if (answer.code !== 0) log(`DHCP told no name servers: ${failure('nsenter', args, answer)}`);
  const { routers, servers, domain }: DhcpAnswer =
    answer.code === 0 ? JSON.parse(answer.stdout) : { routers: [], servers: [], domain: '' };
  const gateway = own.gateway ?? routers[0];
  const routes = hasRoute || !gateway ? [] : [{ dst: '0.0.0.0/0', gw: gateway }];
  if (routes[0]) await setRoute(exec, namespace, `route replace default via ${bare(routes[0].gw)} dev ${ifname}`);
  return {
    ...result,
    ips: result.ips.map((ip) => (ip === own && gateway ? { ...ip, gateway } : ip)),
    routes: [...result.routes, ...routes],
    dns: {
      ...(servers.length > 0 ? { nameservers: servers } : {}),
      ...(domain === '' ? {} : { domain, search: [domain] }),
      ...result.dns,
    },
  };
}

async function setRoute(exec: Exec, namespace: number, line: string): Promise<void> {
  const result = await ipInside(exec, namespace)([line]);
  if (result.code !== 0) throw new CniError(CODE.failed, failure('ip', ['-batch', '-'], result));
}
