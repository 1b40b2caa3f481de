/** What a runtime asks: the environment and standard input of a call (SPEC.md, "Parameters"). Pure. */
import { isInterfaceName, isSafeName } from '../../model/names.ts';
import { CniError, CODE } from './error.ts';
import { canonicalConf } from './keys.ts';
import { isRecord } from './result.ts';
import { atLeast, isVersion, OLDEST, VERSIONS, type Version } from './versions.ts';

export const COMMANDS = ['ADD', 'DEL', 'CHECK', 'GC', 'STATUS', 'VERSION'] as const;
export type Command = (typeof COMMANDS)[number];

export interface Request {
  command: Command;
  /** Empty where the command has none, and for a DEL of old that came without. */
  containerId: string;
  /** Path of the network namespace; may be empty for DEL. */
  netns: string;
  ifname: string;
  /** Directories of plugins. */
  path: string[];
  /** CNI_ARGS as it came, for plugins that are called in turn. */
  argsText: string;
  args: Record<string, string>;
  version: Version;
  /** The network's name. */
  name: string;
  /** The configuration, its keys as the documentation writes them; and its text as it came. */
  conf: Record<string, unknown>;
  text: string;
}

/** What each command cannot do without. A DEL may come without CNI_PATH (rkt) and without a namespace, which may have gone. */
const NEEDED: Record<Command, readonly string[]> = {
  ADD: ['CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME', 'CNI_PATH'],
  CHECK: ['CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME', 'CNI_PATH'],
  DEL: ['CNI_CONTAINERID', 'CNI_IFNAME'],
  GC: [],
  STATUS: [],
  VERSION: [],
};

/** Since which version a command exists. */
const SINCE: Partial<Record<Command, Version>> = { CHECK: '0.4.0', GC: '1.1.0', STATUS: '1.1.0' };

/** Keys of CNI_ARGS that may come without IgnoreUnknown: those that plugins and runtimes are known to use. */
const KNOWN_ARGS = /^(IgnoreUnknown|IP|MAC|GATEWAY|K8S_POD_[A-Z_]+)$/;

/** @throws CniError (environment) */
export function parseCommand(env: NodeJS.ProcessEnv): Command {
  const command = env.CNI_COMMAND;
  if (!command) throw new CniError(CODE.environment, 'required env variables [CNI_COMMAND] missing');
  if ((COMMANDS as readonly string[]).includes(command)) return command as Command;
  throw new CniError(CODE.environment, `unknown CNI_COMMAND: ${command}`, `allowed: ${COMMANDS.join(', ')}`);
}

/**
 * @param text all of standard input
 * @throws CniError for the first thing that is wrong, in the order in which the reference implementation looks (pkg/skel)
 */
export function parseRequest(command: Command, env: NodeJS.ProcessEnv, text: string): Request {
  const missing = NEEDED[command].filter((name) => !env[name]);
  const anonymous = isAnonymous(command, env);
  if (missing.length > (anonymous ? 1 : 0)) throw variablesMissing(missing);
  const conf = parseJson(text);
  const version = versionOf(conf);
  if (anonymous && atLeast(version, '0.3.0')) throw variablesMissing(missing);
  const since = SINCE[command];
  if (since && !atLeast(version, since))
    throw new CniError(
      CODE.version,
      `config version ${version} does not allow ${command}`,
      `${command} came with ${since}`,
    );
  if (typeof conf.name !== 'string' || conf.name === '') throw new CniError(CODE.config, 'missing network name');
  if (!isSafeName(conf.name))
    throw new CniError(CODE.config, `invalid characters in network name: ${conf.name.slice(0, 100)}`, NAME_RULE);
  const [containerId = '', ifname = '', netns = ''] = [env.CNI_CONTAINERID, env.CNI_IFNAME, env.CNI_NETNS];
  if (needs(command, 'CNI_CONTAINERID') && !anonymous && !isSafeName(containerId))
    throw new CniError(CODE.environment, `invalid characters in containerID: ${containerId.slice(0, 100)}`, NAME_RULE);
  if (needs(command, 'CNI_IFNAME')) checkIfname(ifname);
  if (netns !== '' && !netns.startsWith('/'))
    throw new CniError(CODE.environment, `CNI_NETNS is no absolute path: ${netns}`);
  const argsText = env.CNI_ARGS ?? '';
  const path = (env.CNI_PATH ?? '').split(':').filter((directory) => directory.startsWith('/'));
  return {
    command,
    containerId,
    netns,
    ifname,
    path,
    argsText,
    // A DEL needs none of them, and comes with those that its ADD was refused for.
    args: command === 'DEL' ? {} : parseArgs(argsText),
    version,
    name: conf.name,
    conf,
    text,
  };
}

