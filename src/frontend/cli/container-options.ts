/** A container's keys among the options of `nethooks configure`. */
import { CONTAINER_KEYS, type ContainerKey } from '../../model/container-keys.ts';
import { type CamelCase, camelCase } from '../../model/spelling.ts';
import type { OptionsOf } from './commands.ts';

type Given = Pick<OptionsOf<'configure'>, 'nic' | CamelCase<ContainerKey>>;

const KEYS = Object.keys(CONTAINER_KEYS) as ContainerKey[];

/** What was given, as the words of a hook line. `--network` of the first interface is a mode, which is none of these. */
export function flagWords(options: Given): string[] {
  const further = options.nic !== '0';
  const words = KEYS.flatMap((key) => {
    const value = options[camelCase(key)];
    if (value === undefined || value === false || (key === 'network' && !further)) return [];
    return [value].flat().map((one) => `--${key}=${one}`);
  });
  return words.length > 0 && further ? ['--nic', options.nic, ...words] : words;
}

/** The keys that are to be taken out. */
export const withoutKeys = (options: Given): ContainerKey[] => KEYS.filter((key) => options[camelCase(key)] === false);
