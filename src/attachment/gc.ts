/** Takes back what is left of containers that nobody took down (garbage.ts). */
import { attachmentId } from '../model/attachment.ts';
import { elementsOf, subtractElements } from '../model/policy.ts';
import { releaseAddress } from '../store/addresses.ts';
import { forgetParent } from '../store/links.ts';
import { listUnclearPorts, mendPort, releasePorts } from '../store/ports.ts';
import { isLive, policiesOf, readKept, readRecord } from '../store/records.ts';
import { give, mend } from '../store/register.ts';
import { antispoofNotes } from '../system/antispoof.ts';
import { type Applying, applySteps } from '../system/apply.ts';
import { changed } from '../system/event.ts';
import { removeFile } from '../system/files.ts';
import { detach, type GiveElsewhere, withNamespace } from './detach.ts';
import { forget, forgetOptions } from './forget.ts';
import { type Garbage, readOwners } from './garbage.ts';

/**
 * Takes back what was found. What has changed since is left alone; what fails does not keep the rest.
 * @returns one line for each thing that could not be taken back
 */
export async function collect(how: Applying, garbage: Garbage, giveElsewhere: GiveElsewhere): Promise<string[]> {
  const failures: string[] = [];
  const attempt = async (what: string, action: () => unknown): Promise<void> => {
    try {
      await action();
      changed({ what: `${what}: taken back` });
    } catch (error) {
      failures.push(`${what}: ${error instanceof Error ? error.message : error}`);
    }
  };
  for (const { owner } of garbage.dead) {
    const id = attachmentId(owner);
    await attempt(id, () => takeDown(how, id, giveElsewhere));
  }
  for (const { container } of garbage.vanished) await attempt(container, () => forgetVanished(how, container));
  // Once more: a start in between may have come to own what was nobody's.
  const owners = readOwners();
  const remove = subtractElements(garbage.elements, elementsOf(...policiesOf(owners.live, antispoofNotes())));
  if (Object.values(remove).some((list) => list.length > 0))
    await attempt('rules', () =>
      applySteps(how, [{ kind: 'elements', remove, add: elementsOf(), guard: [], setup: null }]),
    );
  for (const port of listUnclearPorts()) await attempt(`port ${port.hostPort}`, () => mendPort(port));
  for (const port of garbage.ports.filter(owners.isStalePort))
    await attempt(port.container, () => releasePorts(port.container, [port]));
  for (const entry of garbage.entries.filter(owners.isStaleEntry)) {
    const { register, key, holder } = entry;
    await attempt(key, () => (holder === null ? mend(register, key) : give(register, key, holder)));
  }
  for (const path of garbage.files.filter(owners.isStaleFile)) await attempt(path, () => removeFile(path));
  for (const path of garbage.abandoned) await attempt(path, () => removeFile(path));
  for (const { parent, child } of garbage.links.filter(owners.isStaleLink))
    await attempt(parent, () => forgetParent(parent, { children: [child] }));
  for (const { store, address, holder } of garbage.addresses)
    await attempt(address, () => releaseAddress(store, holder, address, { search: false }));
  return failures;
}

/** Where nobody knows its place, that may just not be mounted: an address can be had again, options cannot. */
async function forgetVanished(how: Applying, container: string): Promise<void> {
  const { place } = readKept(container);
  await forget(how, container);
  if (place !== undefined) forgetOptions(container);
}

/** One that is dead, unless it has come back to life. */
async function takeDown(how: Applying, id: string, give: GiveElsewhere): Promise<void> {
  const record = readRecord(id);
  if (record === null || isLive(record)) return;
  await withNamespace(how, record.life, (inside) => {
    const giveElsewhere = give(inside, record);
    return detach(inside, record, giveElsewhere ? { giveElsewhere } : {});
  });
}
