/** Calling another plugin, as a runtime would: for addresses that are not ours to manage. */

import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import { isSafeName } from '../../model/names.ts';
import type { Exec } from '../../system/exec.ts';
import { CniError, CODE } from './error.ts';
import type { Command } from './request.ts';
import { isRecord, parseResult, type Result } from './result.ts';
import { VERSIONS } from './versions.ts';

export interface Delegation {
  /** The plugin's file name. */
  type: string;
  /** Directories to look in. */
  path: readonly string[];
  containerId: string;
  netns: string;
  ifname: string;
  /** CNI_ARGS */
  args: string;
  /** The configuration, as it came. */
  text: string;
}

/**
 * Runs a plugin to its end.
 * @returns its result; null for commands that have none
 * @throws CniError when it is not there, and with its own words when it fails
 */
export function delegate(exec: Exec, command: Command, delegation: Delegation): Result | null {
  const program = find(delegation);
  const call = (verb: Command, input: string) => exec(program, [], { input, env: environment(verb, delegation) });
  let result = call(command, delegation.text);
  if (result.code !== 0 && parse(result.stdout)?.code === CODE.version) {
    // Debian's plugins are older than the newest spec: the newest that both know will do.
    const known = parse(call('VERSION', delegation.text).stdout)?.supportedVersions;
    const common = VERSIONS.filter((version) => Array.isArray(known) && known.includes(version)).at(-1);
    const conf = JSON.parse(delegation.text);
    if (common) result = call(command, JSON.stringify({ ...conf, cniVersion: common }));
  }
  if (result.code !== 0) {
    const error = parse(result.stdout);
    const words = String(error?.msg ?? (result.stderr.trim() || result.stdout.trim() || `exit status ${result.code}`));
    throw new CniError(
      error?.code === CODE.tryAgain ? CODE.tryAgain : CODE.failed,
      `plugin ${delegation.type}: ${/dialing DHCP daemon/.test(words) ? NO_DAEMON : words.slice(0, 1000)}`,
      String(error?.details ?? ''),
    );
  }
  if (command !== 'ADD') return null;
  const answer = parse(result.stdout);
  if (answer) return parseResult(answer);
  throw new CniError(CODE.decode, `plugin ${delegation.type} answered no JSON`, result.stdout.slice(0, 200));
}

/** What the stock dhcp plugin means by the socket that it cannot open. */
const NO_DAEMON = 'its daemon does not run; `systemctl start cni-dhcp.socket` starts it';

/** Whether there is such a plugin. */
export const isInstalled = ({ type, path }: Delegation): boolean => isSafeName(type) && fileOf(type, path) !== null;

/** @throws CniError (config) when there is none */
function find({ type, path }: Delegation): string {
  if (!isSafeName(type)) throw new CniError(CODE.config, `not a plugin's name: ${JSON.stringify(type)}`);
  const file = fileOf(type, path);
  if (file !== null) return file;
  throw new CniError(CODE.config, `failed to find plugin "${type}" in path [${path.join(' ')}]`);
}

function fileOf(type: string, path: readonly string[]): string | null {
  for (const directory of path) {
    try {
      accessSync(join(directory, type), constants.X_OK);
      return join(directory, type);
    } catch {
      // The next one.
    }
  }
  return null;
}

function environment(command: Command, { containerId, netns, ifname, args, path }: Delegation): Record<string, string> {
  return {
    CNI_COMMAND: command,
    CNI_CONTAINERID: containerId,
    CNI_NETNS: netns,
    CNI_IFNAME: ifname,
    CNI_ARGS: args,
    CNI_PATH: path.join(':'),
  };
}

function parse(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return isRecord(value) ? value : null;
  } catch {
    return null;
  }
}
