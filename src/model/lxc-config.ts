/**
 * LXC's configuration files as LXC reads them (lxc.container.conf(5); the details from parse_line() and
 * set_config_includefiles() in lxc's src/lxc/confile.c, 2.0 to 7.0): text to settings, in their order. Everything that looks into such
 * a file uses this reader. What `lxc-start -s KEY=VALUE` overrides is in no file: src/system/lxc-command.ts.
 */

/** One line that says something: `lxc.net.0.link = br0`. An empty value takes back what earlier lines of that key said. */
export interface LxcSetting {
  key: string;
  /** Without the blanks and the pair of quotes around it. */
  value: string;
}

/**
 * Gives the text of an included file; for a directory, that of its `*.conf` files one after the other; null when there is none. It is
 * asked for absolute paths only: others depend on where lxc-start was called.
 */
export type ReadInclude = (path: string) => string | null;

/** Limits of includes: deeper, or more, is a loop or an attack, and a hook must end. */
const MAX_DEPTH = 8;
const MAX_CHARACTERS = 1 << 20;
/** What an included text counts at least, so that many small ones reach the limit, too. */
const MIN_CHARACTERS = 1 << 12;

/**
 * A line that LXC takes for a setting: it begins with `lxc.`, so comments and anything else do not match. A carriage return ends a
 * line as a newline does. No flag `m`, with which U+2028 would end one, too.
 */
const LINE = /(?:^|[\r\n])[ \t]*(lxc\.[^= \t\r\n]*)[ \t]*=[ \t]*([^\r\n]*)/g;

/** The settings of this text alone; its `lxc.include` lines are settings like any other. */
export function parseLxcConfig(text: string): LxcSetting[] {
  const settings: LxcSetting[] = [];
  for (const [, key = '', value = ''] of text.matchAll(LINE))
    settings.push({ key, value: unquoted(trimmedEnd(value)) });
  return settings;
}

/**
 * The settings with those of each included file behind its `lxc.include`, so that a later line wins over an included one and the
 * reverse. Includes that are missing, too deep or too long in all are left out.
 */
export function readLxcConfig(text: string, read: ReadInclude): LxcSetting[] {
  const settings: LxcSetting[] = [];
  let budget = MAX_CHARACTERS;
  const add = (current: string, depth: number): void => {
    budget -= Math.max(current.length, MIN_CHARACTERS);
    if (budget < 0) return;
    for (const setting of parseLxcConfig(current)) {
      settings.push(setting);
      if (setting.key !== 'lxc.include' || !setting.value.startsWith('/')) continue;
      const included = budget > 0 && depth < MAX_DEPTH ? read(setting.value) : null;
      if (included !== null) add(included, depth + 1);
    }
  };
  add(text, 0);
  return settings;
}

/** What a key has in the end, of those that later lines replace; null when nothing is set. */
export const lastValue = (settings: readonly LxcSetting[], key: string): string | null =>
  settings.findLast((setting) => setting.key === key)?.value || null;

/**
 * What a key has in the end, of those that later lines add to, such as hooks and variables. An empty value of the key, or of a key
 * above it (`lxc.hook` of `lxc.hook.clone`), clears the list.
 */
export function listedValues(settings: readonly LxcSetting[], key: string): string[] {
  const clears = (setting: LxcSetting): boolean =>
    setting.value === '' && (setting.key === key || key.startsWith(`${setting.key}.`));
  const from = settings.findLastIndex(clears) + 1;
  return settings.slice(from).flatMap((setting) => (setting.key === key ? [setting.value] : []));
}

/** Without the blanks at its end. A pattern takes quadratic time on a long run of blanks inside. */
function trimmedEnd(text: string): string {
  let end = text.length;
  while (end > 0 && (text[end - 1] === ' ' || text[end - 1] === '\t')) end--;
  return text.slice(0, end);
}

/** One pair of quotes around the whole value is taken off; any other quote is part of it. */
function unquoted(value: string): string {
  const quote = value[0];
  const isQuoted = (quote === '"' || quote === "'") && value.length > 1 && value.endsWith(quote);
  return isQuoted ? value.slice(1, -1) : value;
}
