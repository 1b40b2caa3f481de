/**
 * Which networks check what their containers send, and what that is for each: pure. What is in force is noted in a file for each network
 * (paths.ts), so that whoever starts or stops a container asks neither the configuration nor the kernel.
 */
import { bare, isV6 } from './address.ts';
import type { AttachmentRecord, Interface } from './attachment.ts';
import type { NetworkConfig } from './config.ts';
import { NO_POLICY, type Policy, type Sender } from './policy.ts';

/** `own`: a container sends with its own MAC and addresses only. `apart`: and ports that nobody registered reach no container. */
export type Antispoof = 'own' | 'apart';

/** What is checked, by network; one that checks nothing is missing. */
export type AntispoofModes = Readonly<Record<string, Antispoof>>;

/** What the configuration asks for. */
export const antispoofOf = ({ antispoof, icc }: Pick<NetworkConfig, 'antispoof' | 'icc'>): Antispoof | null =>
  antispoof ? (icc ? 'own' : 'apart') : null;

/** What a note says; null for one that is not there. One that says something else is of `up`, which is about to write it. */
export const parseAntispoof = (note: string | null): Antispoof | null =>
  note === null ? null : note === 'own' ? 'own' : 'apart';

/** Whether an interface is a port of a bridge of ours, which the record of a container knows by its index. */
export const isOnBridge = ({ driver, network }: Pick<Interface, 'driver' | 'network'>): boolean =>
  network !== null && (driver === 'none' || driver === 'bridge');

/**
 * What the interfaces of one attachment may send on networks that check it: each from all of its addresses, as answers leave by the
 * default route. An interface whose port is not known yet sends nothing.
 */
export function sendersOf(interfaces: readonly Interface[], modes: AntispoofModes): Sender[] {
  const addresses = interfaces.flatMap((one) => one.addresses.filter((address) => !isV6(address)).map(bare));
  return interfaces.flatMap((one) => {
    const mode = one.network === null ? undefined : modes[one.network];
    if (mode === undefined || one.port === undefined || !isOnBridge(one)) return [];
    return [{ port: one.port, mac: one.mac.toLowerCase(), addresses, apart: mode === 'apart' }];
  });
}

/** Whether an interface has a port that its record does not name: an earlier version wrote it, or the start is not that far. */
export const lacksPort = ({ owner, interfaces }: Pick<AttachmentRecord, 'owner' | 'interfaces'>): boolean =>
  !(owner.kind === 'cni' && owner.chained) && interfaces.some((one) => isOnBridge(one) && one.port === undefined);

/** The policy of a record with what it may send; as it is where no network of its checks that. */
export function policyWithSenders(
  { policy, interfaces }: Pick<AttachmentRecord, 'policy' | 'interfaces'>,
  modes: AntispoofModes,
): Policy | null {
  const senders = sendersOf(interfaces, modes);
  return senders.length === 0 ? policy : { ...(policy ?? NO_POLICY), senders };
}
