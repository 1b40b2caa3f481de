/** An LXC container is no more: nothing of it stays, and nobody may go on reaching its address, which somebody else gets. */
import { holderIdOf } from '../model/attachment.ts';
import { containerFile, linkEnvironmentPath, optionsCache } from '../model/paths.ts';
import { dhcpOptionsFile, reservationFile } from '../plan/attachment/names.ts';
import { WRITTEN } from '../plan/ini-edit.ts';
import { releaseAddress, storeOf } from '../store/addresses.ts';
import { forgetAliases } from '../store/aliases.ts';
import { readContainer, readKept, removeKept } from '../store/records.ts';
import { forgetRefusal } from '../store/refusals.ts';
import type { Applying } from '../system/apply.ts';
import { readText, removeFile } from '../system/files.ts';
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
  for (const { network, ifname } of all)
    if (network !== null)
      for (const path of [reservationFile, dhcpOptionsFile]) removeFile(path(network, owner, ifname));
  // Whatever it ever held goes, an address of an earlier range too.
  for (const network of new Set(all.flatMap((one) => one.store?.network ?? [])))
    releaseAddress(storeOf(network), { id: holderIdOf(owner) });
  forgetAliases(container);
  forgetRefusal(container);
  for (const path of [optionsCache(container), linkEnvironmentPath(container)]) removeFile(path);
  // Last: by what is kept gc knows that there was such a container.
  removeKept(container);
}

/** What `nethooks configure` wrote about a container goes with it; what the admin wrote does not. */
export function forgetOptions(container: string): void {
  if (readText(containerFile(container))?.startsWith(WRITTEN)) removeFile(containerFile(container));
}
