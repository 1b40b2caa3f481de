/**
 * Finds and reads the configuration: the slow path, used by commands and by hooks whose cache is out of date.
 * Only data formats, only /etc/nethooks or the file that --config names: cosmiconfig's JavaScript loaders are shut off, and
 * main.ts has left the working directory before this runs, because cosmiconfig looks there for a configuration of its own.
 */
import { extname } from 'node:path';
import { cosmiconfigSync, defaultLoadersSync } from 'cosmiconfig';
import { NethooksError } from '../errors.ts';
import type { Config } from '../model/config.ts';
import { CONFIG_DIR, CONFIG_FILE } from '../model/paths.ts';
import { attemptDnsmasq } from '../system/dnsmasq-attempt.ts';
import type { Fault } from './check.ts';
import { unusableLines } from './dnsmasq-lines.ts';
import { lineOf, type Problem, readIni } from './ini.ts';
import { resolve } from './resolve.ts';
import { distrust } from './trust.ts';

/** Every problem of a configuration file, one per line, each with file, line, key, value and what is allowed. */
export class ConfigError extends NethooksError {}

/**
 * Reads, checks and resolves the configuration.
 * @param file the path given with --config; without it /etc/nethooks/nethooks.{ini,json,yaml}, the first that is there
 * @throws ConfigError when there is none or something in it is wrong
 */
export function loadConfig(file?: string): Config {
  const found = read(file);
  if (!found)
    throw new ConfigError(`no configuration: ${CONFIG_FILE} is not there; \`nethooks config init\` writes one`);
  const { path, text, data, problems } = found;
  // Of another file that somebody names, that one decides.
  const wrong = file === undefined ? distrust(path) : null;
  if (wrong !== null) throw new ConfigError(wrong);
  if (problems.length > 0) throw new ConfigError(problems.map((problem) => describeProblem(path, problem)).join('\n'));
  const { faults, ...config } = resolve(data);
  if (faults.length === 0) faults.push(...unusableLines(config.networks, attemptDnsmasq));
  if (faults.length > 0) throw new ConfigError(faults.map((fault) => describeFault(path, text, fault)).join('\n'));
  return { source: path, ...config };
}

interface Source {
  path: string;
  text: string;
  data: unknown;
  problems: Problem[];
}

function read(file?: string): Source | undefined {
  let text = '';
  let problems: Problem[] = [];
  const ini = (_path: string, content: string): unknown => {
    text = content;
    const result = readIni(content);
    problems = result.problems;
    return result.data;
  };
  const remembering = (loader: (path: string, content: string) => unknown) => (path: string, content: string) => {
    text = content;
    return loader(path, content);
  };
  const refused = (path: string): never => {
    throw new ConfigError(`${path}: not a configuration file; allowed: .ini, .json, .yaml, .yml`);
  };
  const yaml = remembering(defaultLoadersSync['.yaml']);
  const explorer = cosmiconfigSync('nethooks', {
    searchPlaces: ['ini', 'json', 'yaml'].map((extension) => `nethooks.${extension}`),
    searchStrategy: 'none',
    loaders: {
      '.ini': ini,
      '.conf': ini,
      '.json': remembering(defaultLoadersSync['.json']),
      '.yaml': yaml,
      '.yml': yaml,
      ...Object.fromEntries(['.js', '.cjs', '.mjs', '.ts', 'noExt'].map((extension) => [extension, refused])),
    },
  });
  try {
    if (file !== undefined && !['.ini', '.conf', '.json', '.yaml', '.yml'].includes(extname(file))) refused(file);
    const result = file === undefined ? explorer.search(CONFIG_DIR) : explorer.load(file);
    return result ? { path: result.filepath, text, data: result.config ?? {}, problems } : undefined;
  } catch (cause) {
    if (cause instanceof ConfigError) throw cause;
    throw new ConfigError(`${file ?? CONFIG_DIR}: cannot be read: ${firstLine(cause)}`, 1, { cause });
  }
}

/** One line for people: where, what, why. */
export function describeProblem(path: string, { line, where, message }: Problem): string {
  return `${path}:${line}: \`${where}\`: ${message}`;
}

/** The same for a fault; the line is found in `text` if the file is INI. */
export function describeFault(path: string, text: string, { section, key, value, message }: Fault): string {
  const line = path.endsWith('.ini') || path.endsWith('.conf') ? lineOf(text, section, key, value) : 0;
  const place = line > 0 ? `${path}:${line}` : path;
  const shown = value === undefined ? '' : ` = ${typeof value === 'string' ? value : JSON.stringify(value)}`;
  return `${place}:${section ? ` [${section}]` : ''}${key ? ` ${key}` : ''}${shown}: ${message}`;
}

/** Node's own words are `CODE: WORDS, CALL 'PATH'`. */
const firstLine = (error: unknown): string =>
  ((error instanceof Error ? error.message : String(error)).split('\n')[0] ?? '').replace(
    /^E[A-Z]+: (.*), \w+(?: '.*')?$/,
    '$1',
  );
