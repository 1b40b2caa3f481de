/** An LXC container is no more: nothing of it stays, and nobody may go on reaching its address, which somebody else gets. */
import { bare } from '../model/address.ts';
import { holderIdOf, type Interface } from '../model/attachment.ts';
import { linkEnvironmentPath, optionsCache } from '../model/paths.ts';
import { reservationFile } from '../plan/attachment/names.ts';
import { releaseAddress, storeOf } from '../store/addresses.ts';
import { forgetAliases } from '../store/aliases.ts';
import { readContainer, readKept, removeKept } from '../store/records.ts';
import type { Applying } from '../system/apply.ts';
import { removeFile } from '../system/files.ts';
import { detach } from './detach.ts';
import { relinkParents } from './relink.ts';

/** @throws NethooksError when the kernel keeps its rules; its addresses stay its own then */
export async function forget(how: Applying, container: string): Promise<void> {
  const record = readContainer(container);
  if (record) await detach(how, record);
  const { interfaces } = readKept(container);
  if (interfaces.length > 0) await relinkParents(how, container, { gone: true });
  const owner = { kind: 'lxc' as const, name: container };
  const all = [...interfaces, ...(record?.interfaces ?? [])];
  for (const { network, ifname } of all) if (network !== null) removeFile(reservationFile(network, owner, ifname));
  // Whatever it ever held goes, an address of an earlier range too.
  for (const network of new Set(all.flatMap((one) => one.store?.network ?? [])))
    releaseAddress(storeOf(network), { id: holderIdOf(owner) });
  removeKept(container);
  forgetAliases(container);
  for (const path of [optionsCache(container), linkEnvironmentPath(container)]) removeFile(path);
}

/** Gives back what a container held at its last start and holds no more: it is on another network now, or that has another subnet. */
export function releaseFormer(container: string, before: readonly Interface[], now: readonly Interface[]): void {
  const owner = { kind: 'lxc' as const, name: container };
  for (const old of before) {
    const same = now.find(({ network, ifname }) => network === old.network && ifname === old.ifname);
    if (!same && old.network !== null) removeFile(reservationFile(old.network, owner, old.ifname));
    const kept = same?.addresses.map(bare) ?? [];
    for (const address of old.addresses.map(bare))
      if (old.store && !kept.includes(address))
        releaseAddress(old.store, { id: holderIdOf(owner), ifname: old.ifname }, address, { search: false });
  }
}
