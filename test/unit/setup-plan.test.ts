/** What setup and teardown would do, from facts: no file is touched. */
import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { edited, isVerbatim } from '../../src/model/file-copy.ts';
import { formatManifest, parseManifest } from '../../src/model/manifest.ts';
import type { FileStep, Step } from '../../src/model/step.ts';
import { contentOf, INSTALL_UNITS, installFiles } from '../../src/plan/host/install-files.ts';
import { planSetup, type SetupFacts, type SetupSpec } from '../../src/plan/host/setup.ts';
import { planTeardown, type TeardownFacts } from '../../src/plan/host/teardown.ts';

const MANIFEST = '/var/lib/nethooks/install/manifest';
const HOOK = '/etc/network/if-up.d/nethooks';
const everywhere = { prefix: '/usr', runtime: 'bun', rkt: true, cni: true } as const;

const spec = (changes: Partial<SetupSpec> = {}): SetupSpec => ({
  prefix: '/usr',
  destdir: '',
  files: [{ path: HOOK, content: { from: '/src/if-up.d' }, mode: 0o755 }],
  directories: [],
  config: null,
  units: [],
  ...changes,
});
const facts = (changes: Partial<SetupFacts> = {}): SetupFacts => ({
  manifest: null,
  places: {},
  directories: ['/', '/etc', '/etc/network', '/etc/network/if-up.d'],
  backups: [],
  abandoned: [],
  configSum: null,
  units: {},
  reload: false,
  ...changes,
});
/** The manifest that the first step writes, if it does. */
const manifestOf = ([first]: Step[]): string | undefined =>
  first?.kind === 'file' && first.path === MANIFEST ? (first.content as string) : undefined;
const rest = (steps: Step[]): Step[] => (manifestOf(steps) === undefined ? steps : steps.slice(1));

describe('the list of files', () => {
  it('has every hook, unit and manual page of this checkout', () => {
    const sources = installFiles(everywhere).map(({ source }) => source);
    const all = (directory: string, ...skip: string[]): string[] =>
      readdirSync(directory, { withFileTypes: true })
        .filter((entry) => !entry.isDirectory() && !skip.includes(entry.name))
        .map(({ name }) => `${directory}/${name}`);
    const wanted = [
      ...all('hooks'),
      ...all('hooks/lxc'),
      ...all('docs').filter((path) => /\.\d$/.test(path)),
      ...all('templates').filter((path) => /\.(service|timer|path)$/.test(path)),
    ];
    expect([...new Set(sources)].filter((source) => !source.startsWith('dist/')).sort()).toEqual(wanted.sort());
    const units = INSTALL_UNITS.map((unit) => `templates/${unit.replace(/@.*\./, '@.')}`);
    expect(sources).toEqual(expect.arrayContaining(units));
  });

  it('puts nothing in two places or twice in one, and configuration of other programs into /etc', () => {
    const paths = installFiles({ ...everywhere, prefix: '/opt/nethooks' }).map(({ path }) => path);
    expect(new Set(paths).size).toBe(paths.length);
    const elsewhere = paths.filter((path) => !path.startsWith('/opt/nethooks/'));
    expect([...new Set(elsewhere.map((path) => path.split('/').slice(0, 4).join('/')))]).toEqual([
      '/etc/systemd/system',
      '/usr/lib/cni',
      '/usr/lib/rkt',
      '/etc/dhcp/dhclient-enter-hooks.d',
      '/etc/network/if-post-down.d',
      '/etc/network/if-up.d',
      '/usr/lib/dhcpcd',
      '/etc/NetworkManager/dispatcher.d',
      '/etc/networkd-dispatcher/off.d',
      '/etc/networkd-dispatcher/routable.d',
    ]);
  });

  it('puts prefix and node into copies, byte for byte but for that', () => {
    const [hook] = installFiles(everywhere).filter(({ path }) => path === HOOK);
    const copy = contentOf(hook as NonNullable<typeof hook>, '/src/if-up.d', '/usr/local', '');
    const bytes = Buffer.from('#!/bin/sh\nexec /usr/lib/nethooks/nethooks # $& \xff\xfe\n', 'latin1');
    expect(edited(bytes, copy).toString('latin1')).toBe(
      '#!/bin/sh\nexec /usr/local/lib/nethooks/nethooks # $& \xff\xfe\n',
    );
    expect(edited(Buffer.from('#!/usr/bin/env node\nx'), { from: '', firstLine: '#!/opt/node' }).toString()).toBe(
      '#!/opt/node\nx',
    );
    expect(isVerbatim(contentOf(hook as NonNullable<typeof hook>, '/src/if-up.d', '/usr', ''))).toBe(true);
  });
});

