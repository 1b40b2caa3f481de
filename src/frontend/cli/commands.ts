/**
 * The command line as data: every command with its arguments and options. The parser and its help (parser.ts), the types of what
 * commands get, and the check of nethooks(8) are made from this table.
 */
import { CONTAINER_KEYS, type ContainerKey, type ContainerKeySpec } from '../../model/container-keys.ts';
import type { CamelCase } from '../../model/spelling.ts';
import type { Worth } from '../../system/event.ts';

export interface OptionSpec {
  /** What its value is called in help: `<file>`; `[yes]` if it may be left out, and is given as `--option=yes`. A switch has none. */
  value?: string;
  help: string;
  /** Further names of it: a short one, and others that mean the same. */
  spellings?: readonly string[];
  /** May be given again; each adds a value. */
  list?: true;
  /** `--no-NAME` is an option, too, which makes it false. */
  negatable?: true;
  choices?: readonly string[];
  default?: string;
  /** A path, relative to the directory that nethooks was called in. */
  path?: true;
  /** For our own scripts: in no help and no manual. */
  hidden?: true;
}

export interface CommandSpec {
  help: string;
  /** `<required>`, `[optional]` or `[several...]`, each with its help. */
  arguments?: readonly (readonly [name: string, help: string])[];
  options?: Readonly<Record<string, OptionSpec>>;
  /** Whether it leaves a line in the log; default: where it had something to remark. With --dry-run it is as if it had none. */
  worth?: Worth | 'never';
}

type Given<Option> =
  | (Option extends { list: true }
      ? string[]
      : Option extends { choices: readonly (infer Choice)[] }
        ? Choice
        : Option extends { value: string }
          ? string
          : boolean)
  | (Option extends { negatable: true } ? false : never);

type WithDefault<Options> = { [K in keyof Options]: Options[K] extends { default: string } ? K : never }[keyof Options];

/** The values that options are parsed to, by their names in camel case; one that is not given is undefined, if it has no default. */
export type OptionValues<Options> = {
  [K in Exclude<keyof Options, WithDefault<Options>> & string as CamelCase<K>]?: Given<Options[K]> | undefined;
} & { [K in WithDefault<Options> & string as CamelCase<K>]: Given<Options[K]> };

/** `--KEY` for every key of a container (src/model/container-keys.ts), and `--no-KEY`. */
type ContainerOptionSpecs = {
  [K in ContainerKey]: OptionSpec & {
    value: string;
    negatable: true;
  } & ((typeof CONTAINER_KEYS)[K] extends { kind: 'list' } ? { list: true } : { list?: never });
};

const containerOptions = Object.fromEntries(
  Object.entries<ContainerKeySpec>(CONTAINER_KEYS).map(([key, { kind, value, help, spellings }]) => [
    key,
    {
      value: kind === 'switch' ? `[${value}]` : `<${value}>`,
      help,
      spellings,
      negatable: true,
      ...(kind === 'list' ? { list: true } : {}),
    },
  ]),
) as ContainerOptionSpecs;

const dryRun = { help: 'show what would change, change nothing' };
const steps = { help: 'print the steps as JSON' };
const json = { help: 'print it as JSON' };
const netD = {
  rkt: { help: "rkt's directory, /etc/rkt/net.d" },
  cni: { help: 'the directory of other CNI runtimes, /etc/cni/net.d' },
  dir: { value: '<directory>', path: true, help: 'another directory' },
} as const;

/** Options that stand before the command or behind it. */
export const GLOBAL_OPTIONS = {
  config: {
    value: '<file>',
    path: true,
    help: 'read this configuration instead of /etc/nethooks/nethooks.{ini,json,yaml}',
  },
  verbose: { help: 'say on standard error which programs are started, how long each took, and its exit status' },
} as const satisfies Record<string, OptionSpec>;

/** What commands of two words have in common. */
export const GROUPS: Readonly<Record<string, string>> = {
  config: 'look at the configuration, or write the first one',
  'net.d': 'the networks of rkt and other CNI runtimes, with our plugin',
};

