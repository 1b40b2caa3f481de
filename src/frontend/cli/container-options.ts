/** A container's keys among the options of `nethooks configure`. */
import { NethooksError } from '../../errors.ts';
import { CONTAINER_KEYS, type ContainerKey } from '../../model/container-keys.ts';
import { type CamelCase, camelCase } from '../../model/spelling.ts';
import type { OptionsOf } from './commands.ts';
import { EXIT } from './exit.ts';

type Given = Pick<OptionsOf<'configure'>, 'nic' | 'unset' | CamelCase<ContainerKey>>;

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

/**
 * The keys that are to be taken out.
 * @throws NethooksError for one that is none
 */
export function withoutKeys(options: Given): ContainerKey[] {
  const { unset = [] } = options;
  for (const key of unset)
    if (!Object.hasOwn(CONTAINER_KEYS, key))
      throw new NethooksError(`--unset ${key}: unknown; allowed: ${KEYS.join(', ')}`, EXIT.usage);
  return KEYS.filter((key) => options[camelCase(key)] === false || unset.includes(key));
}
