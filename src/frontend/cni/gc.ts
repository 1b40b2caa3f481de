/** GC: what the runtime does not know any more. */
import { withNamespace } from '../../attachment/detach.ts';
import { attachmentId } from '../../model/attachment.ts';
import { listAddresses, releaseAddress } from '../../store/addresses.ts';
import { recordsWhere } from '../../store/records.ts';
import type { CniContext } from './add.ts';
import type { Conf } from './conf.ts';
import { detachRecord } from './del.ts';
import { delegate } from './delegate.ts';
import { ipamOf } from './ipam.ts';
import { type Request, validAttachments } from './request.ts';

/**
 * Removes every attachment of the network that is not in `cni.dev/valid-attachments`, and goes on when one fails.
 * @throws the first error, when all has been tried
 */
export async function gc(context: CniContext, request: Request, conf: Conf): Promise<void> {
  const how = { ...context, wait: false };
  const valid = validAttachments(request.conf);
  const isValid = (id: string, ifname: string) =>
    valid.some((one) => one.containerID === id && (one.ifname === ifname || ifname === ''));
  const chained = conf.kind === 'dns';
  const records = recordsWhere(
    (owner) => owner.kind === 'cni' && owner.network === request.name && (owner.chained === true) === chained,
  );
  const errors: unknown[] = [];
  for (const record of records) {
    const { owner, life } = record;
    if (owner.kind !== 'cni' || isValid(owner.id, owner.ifname)) continue;
    try {
      await withNamespace(how, life, (inside) => detachRecord(inside, record));
    } catch (error) {
      context.log(`${attachmentId(owner)}: ${error instanceof Error ? error.message : error}`);
      errors.push(error);
    }
  }
  // A network of nethooks.ini shares its store with other networks and with LXC: what is not recorded is not for us to judge.
  const ipam = conf.kind === 'network' || chained ? null : ipamOf(request, conf);
  if (ipam?.how === 'store')
    for (const { address, holder } of listAddresses(ipam.store))
      if (!isValid(holder.id, holder.ifname)) releaseAddress(ipam.store, holder, address);
  if (ipam?.how === 'plugin') {
    try {
      delegate(context.exec, 'GC', ipam.delegation);
    } catch (error) {
      context.log(`${error instanceof Error ? error.message : error}`); // plugins before 1.1.0 have no GC
    }
  }
  if (errors.length > 0) throw errors[0];
}
