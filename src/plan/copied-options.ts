/** A container's file when the container is copied or renamed: line by line, so that what people wrote stays as it is. Pure. */
import { dnsName } from '../model/names.ts';
import { parsePortSpec } from '../model/ports.ts';
import { splitList } from '../model/spelling.ts';
import { isEmptyIni, WRITTEN } from './ini-edit.ts';

/** `key = value` or `key[] = value`, with what stands before the value, and without a comment behind it. */
const ENTRY = /^(\s*([A-Za-z0-9_.-]+)(?:\[\])?\s*=\s*)([^;#]*)/;

/**
 * The file of a copy: without what only one container can have. It goes with the copy, whoever wrote the original.
 * @returns the text, null when nothing is left to say, and what was left out, as `key value`
 */
export function optionsOfCopy(text: string): { text: string | null; leftOut: string[] } {
  const leftOut: string[] = [];
  const lines = text.split('\n').flatMap((line) => {
    const [, start = '', key = '', value = ''] = ENTRY.exec(line) ?? [];
    const items = splitList(value.trim());
    const kept = items.filter((item) => !isUnique(key, item));
    if (line === WRITTEN || (items.length > 0 && kept.length === 0)) {
      leftOut.push(...items.map((item) => `${key} ${item}`));
      return [];
    }
    if (kept.length === items.length) return [line];
    leftOut.push(...items.filter((item) => !kept.includes(item)).map((item) => `${key} ${item}`));
    return [`${start}${kept.join(', ')}`];
  });
  const copy = lines.join('\n');
  return { text: isEmptyIni(copy) ? null : `${WRITTEN}\n${copy}`, leftOut };
}

function isUnique(key: string, item: string): boolean {
  if (key === 'address') return item !== 'auto' && item !== 'dhcp';
  return key === 'hostname' || key === 'aliases' || (key === 'publish' && hasFixedHostPort(item));
}

/** A range to choose from is none. */
function hasFixedHostPort(text: string): boolean {
  try {
    const { host, container } = parsePortSpec(text);
    return host !== null && (host.from === host.to || container.from !== container.to);
  } catch {
    return false; // what is wrong with it is said when it starts
  }
}

/** A file whose links to a container lead to its new name. The alias stays, which may be the old name itself. */
export function withLinksRenamed(text: string, from: string, to: string): string {
  const renamed = renaming(from, to);
  return text
    .split('\n')
    .map((line) => {
      const [found = '', start = '', key, value = ''] = ENTRY.exec(line) ?? [];
      if (key !== 'link') return line;
      const items = splitList(value.trim());
      const after = items.map(renamed);
      if (after.join() === items.join()) return line;
      const blanks = value.slice(value.trimEnd().length);
      return `${start}${after.join(', ')}${blanks}${line.slice(found.length)}`;
    })
    .join('\n');
}

/** An LXC configuration whose hook lines of ours link to its new name. */
export const withHooksRenamed = (text: string, from: string, to: string): string =>
  text.replace(/^[ \t]*lxc\.hook\.start-host[ \t]*=.*\/nethooks\/lxc\/start-host.*$/gm, (line) =>
    line.replace(/(--link(?:=|[ \t]+)['"]?)([^\s'"]+)/g, (_, flag, item) => flag + renaming(from, to)(item)),
  );

/** The same for the words of such a line. */
export const withFlagsRenamed = (words: readonly string[], from: string, to: string): string[] =>
  words.map((word, index) => {
    if (words[index - 1] === '--link') return renaming(from, to)(word);
    return word.startsWith('--link=') ? `--link=${renaming(from, to)(word.slice('--link='.length))}` : word;
  });

const renaming =
  (from: string, to: string) =>
  (item: string): string => {
    const [container, ...alias] = item.split(':');
    return container === from ? [to, ...(alias.length > 0 ? alias : [dnsName(from) ?? from])].join(':') : item;
  };
