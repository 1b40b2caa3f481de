/** What a container that starts needs of its network on the host, as far as files say it: a container that starts asks no program more. */
import { existsSync } from 'node:fs';
import { dnsmasqConf, dnsmasqPid, HOST_RECORD } from '../model/paths.ts';
import { readText } from './files.ts';

/** Whether a network that was brought up has lost its daemon, or its bridge has lost its address or is down. */
export function isDamaged(network: string): boolean {
  if (!existsSync(HOST_RECORD)) return false;
  const route = readText('/proc/net/route')?.includes(`\n${network}\t`) === true;
  if (!route) return true;
  if (!existsSync(dnsmasqConf(network))) return false;
  const pid = readText(dnsmasqPid(network))?.trim() ?? '';
  return pid === '' || !existsSync(`/proc/${pid}`);
}