/** In the order of the help. */
export const COMMANDS = {
  up: {
    help: 'bring every network up, or back to what the configuration says',
    worth: 'changes',
    options: {
      'dry-run': dryRun,
      check: { help: 'the same, with exit status 3 if anything would: what `nethooks plan` does' },
      json: steps,
      'last-good': { help: 'go on with the last good configuration where the file has a mistake, as at boot' },
    },
  },
  down: {
    help: 'take down every network, or those named',
    worth: 'changes',
    arguments: [['[network...]', '']],
    options: {
      'dry-run': dryRun,
      json: steps,
      files: { help: "also take back what `up` wrote into LXC's default.conf and /etc/sysctl.d" },
    },
  },
  plan: { help: 'show what `up` would change; exit status 3 if anything would', options: { json: steps } },
  status: {
    help: 'show networks, uplinks, containers, ports, links, leases, and what is missing; exit status 3 if anything is',
    options: {
      json,
      graph: { help: 'draw uplinks, networks, containers, ports and links as a tree' },
      format: {
        value: '<format>',
        choices: ['text', 'json', 'graph', 'mermaid', 'prometheus'],
        help: 'another form: mermaid for documents, prometheus for a collector of metrics',
      },
    },
  },
  doctor: {
    help: 'look for whatever may keep containers from their network; exit status 3 if anything does',
    worth: 'changes',
    options: {
      json,
      fix: { help: 'mend what can be mended without a risk for anything else' },
      probe: {
        help: 'let each container ask for its name and the outside, and somebody outside for its published ports',
      },
    },
  },
  pause: {
    worth: 'changes',
    help: 'bring nothing back by itself, for whoever works on the host by hand; ends with a reboot',
    options: { for: { value: '<time>', help: 'and after this time, such as 30m or 1h' } },
  },
  resume: { worth: 'changes', help: 'end that' },
  ps: {
    help: 'list containers and other attachments: state, addresses, ports, links',
    options: { json },
  },
  inspect: {
    help: 'show all that is known of one of them',
    arguments: [['<name>', 'as `ps` calls it, or its id']],
    options: { json },
  },
  port: {
    help: "show where the ports of all running containers are published, or one container's, or one port",
    arguments: [
      ['[name]', ''],
      ['[port]', 'PORT or PORT/PROTOCOL of the container'],
    ],
    options: { json },
  },
  gc: {
    help: 'take back what is left of containers that were killed, or removed by hand',
    worth: 'changes',
    options: {
      'host-local': { help: "also addresses that CNI's host-local left behind, on networks that are not ours" },
      'dry-run': { help: 'show what would be taken back, change nothing' },
      json,
    },
  },
  'config check': { help: 'say everything that is wrong with the configuration' },
  'config show': { help: 'print the configuration with every default filled in', options: { json } },
  'config init': {
    help: 'write /etc/nethooks/nethooks.ini with a free subnet, if there is no configuration',
    worth: 'changes',
    options: { print: { help: 'print it instead' } },
  },
  configure: {
    help: "set a container's options and its network, at once where it runs; or put every container on a network",
    worth: 'changes',
    arguments: [['[container]', '']],
    options: {
      all: { help: 'every container of this host' },
      net: { value: '<mode>', help: 'bridge, bridge:NETWORK, none, host, or container:NAME' },
      nic: {
        value: '<number>',
        default: '0',
        help: 'the interface that --network, --address and --mtu are for: the N of lxc.net.N',
      },
      'publish-rm': { value: '<spec>', list: true, help: 'take a port out that is published' },
      unset: { value: '<key>', list: true, help: 'take a key out, as --no-KEY does' },
      remove: { help: "take everything of ours out again, from LXC's configuration too" },
      'dry-run': dryRun,
      json: { help: 'print what changes as JSON' },
      ...containerOptions,
    },
  },
  demo: {
    help: 'show the main job on a throwaway host in network namespaces; changes nothing on this one',
    options: { keep: { help: 'open a shell on the throwaway host at the end' } },
  },
  attach: {
    help: 'connect a container, a process or a network namespace',
    worth: 'changes',
    arguments: [['<target>', 'pid:N, netns:PATH, lxc:NAME, docker:NAME, podman:NAME, rkt:UUID, or a name alone']],
    options: {
      network: { value: '<network>', help: 'a network of nethooks.ini; default: the first' },
      mode: { value: '<mode>', choices: ['ptp', 'macvlan', 'ipvlan'], help: 'another way than a network' },
      master: {
        value: '<interface>',
        help: 'what macvlan or ipvlan is on; default: the interface of the default route',
      },
      address: {
        value: '<address>',
        spellings: CONTAINER_KEYS.address.spellings,
        help: 'auto, an address, with --mode one with prefix length, with macvlan also dhcp',
      },
      gateway: { value: '<address>', help: 'with --mode: where the default route leads' },
      ifname: { value: '<name>', default: 'eth0', help: "the interface's name inside" },
      mac: { value: '<mac>', help: 'its MAC address' },
      mtu: { value: '<bytes>', help: 'its MTU' },
      name: { value: '<name>', help: 'what it is called in DNS; default: as the target' },
      aliases: {
        value: '<name>',
        list: true,
        spellings: CONTAINER_KEYS.aliases.spellings,
        help: CONTAINER_KEYS.aliases.help,
      },
      publish: {
        value: '<spec>',
        list: true,
        spellings: CONTAINER_KEYS.publish.spellings,
        help: "a port of the host, in Docker's words: 8080:80",
      },
      'host-shim': { help: 'with macvlan: let the host reach it' },
      peer: { value: '<target>', help: 'a wire to another one instead, without a bridge' },
      'peer-address': { value: '<address>', help: "the other end's; default: the other one of a /30 or /31" },
      'peer-ifname': { value: '<name>', help: "the other end's interface; default: as --ifname" },
      json: { help: 'print the result as CNI does; with --peer a list of two' },
    },
  },
  detach: {
    help: 'take back what attach made',
    worth: 'changes',
    arguments: [['<target>', 'as for attach']],
    options: { ifname: { value: '<name>', help: 'only this interface' } },
  },
  setup: {
    help: 'install this executable, its hooks, units and manual pages, and bring the networks up',
    worth: 'changes',
    options: {
      from: {
        value: '<directory>',
        path: true,
        help: 'a checkout or an unpacked release; default: the one this was built in',
      },
      prefix: { value: '<directory>', default: '/usr', help: 'where programs go' },
      destdir: { value: '<directory>', path: true, help: 'only put the files below this directory, as for a package' },
      rkt: { help: "also rkt's plugin directory and networks, if there is none yet" },
      cni: { help: 'the same for other CNI runtimes' },
      'dry-run': { help: 'show what would be done, do nothing' },
      json: steps,
      'after-changes': { help: 'something has been changed before', hidden: true },
    },
  },
  teardown: {
    help: 'take back what setup and up made; an edited configuration is kept',
    worth: 'never', // the log goes as well
    options: {
      purge: { help: 'remove the configuration all the same' },
      'dry-run': { help: 'show what would be done, do nothing' },
      json: steps,
    },
  },
  logs: {
    help: 'show what hooks, CNI calls and commands have done, or all that is known of one of them',
    arguments: [['[id]', 'of the one']],
    options: {
      follow: { help: 'go on as more is logged', spellings: ['-f'] },
      container: { value: '<name>', help: 'only what is about this container' },
      failed: { help: 'only what failed' },
      json: { help: 'print them as they are in the log, a line of JSON each' },
    },
  },
  replay: {
    help: 'do once more what a hook or a command did, with what it was called with then',
    arguments: [['<id>', 'as `logs` shows it']],
    options: { 'dry-run': dryRun },
    worth: 'changes',
  },
  'take-over': {
    worth: 'changes',
    help: "make the bridge of Debian's lxc-net a network of ours, with its containers, addresses and leases",
    arguments: [['[what]', 'lxc-net']],
    options: {
      move: { help: 'bring its containers to our first network instead, and end its bridge' },
      undo: { help: 'give it back as it was' },
      'dry-run': dryRun,
      json: steps,
    },
  },
  addresses: {
    help: 'show who holds which address, in every address store of this host',
    arguments: [['[network...]', '']],
    options: { json },
  },
  'net.d write': {
    help: 'write our networks there',
    worth: 'changes',
    options: {
      ...netD,
      master: { value: '<interface>', help: 'what macvlan is on; default: the interface of the default route' },
      force: { help: 'write over files that say something else' },
      'dry-run': { help: 'show what would be written, write nothing' },
    },
  },
  'net.d list': { help: 'show the networks there', options: { ...netD, json } },
  'net.d check': { help: 'say what is wrong with them; exit status 3 if anything is', options: { ...netD, json } },
} as const satisfies Record<string, CommandSpec>;

export type CommandName = keyof typeof COMMANDS;

/** The options that a command gets, parsed. */
export type OptionsOf<Name extends CommandName> = OptionValues<
  (typeof COMMANDS)[Name] extends { options: infer Options } ? Options : unknown
> &
  OptionValues<typeof GLOBAL_OPTIONS>;

type Argument<Name> = Name extends `${string}...]`
  ? string[]
  : Name extends `<${string}>`
    ? string
    : string | undefined;

/** The arguments that a command gets, in their order. */
export type ArgumentsOf<Name extends CommandName> = (typeof COMMANDS)[Name] extends { arguments: infer All }
  ? { [I in keyof All]: All[I] extends readonly [infer One, string] ? Argument<One> : never }
  : readonly [];
