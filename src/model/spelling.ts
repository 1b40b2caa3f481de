/** Names as files and flags have them, `dns-search`, and as the program has them, `dnsSearch`. */

export type CamelCase<Name extends string> = Name extends `${infer Head}-${infer Tail}`
  ? `${Head}${Capitalize<CamelCase<Tail>>}`
  : Name;

export const camelCase = <Name extends string>(name: Name): CamelCase<Name> =>
  name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase()) as CamelCase<Name>;

/** The items of a list on one line, `a, b c`. A comma inside of `published=80,target=80` separates none. */
export const splitList = (text: string): string[] => text.split(/,?\s+|,(?![a-z_]+=)/).filter((item) => item !== '');
