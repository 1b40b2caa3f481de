import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { hostSchema, networkSchema } from '../../src/config/schema.ts';
import { COMMANDS, type CommandSpec, GLOBAL_OPTIONS, type OptionSpec } from '../../src/frontend/cli/commands.ts';
import { CONTAINER_KEYS, type ContainerKeySpec } from '../../src/model/container-keys.ts';

const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');

/** A line of a manual page as it is printed (man(7)): the arguments of a font macro without what is between them. */
function printed(line: string): string {
  const [, macro = '', rest = line] = /^\.([A-Z]+) ?(.*)$/.exec(line) ?? [];
  const words = (rest.match(/"[^"]*"|[^ "]+/g) ?? []).map((word) => word.replace(/^"|"$/g, ''));
  const text = macro === '' ? rest : words.join(macro.length === 2 ? '' : ' ');
  return text.replace(/\\f[BIPR]/g, '').replaceAll('\\-', '-');
}

/** The tagged paragraphs (`.TP`) of a section: their tags and their texts, the tag included. */
function paragraphs(page: string, section: string): { tag: string; text: string }[] {
  const body = page.split(/^\.SH /m).find((part) => part.startsWith(`${section}\n`)) ?? expect.fail(section);
  return body
    .split(/^\.TP\n/m)
    .slice(1)
    .map((paragraph) => {
      const lines = paragraph.split('\n').map(printed);
      return { tag: lines[0] ?? '', text: lines.join('\n') };
    });
}

const flagsIn = (text: string): Set<string> => new Set(text.match(/(?<![\w-])--?[A-Za-z][a-z-]*(?<!-)(?![\w-])/g));
const flagsOf = (options: Readonly<Record<string, OptionSpec>> = {}): string[] =>
  Object.entries(options).flatMap(([name, { spellings = [], hidden }]) => (hidden ? [] : [`--${name}`, ...spellings]));

describe('nethooks(8)', () => {
  const page = read('docs/nethooks.8');
  const described = paragraphs(page, 'COMMANDS').map(({ tag, text }) => ({
    commands: Object.keys(COMMANDS).filter((name) => new RegExp(`(^|, )${name}(?![\\w.-])`).test(tag)),
    tag,
    text,
  }));

  it('describes every command, once, and no other', () => {
    expect(described.flatMap(({ commands }) => commands).sort()).toEqual(Object.keys(COMMANDS).sort());
    for (const { tag, commands } of described) expect(commands, tag).not.toEqual([]);
  });

  it.each(described)('describes every option of $commands, and no other', ({ commands, text }) => {
    const specs = commands.map((name) => COMMANDS[name as keyof typeof COMMANDS] as CommandSpec);
    expect([...flagsIn(text)].sort()).toEqual([...new Set(specs.flatMap(({ options }) => flagsOf(options)))].sort());
  });

  it('describes the options of all commands', () => {
    const tags = paragraphs(page, 'OPTIONS').map(({ tag }) => tag.split(' ')[0]);
    expect(tags).toEqual([...flagsOf(GLOBAL_OPTIONS), '--version']);
  });
});

describe('nethooks.ini(5)', () => {
  const page = read('docs/nethooks.ini.5');
  /** `expose[], publish-all = false | true` is about two keys. */
  const keysOf = (section: string): string[] =>
    paragraphs(page, section).flatMap(({ tag }) =>
      (tag.split(/ = ?/)[0] ?? '').split(',').map((key) => key.trim().replace('[]', '')),
    );

  it.each([
    ['HOST', Object.keys(hostSchema.entries)],
    ['NETWORK', Object.keys(networkSchema.entries)],
    ['CONTAINERS', Object.keys(CONTAINER_KEYS)],
  ])('describes every key of %s, once, and no other', (section, keys) => {
    expect(keysOf(section).sort()).toEqual([...keys].sort());
  });

  it('says with a mistake in which keys a container starts all the same', () => {
    const [, list = ''] = /\nA mistake in\n(\.BR .*)\n/.exec(page) ?? [];
    const keys = Object.entries<ContainerKeySpec>(CONTAINER_KEYS).filter(([, { bestEffort }]) => bestEffort);
    expect(
      printed(list)
        .split(/, | or /)
        .sort(),
    ).toEqual(keys.map(([key]) => key).sort());
  });

  it('has the keys that the first configuration shows', () => {
    const known = { host: hostSchema.entries, network: networkSchema.entries };
    let section: keyof typeof known = 'host';
    for (const line of read('templates/nethooks.ini.mustache').split('\n')) {
      section = (/^\[(host|network)/.exec(line)?.[1] as typeof section | undefined) ?? section;
      const key = /^;?([a-z-]+)(?:\[\])? *=/.exec(line)?.[1];
      if (key !== undefined) expect(Object.keys(known[section]), line).toContain(key);
    }
  });
});
