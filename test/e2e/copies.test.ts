/** What LXC does to a container as a whole: rename, copy, snapshot, restore, an ephemeral copy, an end. It needs rsync. */
import { afterEach, beforeAll, expect, it } from 'vitest';
import type { ThrowawayHost } from '../../src/demo/throwaway.ts';
import {
  commandsOn,
  createContainer,
  createContainers,
  describeLab,
  eventually,
  inContainer,
  installedHost,
  must,
  STILL,
  sh,
} from '../lab/lab.ts';

let host: ThrowawayHost;
const { start, stop, resolved, hookLog } = commandsOn(() => host);
const read = (path: string) => must(host, ['cat', path]);
const optionsOf = (name: string) => read(`/etc/nethooks/containers/${name}.ini`);
const configure = (...args: string[]) => must(host, ['nethooks', 'configure', ...args]);
const copy = (...args: string[]) => must(host, ['lxc-copy', ...args]);
const holders = () => sh(host, "cd /var/lib/cni/networks/br0; grep -H lxc- 10.* | tr -d '\\r'");
/** All that could be left of containers. */
const state = () =>
  sh(
    host,
    `cd / && find etc/nethooks/containers run/nethooks/attachments run/nethooks/names run/nethooks/links run/nethooks/dnsmasq/*/dhcp-hosts run/nethooks/options \
    var/lib/nethooks/containers var/lib/nethooks/env var/lib/nethooks/aliases var/lib/cni/networks/br0/10.* -type f 2>/dev/null | sort || true`,
  );
const OPTIONS = [
  ...['-p', '8080:80', '-p', '90', '--expose', '5432', '--hostname', 'shop', '--alias', 'data'],
  ...['--dns', '192.0.2.53', '--ip', '10.0.0.77'],
];

