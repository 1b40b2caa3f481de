/** What was applied to the host, as JSON under /run: gone at a reboot, as the kernel's state is. */

import { CLOSED, type Config, type NetworkConfig } from '../model/config.ts';
import { EMPTY_RECORD, type HostRecord } from '../model/host-record.ts';
import { CONFIG_CACHE, HOST_RECORD } from '../model/paths.ts';
import { note } from '../system/event.ts';
import { ensureText, readText, removeFile } from '../system/files.ts';
import { readJson, setAside } from '../system/json-file.ts';
import { cacheShape, hostShape } from './shapes.ts';

/** The record of what is applied; an empty one when nothing is. One that cannot be read is rebuilt. */
export function readHostRecord(): HostRecord {
  const found = readJson<HostRecord>(HOST_RECORD, hostShape);
  if (found.state === 'found') return { ...EMPTY_RECORD, ...found.value, networks: found.value.networks.map(complete) };
  if (found.state === 'missing') return EMPTY_RECORD;
  setAside(HOST_RECORD);
  note(`${HOST_RECORD} could not be read: it is ${HOST_RECORD}.broken now, and was made anew from what is known`);
  const record = rebuilt();
  writeHostRecord(record);
  return record;
}

/** The networks of the last configuration that was read whose bridges are there. What was found before them is not known any more. */
function rebuilt(): HostRecord {
  const config = readJson<{ config: Config }>(CONFIG_CACHE, cacheShape);
  if (config.state !== 'found') return EMPTY_RECORD;
  const { host, networks } = config.value.config;
  const up = networks.filter(({ name }) => readText(`/sys/class/net/${name}/bridge/bridge_id`) !== null);
  return { ...EMPTY_RECORD, host, networks: up.map(complete) };
}

/** What a record of an earlier version may lack. */
const ADDED: Partial<NetworkConfig> = { ...CLOSED, dnsmasqLines: [] };
const complete = (network: NetworkConfig): NetworkConfig => ({ ...ADDED, ...network });

/** Remembers; a record without networks is no file. */
export function writeHostRecord(record: HostRecord): void {
  if (record.networks.length === 0) removeFile(HOST_RECORD);
  else ensureText(HOST_RECORD, JSON.stringify(record));
}
