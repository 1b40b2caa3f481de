/** The parser that the table of commands describes. */
import { resolve } from 'node:path';
import { Command, Option } from 'commander';
import {
  type ArgumentsOf,
  COMMANDS,
  type CommandName,
  type CommandSpec,
  GLOBAL_OPTIONS,
  GROUPS,
  type OptionSpec,
  type OptionsOf,
} from './commands.ts';

/** What each command does; resolves to the exit status. */
export type Actions = {
  [Name in CommandName]: (args: ArgumentsOf<Name>, options: OptionsOf<Name>) => Promise<number>;
};

type Action = (args: unknown[], options: unknown) => Promise<number>;

/** A command with what it was given, parsed. */
export interface Called {
  name: string;
  spec: CommandSpec;
  args: unknown[];
  options: { verbose?: boolean; dryRun?: boolean };
  /** Does it; resolves to the exit status. */
  act: () => Promise<number>;
}

/**
 * @param directory what paths in the arguments are relative to
 * @param run is called with the command that was found
 */
export function parserFor(actions: Actions, directory: string, run: (called: Called) => Promise<void>): Command {
  // Before the commands, which inherit how errors are reported.
  const program = new Command('nethooks')
    .description('Containers on this host get a working network by themselves, from the hooks that already fire.')
    .version(NETHOOKS_VERSION)
    .exitOverride()
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error:/, 'nethooks:')) });
  addOptions(program, GLOBAL_OPTIONS, directory);
  const groups = new Map<string, Command>();
  const groupOf = (name: string): Command => {
    const group = groups.get(name) ?? program.command(name).description(GROUPS[name] ?? '');
    groups.set(name, group);
    return group;
  };
  for (const [name, spec] of Object.entries<CommandSpec>(COMMANDS)) {
    const [first = '', second] = name.split(' ');
    const command = second === undefined ? program.command(first) : groupOf(first).command(second);
    command.description(spec.help);
    for (const [argument, help] of spec.arguments ?? []) command.argument(argument, help);
    addOptions(command, spec.options ?? {}, directory);
    // The table's types say what commander makes of its rows: here they meet.
    const action = actions[name as CommandName] as unknown as Action;
    command.action(async () => {
      const { processedArgs: args } = command;
      const options = command.optsWithGlobals<Called['options']>();
      await run({ name, spec, args, options, act: () => action(args, options) });
    });
  }
  return program;
}

/**
 * The words with the value of a switch put where the parser looks for it: it would take the word behind `-P` for its value. Only
 * `--publish-all=false` is one, as on a hook line.
 */
export function withSwitchValues(words: readonly string[]): string[] {
  const switches = new Map<string, string>();
  for (const { options = {} } of Object.values<CommandSpec>(COMMANDS))
    for (const [name, { value, spellings = [] }] of Object.entries(options))
      if (value?.startsWith('[')) for (const flag of [`--${name}`, ...spellings]) switches.set(flag, `--${name}=true`);
  return words.map((word) => switches.get(word) ?? word);
}

function addOptions(command: Command, options: Readonly<Record<string, OptionSpec>>, directory: string): void {
  const all = Object.entries(options).flatMap(([name, spec]) => parserOptions(name, spec, directory));
  // Where -h means something else there is only --help.
  if (all.some(({ short }) => short === '-h')) command.helpOption('--help', 'display help for command');
  for (const option of all) command.addOption(option);
}

function parserOptions(name: string, spec: OptionSpec, directory: string): Option[] {
  const { value = '', help, spellings = [], negatable } = spec;
  const short = spellings.find((spelling) => !spelling.startsWith('--'));
  const others = spellings.filter((spelling) => spelling !== short);
  const main = new Option(
    `${short === undefined ? '' : `${short}, `}--${name} ${value}`.trimEnd(),
    alsoKnown(help, others),
  );
  const synonyms = others.map((other) => new Synonym(`${other} ${value}`.trimEnd(), main).hideHelp());
  for (const option of [main, ...synonyms]) {
    if (spec.choices) option.choices(spec.choices);
    if (spec.path) option.argParser((text: string) => resolve(directory, text));
    if (spec.list)
      option.argParser((text: string, before: unknown) => [...(Array.isArray(before) ? before : []), text]);
  }
  if (spec.default !== undefined) main.default(spec.default);
  if (spec.hidden) main.hideHelp();
  return [main, ...synonyms, ...(negatable ? [new Option(`--no-${name}`, `take ${name} out`)] : [])];
}

const alsoKnown = (help: string, spellings: readonly string[]): string =>
  spellings.length === 0 ? help : `${help}; also ${spellings.join(', ')}`;

/** Another name of an option: what it is given counts as given to that. */
class Synonym extends Option {
  readonly #option: Option;

  constructor(flags: string, option: Option) {
    super(flags);
    this.#option = option;
  }

  override attributeName(): string {
    return this.#option.attributeName();
  }
}