describeLab('Copies, renames and restores', () => {
  beforeAll(async () => {
    host = await installedHost({ dns: true });
    // An overlay copies of containers, as ephemeral ones are, must not itself be on an overlay.
    await sh(host, 'mount -t tmpfs tmpfs /var/lib/lxc');
  });
  afterEach(async () => {
    await sh(
      host,
      'for name in $(lxc-ls --running); do lxc-stop -k -n "$name"; done; for name in $(lxc-ls -1); do lxc-destroy -s -n "$name"; done; rm -f /var/log/nethooks/hooks.log',
    );
    expect(await state()).toBe('');
  });

  it('a rename keeps options and address, and the links of others, running or not', async () => {
    await createContainers(host, ['db', 'web', 'idle', 'line'], STILL);
    await configure('db', ...OPTIONS);
    await sh(host, "sed -i 's|/lxc/start-host$|& --link db:database|' /var/lib/lxc/line/config");
    for (const parent of ['web', 'idle']) await configure(parent, '--link', 'db:database');
    await start('db');
    await start('web');
    await start('line');
    const options = await optionsOf('db');
    await stop('db');
    await copy('-R', '-n', 'db', '-N', 'store');
    expect(await optionsOf('store')).toBe(options);
    expect(await state()).not.toMatch(/\bdb\b/);
    const said = await hookLog();
    expect(said).toContain('renamed to store: /etc/nethooks/containers/idle.ini links to that now');
    expect(said).toContain('renamed to store: /var/lib/lxc/line/config links to that now');
    expect(said).not.toContain('without');
    expect(await holders()).toContain('10.0.0.77:lxc-store\n');
    await start('store');
    expect(await resolved('store.lxc')).toBe('10.0.0.77');
    expect(await resolved('data.lxc')).toBe('10.0.0.77');
    expect(await must(host, ['nethooks', 'port', 'store'])).toContain('80/tcp -> 0.0.0.0:8080');
    expect(await inContainer(host, 'store', ['cat', '/etc/hostname', '/etc/resolv.conf'])).toContain('shop');
    for (const parent of ['web', 'line'])
      expect(await inContainer(host, parent, ['cat', '/etc/hosts'])).toContain('10.0.0.77 database store\n');
    await must(host, ['nethooks', 'configure', 'line', '--dns', '192.0.2.53']);
    expect(await inContainer(host, 'line', ['cat', '/etc/hosts'])).toContain('10.0.0.77 database store\n');
    await stop('line');
    await start('line');
    await start('idle');
    expect(await inContainer(host, 'idle', ['cat', '/etc/hosts'])).toContain('10.0.0.77 database store\n');
  });

  it('a rename keeps an address that nobody chose', async () => {
    await createContainer(host, 'plain', STILL);
    await start('plain');
    const address = await resolved('plain.lxc');
    await stop('plain');
    await copy('-R', '-n', 'plain', '-N', 'renamed');
    expect(await holders()).toBe(`${address}:lxc-renamed\n`);
    await start('renamed');
    expect(await resolved('renamed.lxc')).toBe(address);
  });

  it('copies, renamed and restored ones can be put back as they were before nethooks', async () => {
    await createContainer(host, 'old', STILL);
    const without = "sed '/lxc.net/d; /nethooks/d; /lxc.hook.version/d'";
    await sh(host, `${without} /var/lib/lxc/old/config >/root/old; cp /root/old /var/lib/lxc/old/config`);
    await configure('old', '-p', '90');
    await copy('-n', 'old', '-N', 'copied');
    await copy('-R', '-n', 'old', '-N', 'renamed');
    await sh(host, 'lxc-snapshot -n renamed; lxc-snapshot -n renamed -r snap0');
    for (const name of ['copied', 'renamed']) {
      await start(name);
      expect(await must(host, ['nethooks', 'port', name])).toContain('90/tcp');
      await stop(name);
      await configure(name, '--remove');
      expect(await read(`/var/lib/lxc/${name}/config`)).not.toMatch(/nethooks|lxc.net/);
      // Without our hooks nobody tells us of its end.
      await sh(host, `lxc-destroy -s -n ${name}; touch -d -1hour /var/lib/cni/networks/br0/10.*; nethooks gc`);
    }
  });

  it('a copy has what two can have, in a file that goes with it, and the log says what it lacks', async () => {
    await createContainers(host, ['web', 'db'], STILL);
    await sh(host, 'cp -p /var/lib/lxc/web/config /root/web.config');
    await configure('web', ...OPTIONS, '--link', 'db:database');
    await start('web');
    await stop('web');
    await copy('-n', 'web', '-N', 'twin');
    expect(await hookLog()).toMatch(
      /clone twin: copied from web, without .*: hostname shop, aliases data, publish 8080:80, address 10\.0\.0\.77\n/,
    );
    expect((await optionsOf('twin')).split('\n').slice(1).join('\n')).toBe(
      'publish[] = 90\nexpose[] = 5432\nlink[] = db:database\ndns[] = 192.0.2.53\n',
    );
    await start('web');
    await start('twin');
    expect(await resolved('web.lxc')).toBe('10.0.0.77');
    expect(await resolved('twin.lxc')).not.toBe('10.0.0.77');
    expect(await inContainer(host, 'twin', ['cat', '/etc/hosts', '/etc/hostname'])).not.toContain('shop');
    expect(await inContainer(host, 'twin', ['cat', '/etc/resolv.conf'])).toContain('nameserver 192.0.2.53');
    await stop('twin');
    await configure('twin', '--remove');
    expect(await read('/var/lib/lxc/twin/config')).not.toMatch(/lxc.include = .*nethooks/);
    await must(host, ['lxc-destroy', '-n', 'twin']);
    expect(await state()).not.toContain('twin');
    expect(await optionsOf('web')).toContain('8080:80');
  });

  it('a copy whose original is destroyed later is no rename', async () => {
    await createContainer(host, 'one', STILL);
    await configure('one', '-p', '8080:80');
    await sh(host, 'lxc-copy -n one -N two; lxc-destroy -n one');
    expect(await state()).not.toMatch(/\bone\b/);
    expect(await state()).not.toContain('containers/two.ini');
  });

  it('snapshots and restores leave everything as it is; a restore to another name is a copy', async () => {
    await createContainers(host, ['web', 'db', 'snap0'], STILL);
    await configure('web', ...OPTIONS, '--link', 'db:database');
    await configure('snap0', '--dns', '192.0.2.1');
    await start('web');
    await start('snap0');
    await stop('web');
    const before = await state();
    const config = await read('/var/lib/lxc/web/config');
    await must(host, ['lxc-snapshot', '-n', 'web']);
    expect(await state()).toBe(before);
    expect(await resolved('snap0.lxc')).not.toBe('');
    await must(host, ['lxc-snapshot', '-n', 'web', '-r', 'snap0']);
    expect(await state()).toBe(before);
    expect((await read('/var/lib/lxc/web/config')).includes('env/web.conf')).toBe(config.includes('env/web.conf'));
    await start('web');
    expect(await resolved('web.lxc')).toBe('10.0.0.77');
    expect(await must(host, ['nethooks', 'port', 'web'])).toContain('80/tcp -> 0.0.0.0:8080');
    await stop('web');
    await must(host, ['lxc-snapshot', '-n', 'web', '-d', 'snap0']);
    expect(await state()).toBe(before);
    await sh(
      host,
      'lxc-stop -k -n snap0; lxc-destroy -n snap0; lxc-snapshot -n web; rm -f /var/log/nethooks/hooks.log',
    );
    await must(host, ['lxc-snapshot', '-n', 'web', '-r', 'snap0', '-N', 'other']);
    expect(await optionsOf('other')).toContain('publish[] = 90\n');
    expect(await hookLog()).toContain('copied from web, without');
  });

  it('a restored container whose copying takes long is not swept; one that does not come back is', async () => {
    await createContainer(host, 'web', STILL);
    await configure('web', '-p', '8080:80');
    await start('web');
    await stop('web');
    await must(host, ['lxc-snapshot', '-n', 'web']);
    await sh(
      host,
      `cd /var/lib/lxc/web; LXC_HOOK_TYPE=destroy LXC_NAME=web LXC_CONFIG_FILE=$PWD/config /usr/lib/nethooks/lxc/destroy; mv config rootfs /root; touch -d -1hour /var/lib/cni/networks/br0/10.*; nethooks gc`,
    );
    expect(await optionsOf('web')).toContain('8080:80');
    expect(await holders()).toContain('lxc-web');
    await sh(host, 'rm -r /var/lib/lxc/web /root/config /root/rootfs; nethooks gc');
    expect(await state()).toBe('');
  });

  it('an ephemeral copy gives everything back at its stop, not at its reboot', async () => {
    await createContainer(host, 'base');
    await configure('base', '-p', '90');
    const before = await state();
    await copy('-n', 'base', '-e', '-N', 'brief');
    await eventually(async () => expect(await resolved('brief.lxc')).not.toBe(''));
    const address = await resolved('brief.lxc');
    const pid = await must(host, ['lxc-info', '-n', 'brief', '-pH']);
    await host.run(['lxc-stop', '-r', '-n', 'brief']);
    await eventually(async () => {
      expect(await must(host, ['lxc-info', '-n', 'brief', '-pH'])).not.toBe(pid);
      expect(await resolved('brief.lxc')).toBe(address);
    });
    expect(await must(host, ['nethooks', 'port', 'brief'])).toContain('90/tcp');
    await must(host, ['lxc-stop', '-k', '-n', 'brief']);
    await eventually(async () => expect(await state()).toBe(before));
    expect(await must(host, ['lxc-ls', '-1'])).toBe('base\n');
  });
});
