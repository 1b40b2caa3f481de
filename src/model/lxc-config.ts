/**
 * LXC's configuration files as LXC reads them (lxc.container.conf(5); the details from parse_line() and
 * set_config_includefiles() in lxc's src/lxc/confile.c, 2.0 to 7.0): text to settings, in their order. Everything that looks into such
 * a file uses this reader. What `lxc-start -s KEY=VALUE` overrides is in no file, hence not seen here.
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
const LINE = /(?:^|[\r\n])[ \t]*(lxc\.[^=\r\n]*?)[ \t]*=([^\r\n]*)/g;

/** The settings of this text alone; its `lxc.include` lines are settings like any other. */
export function parseLxcConfig(text: string): LxcSetting[] {
  return [...text.matchAll(LINE)].map(([, key = '', rest = '']) => ({
    key,
    value: unquoted(rest.replace(/^[ \t]+|[ \t]+$/g, '')),
  }));
}

/**
 * The settings with those of each included file behind its `lxc.include`, so that a later line wins over an included one and the
 * reverse. Includes that are missing, too deep or too long in all are left out.
 */
export function readLxcConfig(text: string, read: ReadInclude): LxcSetting[] {
  let budget = MAX_CHARACTERS;
  const settingsOf = (current: string, depth: number): LxcSetting[] => {
    budget -= Math.max(current.length, MIN_CHARACTERS);
    if (budget < 0) return [];
    return parseLxcConfig(current).flatMap((setting) => {
      const { key, value } = setting;
      const isInclude = key === 'lxc.include' && value.startsWith('/');
      const included = isInclude && budget > 0 && depth < MAX_DEPTH ? read(value) : null;
      return included === null ? [setting] : [setting, ...settingsOf(included, depth + 1)];
    });
  };
  return settingsOf(text, 0);
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

/** One pair of quotes around the whole value is taken off; any other quote is part of it. */
function unquoted(value: string): string {
  return value.length > 1 && /^['"]/.test(value) && value.endsWith(value.charAt(0)) ? value.slice(1, -1) : value;
}