/** To the first versions of the spec a container's id was only recommended: a DEL went by the namespace. */
const isAnonymous = (command: Command, env: NodeJS.ProcessEnv): boolean =>
  command === 'DEL' && !env.CNI_CONTAINERID && Boolean(env.CNI_NETNS);

const variablesMissing = (names: readonly string[]): CniError =>
  new CniError(CODE.environment, `required env variables [${names.join(',')}] missing`);

/** The version that errors are to name, when it is not known yet whether the rest makes sense. */
export function guessVersion(text: string): string {
  const version = /"cniVersion"\s*:\s*"([^"]{1,20})"/i.exec(text)?.[1];
  return isVersion(version) ? version : OLDEST;
}

/**
 * `K=V;K=V` (containernetworking/cni, pkg/types, LoadArgs).
 * @throws CniError (environment) for a malformed pair, and for a key nobody knows unless IgnoreUnknown says so
 */
export function parseArgs(text: string): Record<string, string> {
  const pairs = text === '' ? [] : text.split(';').filter((pair) => pair !== '');
  const entries = pairs.map((pair): [string, string] => {
    const [, key, value] = /^([^=]+)=(.*)$/s.exec(pair) ?? [];
    if (key === undefined || value === undefined)
      throw new CniError(CODE.environment, `CNI_ARGS: invalid pair "${pair}"`, 'allowed: KEY=VALUE;KEY=VALUE');
    return [key, value];
  });
  const args = Object.fromEntries(entries);
  if (/^(1|true)$/i.test(args.IgnoreUnknown ?? '')) return args;
  const unknown = Object.keys(args).filter((key) => !KNOWN_ARGS.test(key));
  if (unknown.length > 0)
    throw new CniError(
      CODE.environment,
      `CNI_ARGS: unknown args ${JSON.stringify(unknown)}`,
      'IgnoreUnknown=1 allows them',
    );
  return args;
}

/** An attachment that GC is to leave alone. */
export interface ValidAttachment {
  containerID: string;
  ifname: string;
}

/**
 * GC's `cni.dev/valid-attachments`. libcni sends an empty list as `null`: Go's encoding/json writes a nil slice so.
 * @throws CniError (config) when it is missing: an empty list takes everything back, so it has to be said
 */
export function validAttachments(conf: Record<string, unknown>): ValidAttachment[] {
  const value = conf['cni.dev/valid-attachments'];
  if (value === null) return [];
  if (Array.isArray(value) && value.every((one) => isRecord(one) && typeof one.containerID === 'string'))
    return value as ValidAttachment[];
  throw new CniError(CODE.config, 'cni.dev/valid-attachments: missing or no list of {containerID, ifname}');
}

const needs = (command: Command, name: string): boolean => NEEDED[command].includes(name);

const NAME_RULE = 'allowed: up to 200 letters, digits, _ . - and a letter or digit first';

/** @throws CniError (environment) */
function checkIfname(name: string): void {
  if (name === '.' || name === '..') throw new CniError(CODE.environment, `interface name is ${name}`);
  if (name.length > 15)
    throw new CniError(CODE.environment, `interface name is too long: ${name.slice(0, 100)}`, 'at most 15 characters');
  if (!isInterfaceName(name))
    throw new CniError(
      CODE.environment,
      `interface name contains / or : or whitespace characters: ${JSON.stringify(name)}`,
    );
}

function parseJson(text: string): Record<string, unknown> {
  let conf: unknown;
  try {
    conf = JSON.parse(text);
  } catch (error) {
    throw new CniError(CODE.decode, `error unmarshalling network config: ${(error as Error).message.slice(0, 200)}`);
  }
  if (isRecord(conf)) return canonicalConf(conf);
  throw new CniError(CODE.decode, 'error unmarshalling network config: not a JSON object');
}

function versionOf({ cniVersion }: Record<string, unknown>): Version {
  if (cniVersion === undefined || cniVersion === '') return OLDEST;
  if (isVersion(cniVersion)) return cniVersion;
  throw new CniError(
    CODE.version,
    'incompatible CNI versions',
    `config is ${JSON.stringify(cniVersion)}, plugin supports ${JSON.stringify(VERSIONS)}`,
  );
}