describe('a manifest', () => {
  it('keeps lines of a kind that it does not know, and paths with spaces', () => {
    const text = 'prefix /usr\nmade /a b\nfrobnicated x y\nconfig - /etc/nethooks/nethooks.ini\n';
    expect(formatManifest(parseManifest(text))).toBe(text);
  });
});

describe('setup', () => {
  it('notes everything before it makes anything', () => {
    const { steps } = planSetup(spec({ directories: ['/var/log/nethooks'] }), facts());
    expect(manifestOf(steps)).toBe(`prefix /usr\ndir /var\ndir /var/log\ndir /var/log/nethooks\nmade ${HOOK}\n`);
    expect(rest(steps)).toEqual([
      { kind: 'directory', path: '/var', action: 'make' },
      { kind: 'directory', path: '/var/log', action: 'make' },
      { kind: 'directory', path: '/var/log/nethooks', action: 'make' },
      { kind: 'file', path: HOOK, before: null, content: { from: '/src/if-up.d' }, mode: 0o755 },
    ]);
  });

  it('keeps a copy of what it replaces, once', () => {
    const backup = `/var/lib/nethooks/install/backup${HOOK}`;
    const other = { places: { [HOOK]: 'other' } } as const;
    const { steps } = planSetup(spec(), facts(other));
    expect(manifestOf(steps)).toBe(`prefix /usr\nreplaced ${HOOK}\n`);
    expect(rest(steps)).toMatchObject([{ path: HOOK, backup }]);
    const manifest = manifestOf(steps) as string;
    // Killed after the manifest was written, and after the copy was made.
    expect(planSetup(spec(), facts({ ...other, manifest })).steps).toMatchObject([{ path: HOOK, backup }]);
    const [again, ...none] = planSetup(spec(), facts({ ...other, manifest, backups: [HOOK] })).steps;
    expect(again).toMatchObject({ path: HOOK });
    expect((again as FileStep).backup).toBeUndefined();
    expect(none).toEqual([]);
  });

  it('makes what was to be replaced but is gone: there is nothing to be put back', () => {
    const manifest = `prefix /usr\nreplaced ${HOOK}\n`;
    const { steps } = planSetup(spec(), facts({ manifest, places: { [HOOK]: 'missing' } }));
    expect(manifestOf(steps)).toBe(`prefix /usr\nmade ${HOOK}\n`);
  });

  it('writes over its own older version without a copy', () => {
    const { steps } = planSetup(
      spec(),
      facts({ manifest: `prefix /usr\nmade ${HOOK}\n`, places: { [HOOK]: 'other' } }),
    );
    expect(steps).toEqual([{ kind: 'file', path: HOOK, before: null, content: { from: '/src/if-up.d' }, mode: 0o755 }]);
  });

  it('does nothing where everything is in place', () => {
    const manifest = `prefix /usr\nmade ${HOOK}\n`;
    expect(planSetup(spec(), facts({ manifest, places: { [HOOK]: 'same' } })).steps).toEqual([]);
  });

  it('leaves networks that are there, and notes only those that it writes', () => {
    const files = ['a', 'b'].map((name) => ({
      path: `/etc/${name}`,
      content: name,
      mode: 0o644,
      onlyIfMissing: true as const,
    }));
    const { steps } = planSetup(spec({ files }), facts({ places: { '/etc/a': 'other' } }));
    expect(manifestOf(steps)).toBe('prefix /usr\nmade /etc/b\n');
    expect(rest(steps)).toMatchObject([{ path: '/etc/b' }]);
  });

  it('notes the sum of the configuration before it is there', () => {
    const config = { path: '/etc/nethooks/nethooks.ini', text: 'x' };
    const { steps } = planSetup(spec({ config, files: [] }), facts());
    expect(manifestOf(steps)).toBe(
      'prefix /usr\ndir /etc/nethooks\nconfig 2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881 /etc/nethooks/nethooks.ini\n',
    );
  });

  it('enables units that are new, also where others are enabled; a masked one is how the admin says no', () => {
    const units = ['nethooks.service', 'nethooks-rules.service'];
    const plan = (states: string[], manifest: string) =>
      planSetup(
        spec({ files: [], units }),
        facts({ manifest, units: Object.fromEntries(units.map((unit, index) => [unit, states[index] ?? ''])) }),
      ).steps;
    const upgrade = plan(['enabled', 'disabled'], 'prefix /usr\nunit nethooks.service\n');
    expect(manifestOf(upgrade)).toBe('prefix /usr\nunit nethooks.service\nunit nethooks-rules.service\n');
    expect(rest(upgrade)).toEqual([
      { kind: 'unit', action: 'reload', units: [] },
      { kind: 'unit', action: 'enable', units: ['nethooks-rules.service'] },
    ]);
    const known = 'prefix /usr\nunit nethooks.service\nunit nethooks-rules.service\n';
    expect(plan(['enabled', 'enabled'], known)).toEqual([]);
    expect(plan(['enabled', 'masked'], known)).toEqual([]);
    expect(plan(['not-found', 'not-found'], known).at(-1)).toMatchObject({ action: 'enable', units });
  });

  it('below a destdir: files and directories, no notes and no copies', () => {
    const { steps } = planSetup(spec({ destdir: '/pkg' }), facts({ places: { [HOOK]: 'other' } }));
    expect(steps).toEqual([
      { kind: 'file', path: `/pkg${HOOK}`, before: null, content: { from: '/src/if-up.d' }, mode: 0o755 },
    ]);
  });

  it('refuses to put a file where a directory is', () => {
    expect(planSetup(spec(), facts({ places: { [HOOK]: 'directory' } })).refusals).toEqual([
      `${HOOK} is a directory, but a file belongs there`,
    ]);
  });
});

