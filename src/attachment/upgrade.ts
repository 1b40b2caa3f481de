/** An upgrade finds containers that run: what an earlier version has recorded of them becomes records and reservations of this one. */
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { bare } from '../model/address.ts';
import { type AttachmentRecord, attachmentId } from '../model/attachment.ts';
import { RUN } from '../model/paths.ts';
import type { Step } from '../model/step.ts';
import { domainsOf, linkedNames, namesFile, ownNames } from '../plan/attachment/names.ts';
import {
  currentConnection,
  currentContainer,
  type EarlierConnection,
  type EarlierContainer,
} from '../store/earlier-formats.ts';
import { holdPort, PORTS_DIR } from '../store/ports.ts';
import { readRecord, writeRecord } from '../store/records.ts';
import { mend, take } from '../store/register.ts';
import { earlierConnectionShape, earlierContainerShape } from '../store/shapes.ts';
import { filesIn, readText, removeFile } from '../system/files.ts';
import { readJson } from '../system/json-file.ts';

const CONTAINERS = `${RUN}/containers`;
const CNI = `${RUN}/cni`;
const CONNECTIONS = `${CNI}/attachments`;
/** Where the addresses of CNI's ipMasq were. */
const EARLIER_TABLE = 'inet nethooks-cni';

/** What is left to be done when the records are written. */
export interface Upgrade {
  /** With the rules that take the place of the earlier ones, or on its own. */
  removeRules(steps: Step[]): void;
  /** Once `steps` are carried out. */
  finish(): void;
}

/** Each file goes when its record is written, so a run that is killed is completed by the next one. Costs nothing where there are none. */
export function takeOver(): Upgrade {
  for (const file of filesIn(CONTAINERS)) {
    const path = join(CONTAINERS, file);
    const found = readJson<EarlierContainer>(path, earlierContainerShape);
    if (found.state === 'found') toRecord(currentContainer(found.value));
    removeFile(path);
  }
  for (const network of filesIn(CONNECTIONS))
    for (const file of filesIn(join(CONNECTIONS, network))) {
      const path = join(CONNECTIONS, network, file);
      const found = readJson<EarlierConnection>(path, earlierConnectionShape);
      if (found.state === 'found') toRecord(currentConnection(found.value));
      removeFile(path);
    }
  // Ports were files by protocol, port and address in one name.
  for (const file of filesIn(PORTS_DIR)) if (/^[a-z]+-\d+-/.test(file)) removeFile(join(PORTS_DIR, file));
  return {
    removeRules: (steps) => {
      if (!existsSync(CNI)) return;
      const script = `add table ${EARLIER_TABLE}\ndelete table ${EARLIER_TABLE}\n`;
      const rules = steps.find((step) => step.kind === 'nft');
      if (rules) rules.script += script;
      else steps.push({ kind: 'nft', script, undo: '' });
    },
    finish: () => {
      for (const directory of [CONTAINERS, CNI]) rmSync(directory, { recursive: true, force: true });
    },
  };
}

function toRecord(earlier: AttachmentRecord): void {
  const id = attachmentId(earlier.owner);
  if (readRecord(id) !== null) return; // it was connected anew since
  const record = withNames(earlier);
  writeRecord(record);
  const { interfaces, names, policy } = record;
  for (const domain of domainsOf(interfaces))
    for (const name of [...names.own, ...names.linked.map((one) => one.name)]) {
      mend('claims', `${domain}/${name}`);
      take('claims', `${domain}/${name}`, id);
    }
  for (const { network, mac } of interfaces) if (network !== null && mac !== '') take('macs', `${network}/${mac}`, id);
  for (const address of policy?.masquerade ?? []) take('masquerade', bare(address), id, { always: true });
  for (const port of policy?.publish ?? []) holdPort(id, port);
}

/** Its names, by what dnsmasq reads of it. */
function withNames(record: AttachmentRecord): AttachmentRecord {
  const { owner, interfaces, policy } = record;
  const parent = owner.kind === 'lxc' ? ownNames(owner.name, [])[0] : undefined;
  const linked = linkedNames(parent, policy?.links ?? []);
  const answering = domainsOf(interfaces).flatMap((domain) =>
    (readText(namesFile(domain, owner)) ?? '')
      .split(/\s+/)
      .flatMap((word) => (word.endsWith(`.${domain}`) ? [word.slice(0, -domain.length - 1)] : [])),
  );
  const own = [...new Set(answering)].filter((name) => !linked.some((one) => one.name === name));
  return { ...record, names: { own, linked } };
}
