/** Addresses that another IPAM plugin gives and takes back. */
import type { Elsewhere } from '../../attachment/connect.ts';
import type { GiveElsewhere } from '../../attachment/detach.ts';
import { type AttachmentRecord, holderIdOf } from '../../model/attachment.ts';
import { isAlive } from '../../store/records.ts';
import type { Exec } from '../../system/exec.ts';
import type { Conf } from './conf.ts';
import { type Delegation, delegate } from './delegate.ts';
import { CniError, CODE } from './error.ts';
import { withGateways } from './gateways.ts';
import { routesOf } from './ranges.ts';
import { EMPTY_RESULT, type Result } from './result.ts';

/** What a plugin has answered. */
export interface Answered extends Elsewhere {
  result: Result;
}

/** Has a plugin give addresses when connect() asks for them. */
export function askPlugin(exec: Exec, conf: Conf, delegation: Delegation): Answered {
  const asked: Answered = {
    result: EMPTY_RESULT,
    afterLink: delegation.type === 'dhcp',
    take: async (transaction) => {
      transaction.did(`addresses of plugin ${delegation.type}`, () => delegate(exec, 'DEL', delegation));
      const result = delegate(exec, 'ADD', delegation) ?? EMPTY_RESULT;
      if (result.ips.length === 0) throw new CniError(CODE.failed, 'IPAM plugin returned missing IP config');
      // The dhcp plugin before 1.0 drops routes of the configuration.
      const missing = routesOf(conf.ipam ?? {}).filter(({ dst }) => !result.routes.some((route) => route.dst === dst));
      asked.result = withGateways(conf, { ...result, routes: [...result.routes, ...missing] });
      return { ips: asked.result.ips, routes: asked.result.routes };
    },
  };
  return asked;
}

/** As it was at ADD, whatever the configuration says now. */
export const giveElsewhere: GiveElsewhere = ({ exec }, record) => {
  const { ipam } = record;
  if (!ipam) return undefined;
  const delegation = delegationOfRecord(record, ipam);
  // dhcp gives its lease back over the interface; any other address is given back last, when nobody can be using it.
  return { beforeLink: ipam.type === 'dhcp', give: () => void delegate(exec, 'DEL', delegation) };
};

function delegationOfRecord(
  { owner, life }: AttachmentRecord,
  ipam: NonNullable<AttachmentRecord['ipam']>,
): Delegation {
  const [containerId, ifname] = 'id' in owner ? [owner.id, owner.ifname] : [holderIdOf(owner), ''];
  const netns = life && 'netns' in life && isAlive({ life }) ? life.netns : '';
  return { ...ipam, containerId, ifname, netns };
}
