/**
 * Reads a container's options: /etc/nethooks/containers/NAME.ini and the words on its hook line. The slow path, with valibot and
 * ini: hooks keep the result (container-cache.ts).
 */
import * as v from 'valibot';
import { NethooksError } from '../errors.ts';
import {
  CONTAINER_KEYS,
  type ContainerKey,
  type ContainerKeySpec,
  isNicKey,
  type TopKey,
} from '../model/container-keys.ts';
import { type ContainerOptions, NIC_DEFAULTS, type NicOptions, NO_OPTIONS } from '../model/container-options.ts';
import { containerFile } from '../model/paths.ts';
import { type CamelCase, camelCase } from '../model/spelling.ts';
import { wantedPorts } from '../plan/attachment/publish.ts';
import { readText } from '../system/files.ts';
import { type Fault, isRecord } from './check.ts';
import { containerSchemas, nicSchemas } from './container-schema.ts';
import { parseFlags } from './flags.ts';
import { readIni } from './ini.ts';
import { ConfigError, describeFault, describeProblem } from './load.ts';
import { distrust } from './trust.ts';

export interface ContainerSource {
  /** The text of the container's file; null when there is none. */
  text: string | null;
  /** The words on the hook line, or what `configure` was given. */
  words: readonly string[];
}

/** One problem in words for people; `refuses`: the container must not start with it. */
export interface Problem {
  message: string;
  refuses: boolean;
}

/** Options of the container as a whole, each made from the key of its name. What lacks a key on either side does not compile. */
type Values = { [K in TopKey as CamelCase<K>]: ContainerOptions[CamelCase<K>] };

/** The options of a container as they are on this host. */
export function loadContainer(
  name: string,
  words: readonly string[],
): { options: ContainerOptions; warnings: string[] } {
  const { options, problems } = resolveContainer(name, { text: readText(containerFile(name)), words });
  const wrong = distrust(containerFile(name));
  if (wrong !== null) problems.unshift({ message: wrong, refuses: true });
  if (problems.some(({ refuses }) => refuses)) throw new ConfigError(problems.map(({ message }) => message).join('\n'));
  return { options, warnings: problems.map(({ message }) => message) };
}

/**
 * Checks both sources, a flag going before the file's line of that key. Never throws: what is wrong comes back, and is left out
 * of the options.
 */
export function resolveContainer(name: string, { text, words }: ContainerSource) {
  const problems: Problem[] = [];
  const file = readFile(name, text ?? '', problems);
  const flags = readFlags(words, problems);
  const { nics: _, ...nothing } = NO_OPTIONS;
  const values: Values = { ...nothing, ...file.values, ...flags.values };
  const nics: Record<string, NicOptions> = {};
  for (const index of new Set([...Object.keys(file.nics), ...Object.keys(flags.nics)]))
    nics[index] = { ...NIC_DEFAULTS, ...file.nics[index], ...flags.nics[index] };
  for (const { container } of values.link) {
    const message = `link ${container}: the container itself; allowed: another container`;
    if (container === name) problems.push({ message: `${containerFile(name)}: ${message}`, refuses: true });
  }
  const options: ContainerOptions = { ...values, nics };
  try {
    wantedPorts({ ...options, publishAddress: '0.0.0.0' });
  } catch (error) {
    if (!(error instanceof NethooksError)) throw error;
    problems.push({ message: `${containerFile(name)}: ${error.message}`, refuses: true });
  }
  return { options, problems };
}

interface Section {
  values: Partial<Values>;
  /** By the N of lxc.net.N; what stands at the top is for the first. */
  nics: Record<string, Partial<NicOptions>>;
}

function readFile(name: string, text: string, problems: Problem[]): Section {
  const path = containerFile(name);
  const { data, problems: malformed } = readIni(text, { top: true });
  problems.push(...malformed.map((problem) => ({ message: describeProblem(path, problem), refuses: true })));
  const faults: Fault[] = [];
  const section = readSections(isRecord(data) ? data : {}, faults);
  problems.push(...faults.map((fault) => asProblem(fault, describeFault(path, text, fault))));
  return section;
}

/** Splits the file's data into keys for the container and keys for its interfaces. */
function readSections(data: Record<string, unknown>, faults: Fault[]): Section {
  const { net = {}, ...top } = data;
  const { values, nic } = readKeys('', top, true, faults);
  const nics: Section['nics'] = Object.keys(nic).length > 0 ? { 0: nic } : {};
  if (!isRecord(net)) faults.push({ section: '', key: 'net', value: net, message: 'not a section; allowed: [net.1]' });
  for (const [index, keys] of Object.entries(isRecord(net) ? net : {})) {
    const section = `net.${index}`;
    if (!/^(0|[1-9]\d{0,3})$/.test(index) || !isRecord(keys))
      faults.push({ section, message: 'not a section of an interface; allowed: [net.N] for lxc.net.N' });
    else nics[index] = { ...nics[index], ...readKeys(section, keys, false, faults).nic };
  }
  return { values, nics };
}

/** Each key on its own, so that one fault does not take the other keys with it. */
function readKeys(section: string, data: Record<string, unknown>, top: boolean, faults: Fault[]) {
  const values: Record<string, unknown> = {};
  const nic: Record<string, unknown> = {};
  const schemas: Record<string, v.GenericSchema> = { ...nicSchemas, ...(top ? containerSchemas : {}) };
  for (const [key, value] of Object.entries(data)) {
    const schema = Object.hasOwn(schemas, key) ? schemas[key] : undefined;
    if (!schema || isRecord(value)) {
      const allowed = Object.keys(schemas).join(', ');
      faults.push({ section: section || (isRecord(value) ? key : ''), key, message: `unknown; allowed: ${allowed}` });
      continue;
    }
    const result = v.safeParse(schema, value);
    if (result.success) (isNicKey(key) ? nic : values)[camelCase(key)] = result.output;
    else faults.push({ section, key, value, message: result.issues[0].message });
  }
  return { values: values as Partial<Values>, nic: nic as Partial<NicOptions> };
}

/** @throws NethooksError naming every flag that is wrong */
export function readFlagFaults(words: readonly string[]): void {
  const problems: Problem[] = [];
  readFlags(words, problems, '');
  if (problems.length > 0) throw new NethooksError(problems.map(({ message }) => message).join('\n'), 2);
}

function readFlags(words: readonly string[], problems: Problem[], where = 'hook line: '): Section {
  const refused = (message: string): void => {
    problems.push({ message: `${where}${message}`, refuses: true });
  };
  const data = parseFlags(words, refused);
  const faults: Fault[] = [];
  const section = readSections(data, faults);
  for (const fault of faults) {
    const value = Array.isArray(fault.value) ? fault.value.join(' ') : fault.value;
    const flag =
      fault.key === undefined ? `--nic ${fault.section.replace('net.', '')}` : `--${fault.key} ${value ?? ''}`;
    problems.push(asProblem(fault, `${where}${flag}: ${fault.message}`));
  }
  return section;
}

const asProblem = ({ key }: Fault, message: string): Problem => ({
  message,
  refuses: key === undefined || !isBestEffort(key),
});

const isBestEffort = (key: string): boolean =>
  Object.hasOwn(CONTAINER_KEYS, key) && (CONTAINER_KEYS[key as ContainerKey] as ContainerKeySpec).bestEffort === true;
