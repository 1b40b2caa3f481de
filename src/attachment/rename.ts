/** An LXC container gets another name: its options, its address and the links to it go with it. */
import { renameSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { bare } from '../model/address.ts';
import { holderIdOf } from '../model/attachment.ts';
import { containerFile, isLxcConfigBackup, lxcConfigBackup } from '../model/paths.ts';
import { withFlagsRenamed, withHooksRenamed, withLinksRenamed } from '../plan/copied-options.ts';
import { WRITTEN } from '../plan/ini-edit.ts';
import { passAddress } from '../store/addresses.ts';
import { renameAliases } from '../store/aliases.ts';
import { forgetParent, parentsOf, watchChild } from '../store/links.ts';
import { readContainer, readKeptIfThere, writeKept, writeRecord } from '../store/records.ts';
import type { Applying } from '../system/apply.ts';
import { filesIn, readText, writeAtomically } from '../system/files.ts';
import { placeOf } from './connect.ts';
import { detach } from './detach.ts';
import { forget, forgetOptions } from './forget.ts';
import { relinkParents } from './relink.ts';

interface Renaming {
  from: string;
  to: string;
  /** LXC's configuration of the new one. */
  configFile: string;
}

/** @throws NethooksError when the kernel keeps the rules of what the old one left */
export async function rename(how: Applying, { from, to, configFile }: Renaming): Promise<void> {
  const record = readContainer(from);
  if (record) await detach(how, record);
  moveOptions(how, from, to);
  renameLinks(how, from, to);
  renameHooks(how, { from, to, configFile });
  const kept = readKeptIfThere(from);
  if (kept) {
    // First, as nobody would give back an address of which no container knows.
    writeKept(to, { ...kept, ...placeOf({ configFile }) });
    const [old, now] = [from, to].map((name) => holderIdOf({ kind: 'lxc', name })) as [string, string];
    for (const { store, ifname, addresses } of kept.interfaces)
      for (const address of store ? addresses.map(bare) : [])
        if (store) passAddress(store, address, { id: old, ifname }, { id: now, ifname });
  }
  renameAliases(from, to);
  const parents = parentsOf(from);
  await forget(how, from);
  for (const { parent, aliases } of parents) {
    forgetParent(parent, { children: [from] });
    for (const alias of aliases) watchChild(to, parent, alias);
    const running = readContainer(parent);
    if (running === null) continue;
    const links = running.links.map((link) => (link.container === from ? { ...link, container: to } : link));
    const { words } = running;
    writeRecord({ ...running, links, ...(words && { words: withFlagsRenamed(words, from, to) }) });
  }
  await relinkParents(how, to, { gone: false });
}

/** The new one's file is a copy that lacks what only one can have, unless somebody wrote it. */
function moveOptions({ log }: Applying, from: string, to: string): void {
  const [old, present] = [from, to].map((name) => readText(containerFile(name))) as [string | null, string | null];
  if (old === null) return;
  if (present === null || present.startsWith(WRITTEN)) renameSync(containerFile(from), containerFile(to));
  else {
    log(`${containerFile(to)} was there: it keeps that, and not what ${containerFile(from)} says`);
    forgetOptions(from);
  }
}

/** On the hook lines of its neighbours. */
function renameHooks({ log }: Applying, { from, to, configFile }: Renaming): void {
  const directory = dirname(dirname(configFile));
  const configs = filesIn(directory).map((name) => join(directory, name, 'config'));
  for (const path of configs.flatMap((config) => [config, lxcConfigBackup(config)])) {
    const text = readText(path);
    const after = text === null ? null : withHooksRenamed(text, from, to);
    if (after === null || after === text) continue;
    writeAtomically(path, after);
    if (!isLxcConfigBackup(path)) log(`renamed to ${to}: ${path} links to that now`);
  }
}

function renameLinks({ log }: Applying, from: string, to: string): void {
  const directory = dirname(containerFile('-'));
  for (const file of filesIn(directory).filter((name) => name.endsWith('.ini'))) {
    const path = join(directory, file);
    const text = readText(path) ?? '';
    const after = withLinksRenamed(text, from, to);
    if (after === text) continue;
    writeAtomically(path, after);
    log(`renamed to ${to}: ${path} links to that now`);
  }
}
