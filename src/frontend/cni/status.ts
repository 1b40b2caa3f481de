/** STATUS: whether an ADD could work now. */
import { readHostRecord } from '../../store/host-record.ts';
import { type CniContext, requireNetwork } from './add.ts';
import type { Conf } from './conf.ts';
import { isInstalled } from './delegate.ts';
import { CniError, CODE } from './error.ts';
import { ipamOf } from './ipam.ts';
import type { Request } from './request.ts';

/** @throws CniError (unavailable) with what is missing */
export function status({ exec }: CniContext, request: Request, conf: Conf): void {
  const unavailable = (message: string): CniError => new CniError(CODE.unavailable, message);
  if (conf.kind === 'network') {
    try {
      requireNetwork(conf, readHostRecord().networks);
    } catch (error) {
      throw unavailable((error as Error).message);
    }
    const { code } = exec('ip', ['link', 'show', 'dev', conf.network ?? '']);
    if (code !== 0) throw unavailable(`network ${conf.network} has no bridge; \`nethooks up\` brings it back`);
  }
  if (conf.master !== null && exec('ip', ['link', 'show', 'dev', conf.master]).code !== 0)
    throw unavailable(`master: ${conf.master}: no such interface`);
  const ipam = conf.kind === 'network' || conf.kind === 'dns' ? null : ipamOf(request, conf);
  if (ipam?.how !== 'plugin') return;
  const { type, path } = ipam.delegation;
  if (!isInstalled(ipam.delegation)) throw unavailable(`failed to find plugin "${type}" in path [${path.join(' ')}]`);
}