describe('teardown', () => {
  const MADE = `prefix /usr
dir /etc/nethooks
dir /usr/lib/nethooks
made /usr/lib/nethooks/nethooks
made /usr/sbin/nethooks
dir /usr/lib/nethooks/lxc
made /usr/lib/nethooks/lxc/start-host
replaced ${HOOK}
package nftables
config 123 /etc/nethooks/nethooks.ini
`;
  const left = (changes: Partial<TeardownFacts> = {}): TeardownFacts => ({
    manifest: parseManifest(MADE),
    there: [
      '/usr/lib/nethooks/nethooks',
      '/usr/sbin/nethooks',
      '/usr/lib/nethooks/lxc/start-host',
      HOOK,
      '/etc/nethooks/nethooks.ini',
      '/etc/nethooks',
      '/run/nethooks',
    ],
    abandoned: [],
    backups: [HOOK],
    names: {
      '/etc/nethooks': ['nethooks.ini'],
      '/usr/lib/nethooks': ['nethooks', 'lxc'],
      '/usr/lib/nethooks/lxc': ['start-host'],
    },
    configSum: '123',
    stores: [],
    hasKept: false,
    running: [],
    systemd: false,
    ...changes,
  });
  const brief = (steps: Step[]): string[] =>
    steps.map((step) => {
      if (step.kind === 'directory') return `${step.action} ${step.path}/`;
      return step.kind === 'file' ? `${step.content === null ? 'remove' : 'put'} ${step.path}` : step.kind;
    });

  it('takes back the newest first, the executable behind all else, and the manifest last', () => {
    const { steps, kept, packages } = planTeardown({ purge: false }, left());
    expect(brief(steps)).toEqual([
      'remove /etc/nethooks/nethooks.ini',
      `put ${HOOK}`,
      'remove /usr/lib/nethooks/lxc/start-host',
      'remove /usr/lib/nethooks/lxc/',
      'purge /run/nethooks/',
      'purge /var/lib/nethooks/',
      'remove /usr/sbin/nethooks',
      'remove /usr/lib/nethooks/nethooks',
      'remove /usr/lib/nethooks/',
      'remove /etc/nethooks/',
      'purge /var/lib/nethooks/install/',
      `remove ${MANIFEST}`,
      'remove /var/lib/nethooks/install/',
      'remove /var/lib/nethooks/',
    ]);
    expect({ kept, packages }).toEqual({ kept: [], packages: ['nftables'] });
  });

  it('keeps an edited configuration with its directory, unless it is to be purged', () => {
    const { steps, kept } = planTeardown({ purge: false }, left({ configSum: '456' }));
    expect(brief(steps).filter((line) => line.includes('/etc/nethooks'))).toEqual([]);
    expect(kept).toEqual(['keep /etc/nethooks/nethooks.ini: it was edited (--purge removes it)']);
    const purged = brief(planTeardown({ purge: true }, left({ configSum: '456' })).steps);
    expect(purged.filter((line) => line.includes('/etc/nethooks'))).toEqual([
      'remove /etc/nethooks/nethooks.ini',
      'purge /etc/nethooks/',
    ]);
  });

  it('leaves what was to be replaced but has not been, and removes what a killed run left unfinished', () => {
    const { steps } = planTeardown(
      { purge: false },
      left({ backups: [], there: [HOOK, `${HOOK}.new`], abandoned: ['/etc/lxc/.default.conf.7.nethooks'] }),
    );
    expect(brief(steps).slice(0, 3)).toEqual([
      'remove /etc/lxc/.default.conf.7.nethooks',
      `remove ${HOOK}.new`,
      'purge /var/lib/nethooks/',
    ]);
  });

  it('leaves addresses that containers hold, and directories that hold them', () => {
    const [a, b] = ['/var/lib/cni/networks/a', '/var/lib/cni/networks/b'];
    const names = { '/var/lib/cni/networks': ['a', 'b'], '/var/lib/cni': ['networks'] };
    type Holders = TeardownFacts['stores'][number]['holders'];
    const stores = (holders: Holders) => [
      { path: a as string, holders: 'none' as const },
      { path: b as string, holders },
    ];
    const plan = (holders: Holders, purge = false) =>
      planTeardown({ purge }, left({ there: [a, b] as string[], names, stores: stores(holders) }));
    for (const held of [plan('stopped'), plan('others'), plan('others', true)]) {
      expect(brief(held.steps).filter((line) => line.includes('cni'))).toEqual([`purge ${a}/`]);
      expect(held.kept).toEqual([`keep ${b}: containers have addresses in it`]);
    }
    expect(plan('stopped', true).kept).toEqual([]);
    expect(brief(plan('none').steps).filter((line) => line.includes('cni'))).toEqual([
      `purge ${a}/`,
      `purge ${b}/`,
      'remove /var/lib/cni/networks/',
      'remove /var/lib/cni/',
    ]);
  });

  it('keeps what a reinstall goes by, unless it is to be purged', () => {
    const facts = left({ hasKept: true, names: { '/etc/nethooks/containers': ['web.ini'] } });
    expect(planTeardown({ purge: false }, facts)).toMatchObject({
      kept: [
        'keep /etc/nethooks/containers: options of containers (--purge removes them)',
        'keep /var/lib/nethooks/containers: for a reinstall, what containers had (--purge removes it)',
      ],
      steps: expect.arrayContaining([
        { kind: 'directory', path: '/var/lib/nethooks', action: 'purge', except: ['install', 'containers'] },
      ]),
    });
    expect(planTeardown({ purge: true }, facts)).toMatchObject({
      kept: [],
      steps: expect.arrayContaining([
        { kind: 'directory', path: '/var/lib/nethooks', action: 'purge', except: ['install'] },
      ]),
    });
  });

  it('keeps what /run says of containers that run', () => {
    const { steps, kept } = planTeardown({ purge: true }, left({ running: ['web'] }));
    expect(brief(steps).filter((line) => line.includes('/run'))).toEqual([]);
    expect(kept).toEqual(['keep /run/nethooks until the next boot: it says what belongs to web']);
  });
});
