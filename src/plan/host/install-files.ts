/**
 * The files of an installation, as data: what `nethooks setup` puts in place, on a host or below the root of a package.
 * Sources are relative to a checkout or an unpacked release.
 */
import type { FileCopy } from '../../model/file-copy.ts';
import { LOG_DIR } from '../../model/paths.ts';

export interface InstallFile {
  source: string;
  /** Where it goes. */
  path: string;
  mode: number;
  /** `prefix`: the directory of programs is put in for the usual one; `node`: its first line becomes the path of node. */
  edit?: 'prefix' | 'node';
  /** Left out where the source is missing: a release without manual pages is complete. */
  optional?: true;
}

export interface InstallOptions {
  /** The directory of programs, such as /usr: absolute, without a slash at the end; empty for the root directory. */
  prefix: string;
  /** Which build: the compiled executable, or the script for node. */
  runtime: 'bun' | 'node';
  /** Whether the CNI plugin goes where rkt, and where other CNI runtimes, look for plugins. */
  rkt: boolean;
  cni: boolean;
}

/** The directory of programs that hooks, units and manual pages name. */
const USUAL = '/usr/lib/nethooks';

/** Directories that are made even though nothing is put into them. */
export const INSTALL_DIRECTORIES = [LOG_DIR];

/** Units that are enabled. */
export const INSTALL_UNITS = ['nethooks.service', 'nethooks-check@event.service'];

/** Where the executable goes, its hooks beside it. */
export const libraryOf = (prefix: string): string => `${prefix}/lib/nethooks`;
export const executableOf = (prefix: string): string => `${libraryOf(prefix)}/nethooks`;
export const commandOf = (prefix: string): string => `${prefix}/sbin/nethooks`;

/** Where plugins are looked for. A runtime takes a configuration's type for the name of a file. */
const PLUGIN_DIRECTORIES = { cni: '/usr/lib/cni', rkt: '/usr/lib/rkt/plugins/net' } as const;
const PLUGINS = ['', '-bridge', '-ptp', '-macvlan', '-ipvlan', '-dns'].map((suffix) => `nethooks${suffix}`);

const LXC_HOOKS = ['pre-start', 'start-host', 'post-stop', 'destroy', 'clone'];
const UNITS = [
  'nethooks.service',
  'nethooks-check@.service',
  // Those that nethooks.service brings along.
  'nethooks-rules.service',
  'nethooks-check.timer',
  'nethooks-check.path',
  'nethooks-dnsmasq@.service',
];
const PAGES = ['nethooks.8', 'nethooks.ini.5'];

/** All files, in the order in which they are put in place: what is run by somebody else comes after what it runs. */
export function installFiles({ prefix, runtime, rkt, cni }: InstallOptions): InstallFile[] {
  const lib = libraryOf(prefix);
  const edited = (mode: number, path: string, source: string): InstallFile => ({ source, path, mode, edit: 'prefix' });
  const plugins = (directory: string): InstallFile[] =>
    PLUGINS.map((name) => edited(0o755, `${directory}/${name}`, 'hooks/cni'));
  return [
    runtime === 'bun'
      ? { source: 'dist/nethooks', path: executableOf(prefix), mode: 0o755 }
      : { source: 'dist/nethooks.cjs', path: executableOf(prefix), mode: 0o755, edit: 'node' },
    edited(0o755, commandOf(prefix), 'hooks/nethooks'),
    // What all hooks source.
    edited(0o644, `${lib}/lxc/guard`, 'hooks/lxc/guard'),
    edited(0o755, `${lib}/dhcp-script`, 'hooks/dhcp-script'),
    ...LXC_HOOKS.map((event) => edited(0o755, `${lib}/lxc/${event}`, `hooks/lxc/${event}`)),
    ...UNITS.map((unit) => edited(0o644, `${unitDirectory(prefix)}/${unit}`, `templates/${unit}`)),
    ...PAGES.map(
      (page): InstallFile => ({
        ...edited(0o644, `${prefix}/share/man/man${page.at(-1)}/${page}`, `docs/${page}`),
        optional: true,
      }),
    ),
    ...(cni ? plugins(PLUGIN_DIRECTORIES.cni) : []),
    ...(rkt ? plugins(PLUGIN_DIRECTORIES.rkt) : []),
    edited(0o644, '/etc/dhcp/dhclient-enter-hooks.d/nethooks', 'hooks/dhclient-enter-hook'),
    edited(0o755, '/etc/network/if-post-down.d/nethooks', 'hooks/if-post-down.d'),
    edited(0o755, '/etc/network/if-up.d/nethooks', 'hooks/if-up.d'),
    // For those who manage networks otherwise: they run the two above.
    { source: 'hooks/dhcpcd-hook', path: '/usr/lib/dhcpcd/dhcpcd-hooks/90-nethooks', mode: 0o644 },
    ...DISPATCHERS.map((directory) => ({
      source: 'hooks/network-changed',
      path: `${directory}/90-nethooks`,
      mode: 0o755,
    })),
  ];
}

/** Of NetworkManager, and of networkd-dispatcher for systemd-networkd. */
const DISPATCHERS = [
  '/etc/NetworkManager/dispatcher.d',
  '/etc/networkd-dispatcher/off.d',
  '/etc/networkd-dispatcher/routable.d',
];

/** systemd looks below /usr and /usr/local, but below no other prefix (systemd.unit(5), "Unit File Load Path"). */
const unitDirectory = (prefix: string): string =>
  prefix === '/usr' || prefix === '/usr/local' ? `${prefix}/lib/systemd/system` : '/etc/systemd/system';

/**
 * The content of a file as a step has it.
 * @param from the source's absolute path
 * @param node the path of node, for the script
 */
export function contentOf({ edit }: InstallFile, from: string, prefix: string, node: string): FileCopy {
  if (edit === 'prefix') return { from, replace: { text: USUAL, by: libraryOf(prefix) } };
  return edit === 'node' ? { from, firstLine: `#!${node}` } : { from };
}
