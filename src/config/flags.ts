/** Docker-style flags, as they stand on a hook line: `--publish 8080:80 --link=db:database -P`. */
import { CONTAINER_KEYS, isNicKey, KEY_OF_FLAG } from '../model/container-keys.ts';

export interface FlagData {
  [key: string]: string | string[] | Record<string, Record<string, string>> | undefined;
  /** Keys of interfaces, by the N of lxc.net.N. */
  net: Record<string, Record<string, string>>;
}

/**
 * The same data that a container's file gives. `--nic N` says which interface the flags behind it are about.
 * @param refused is called for each word that is no flag, or has no value
 */
export function parseFlags(words: readonly string[], refused: (message: string) => void): FlagData {
  const data: FlagData = { net: {} };
  let nic = '0';
  for (let index = 0; index < words.length; index++) {
    const word = words[index] as string;
    const [, name = word, attached] = /^(--[^=]*)=(.*)$/s.exec(word) ?? /^(-[A-Za-z])(.+)$/s.exec(word) ?? [];
    const key = KEY_OF_FLAG.get(name);
    if (key === undefined && name !== '--nic') {
      refused(`${word}: unknown; allowed: ${[...KEY_OF_FLAG.keys(), '--nic'].join(', ')}`);
      continue;
    }
    const kind = key === undefined ? 'value' : CONTAINER_KEYS[key].kind;
    const value = attached ?? (kind === 'switch' ? 'true' : words[++index]);
    if (value === undefined || (attached === undefined && /^-/.test(value))) {
      refused(`${name}: its value is missing`);
      continue;
    }
    if (key === undefined) nic = value;
    else if (kind === 'list') data[key] = [...((data[key] as string[] | undefined) ?? []), value];
    else if (isNicKey(key)) data.net[nic] = { ...data.net[nic], [key]: value };
    else data[key] = value;
  }
  return data;
}
