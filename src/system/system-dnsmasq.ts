/** This host's own dnsmasq, as Debian's package runs it: its process, and what its configuration says. */
import { readdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { SystemDnsmasqFact } from '../model/facts.ts';
import { SYSTEM_DNSMASQ } from '../model/paths.ts';
import { isMissing, readText } from './files.ts';

const PID_FILE = '/run/dnsmasq/dnsmasq.pid';
/** A file for sh(1), in which the package says more options. */
const DEFAULTS = '/etc/default/dnsmasq';
const MAIN_FILE = '/etc/dnsmasq.conf';
const DROP_INS = `${dirname(SYSTEM_DNSMASQ)},.dpkg-dist,.dpkg-old,.dpkg-new`;

export function systemDnsmasqFact(): SystemDnsmasqFact {
  const defaults = readText(DEFAULTS) ?? '';
  const dropIns = shellValue(defaults, 'CONFIG_DIR') ?? (readText(DEFAULTS) === null ? DROP_INS : null);
  const read = new Set<string>();
  const lines = [
    ...optionsIn(shellValue(defaults, 'DNSMASQ_OPTS') ?? ''),
    ...linesOf(MAIN_FILE, read),
    ...(dropIns === null ? [] : linesIn(dropIns, read)),
  ];
  const says = (options: string): boolean => lines.some((line) => new RegExp(`^(${options})(\\s*=|\\s*$)`).test(line));
  return {
    pid: systemDnsmasqPid(),
    hasDropIns: namesIn(dirname(SYSTEM_DNSMASQ)).some((name) => name !== basename(SYSTEM_DNSMASQ)),
    readsDropIns: read.has(dirname(SYSTEM_DNSMASQ)),
    setsBinding: says('bind-interfaces|bind-dynamic'),
    setsAccess: says('interface|except-interface|listen-address|auth-server'),
  };
}

/** Null when it does not run. A pid that meanwhile is somebody else's does not count. */
export function systemDnsmasqPid(): number | null {
  const pid = Number((readText(PID_FILE) ?? '').trim());
  return pid > 1 && readText(`/proc/${pid}/comm`)?.trim() === 'dnsmasq' ? pid : null;
}

/** The last value of a variable. */
const shellValue = (text: string, name: string): string | null =>
  [...text.matchAll(new RegExp(`^\\s*${name}=["']?([^"'\\n]*)`, 'gm'))].at(-1)?.[1] ?? null;

/** Its options on a command line, in the words of its configuration. */
const SHORT: Record<string, string> = {
  z: 'bind-interfaces',
  i: 'interface',
  I: 'except-interface',
  a: 'listen-address',
};
const optionsIn = (text: string): string[] =>
  text.split(/\s+/).map((word) => {
    const short = /^-([ziIa])/.exec(word)?.[1] ?? '';
    return SHORT[short] ?? word.replace(/^--/, '');
  });

/** The lines of a file, and of what it includes, without ours; `read` takes the files and directories that were read. */
function linesOf(path: string, read: Set<string>): string[] {
  if (read.has(path) || path === SYSTEM_DNSMASQ) return [];
  read.add(path);
  const lines = (textOf(path) ?? '').split('\n').map((line) => line.replace(/#.*/, '').trim());
  return lines.flatMap((line) => {
    const [, option, value = ''] = /^(conf-file|conf-dir)\s*=\s*(.*)$/.exec(line) ?? [];
    if (option === undefined) return line === '' ? [] : [line];
    return option === 'conf-file' ? linesOf(value, read) : linesIn(value, read);
  });
}

/** Those of a directory, `DIRECTORY[,SUFFIX…]`: files that end so are left out, or with `*SUFFIX` all others are (dnsmasq(8), --conf-dir). */
function linesIn(value: string, read: Set<string>): string[] {
  const [directory = '', ...suffixes] = value.split(',').map((word) => word.trim());
  read.add(directory.replace(/\/+$/, ''));
  const only = suffixes.filter((suffix) => suffix.startsWith('*')).map((suffix) => suffix.slice(1));
  const isRead = (name: string): boolean =>
    !/^[.#]|[~#]$/.test(name) &&
    (only.length === 0 || only.some((suffix) => name.endsWith(suffix))) &&
    !suffixes.some((suffix) => !suffix.startsWith('*') && suffix !== '' && name.endsWith(suffix));
  return namesIn(directory).flatMap((name) => (isRead(name) ? linesOf(join(directory, name), read) : []));
}

/** Null also for what is no file. */
function textOf(path: string): string | null {
  try {
    return readText(path);
  } catch {
    return null;
  }
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}
