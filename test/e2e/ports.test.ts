import { beforeAll, expect, it } from 'vitest';
import type { ThrowawayHost } from '../../src/demo/throwaway.ts';
import { commandsOn, describeLab, eventually, installedHost, must, sh, writeFile } from '../lab/lab.ts';
import { ask } from '../lab/traffic.ts';

/** A container that serves its own name on port 80, from its first instruction on. */
const SERVER = 'lxc.init.cmd = /bin/busybox httpd -f -p 80 -h /www';
const CONFIG = '[network.br0]\naddress = 10.0.0.1/24\nicc = false\n';

let host: ThrowawayHost;
const nethooks = (...words: string[]) => must(host, ['nethooks', ...words]);
const { start, stop, hookLog } = commandsOn(() => host);
const options = (name: string, ini: string) => writeFile(host, `/etc/nethooks/containers/${name}.ini`, `${ini}\n`);
const table = () => must(host, ['nft', 'list', 'table', 'inet', 'nethooks']);
/** The last line that a web server says, `name`; empty where nothing answers within a second. */
const get = (url: string): string[] => {
  const [address = '', port = '80'] = url.split(':');
  const script = 'printf "GET / HTTP/1.0\\r\\n\\r\\n" | timeout 2 busybox nc -w 1 "$1" "$2" 2>/dev/null | tail -n 1';
  return ['sh', '-c', script, 'get', address, port];
};
const fetches = async (from: string, url: string) =>
  (await host.run(['lxc-attach', '-n', from, '--', ...get(url)])).stdout.trim();
const outside = async (url: string) => (await host.internet(get(url))).stdout.trim();
const onHost = async (url: string) => (await host.run(get(url))).stdout.trim();
/** Everything that nethooks has for containers that run: files, elements, connections. */
const traces = async () =>
  [
    await sh(host, 'cd /run/nethooks && find names containers ports links claims -type f 2>/dev/null | sort || true'),
    ((await table()).match(/elements = \{[^}]*\}/g) ?? []).join('\n'),
    (await must(host, ['conntrack', '-L']))
      .split('\n')
      .filter((line) => /10\.0\.0\.(?!1\b)\d/.test(line) && !/dport=(53|67)/.test(line))
      .join('\n'),
  ].join('\n--\n');

describeLab('containers that publish and link', () => {
  let nothing = '';
  beforeAll(async () => {
    host = await installedHost({
      dns: true,
      config: CONFIG,
      containers: ['web', 'db', 'app'],
      containerConfig: SERVER,
    });
    await sh(
      host,
      'for name in web db app; do mkdir /var/lib/lxc/$name/rootfs/www; echo $name >/var/lib/lxc/$name/rootfs/www/index.html; done',
    );
    nothing = await traces();
  });

  it('answer on their host ports when lxc-start returns, and nowhere when they stop', async () => {
    await options('web', 'publish[] = 8080:80\npublish[] = 127.0.0.1::80\nexpose[] = 80');
    await start('web');
    // The rules are there; the server is a moment behind them.
    await eventually(async () => expect(await outside('192.0.2.2:8080')).toBe('web'));
    const [first, second] = (await nethooks('port', 'web')).trim().split('\n');
    expect(first).toBe('80/tcp -> 0.0.0.0:8080');
    const local = /^80\/tcp -> (127\.0\.0\.1:\d+)$/.exec(second ?? '')?.[1] as string;
    expect(await onHost(local)).toBe('web');
    expect(await nethooks('port', 'web', '80')).toBe(`0.0.0.0:8080\n${local}\n`);
    expect((await host.run(['nethooks', 'port', 'web', '81'])).stderr).toBe(
      'nethooks: port 81 of web is not published\n',
    );
    await stop('web');
    await eventually(async () => expect(await traces()).toBe(nothing));
    expect((await host.run(['nethooks', 'port', 'web'])).code).toBe(1);
    await start('web');
    expect(await nethooks('port', 'web')).toContain(local); // the same as before
    await stop('web');
    await eventually(async () => expect(await traces()).toBe(nothing));
  });

  it('see themselves, their neighbours and the host through published ports, with icc = false too', async () => {
    await start('web');
    await start('app');
    await eventually(async () => expect(await onHost('10.0.0.1:8080')).toBe('web'));
    for (const from of ['web', 'app'])
      for (const address of ['10.0.0.1', '192.0.2.2']) expect(await fetches(from, `${address}:8080`)).toBe('web');
    expect(await onHost('127.0.0.1:8080')).toBe('web');
    expect(await fetches('app', 'web.lxc')).toBe('');
    await stop('app');
    await stop('web');
  });

  it('are refused a port that somebody has, and leave nothing', async () => {
    await eventually(async () => expect(await traces()).toBe(nothing));
    const listener = await sh(host, 'busybox nc -l -p 8080 >/dev/null 2>&1 & echo $!');
    await eventually(async () => expect(await must(host, ['ss', '-tln'])).toContain(':8080'));
    expect((await host.run(['lxc-start', '-n', 'web'])).code).not.toBe(0);
    expect(await hookLog()).toMatch(
      /start-host web: publish 8080:80: host port 0\.0\.0\.0:8080\/tcp is in use by busybox \(pid \d+\)/,
    );
    await eventually(async () => expect(await traces()).toBe(nothing));
    await sh(host, 'kill $1; rm /var/log/nethooks/hooks.log', [listener.trim()]);
    await options('app', 'publish[] = 8080:80');
    await start('web');
    expect((await host.run(['lxc-start', '-n', 'app'])).code).not.toBe(0);
    expect(await hookLog()).toContain('host port 0.0.0.0:8080/tcp is in use by container web');
    await sh(host, 'rm /etc/nethooks/containers/app.ini /var/log/nethooks/hooks.log');
    await stop('web');
    await eventually(async () => expect(await traces()).toBe(nothing));
  });

  it('reach their links and nobody else, in whichever order they start', async () => {
    await options('app', 'link[] = db:database');
    await options('db', 'expose[] = 80');
    await start('web');
    await start('app');
    expect(await fetches('app', 'db.lxc')).toBe(''); // has never run
    await start('db');
    await eventually(async () => expect(await fetches('app', 'db.lxc')).toBe('db'));
    expect(await fetches('app', 'web.lxc')).toBe('');
    expect(await fetches('db', 'app.lxc')).toBe('');
    expect(await fetches('web', 'db.lxc')).toBe('');
    // The child comes back, with its address; then it goes for good, and nobody reaches who gets that next.
    await stop('db');
    // A mistake in the parent's options is the parent's: the child starts.
    await options('app', 'link[] = db:database\nlonk[] = db');
    await start('db');
    await eventually(async () => expect(await fetches('app', 'db.lxc')).toBe('db'));
    expect(await hookLog()).toMatch(/start-host db: names of links to it: .*lonk/);
    await sh(host, 'rm /var/log/nethooks/hooks.log');
    await options('app', 'link[] = db:database');
    await stop('db');
    await must(host, ['lxc-destroy', '-n', 'db']);
    expect((await table()).match(/set links \{[^}]*\}/)?.[0]).not.toContain('elements');
    await stop('app');
    await stop('web');
    await sh(host, 'rm /etc/nethooks/containers/app.ini /etc/nethooks/containers/db.ini');
    await eventually(async () => expect(await traces()).toBe(nothing));
  });

  it('whose start fails leave nothing', async () => {
    await sh(host, "sed -i 's|^lxc.init.cmd.*|lxc.init.cmd = /no/such/init|' /var/lib/lxc/web/config");
    expect((await host.run(['lxc-start', '-n', 'web'])).code).not.toBe(0);
    await eventually(async () => expect(await traces()).toBe(nothing));
    await sh(host, "sed -i 's|^lxc.init.cmd.*|$1|' /var/lib/lxc/web/config".replace('$1', SERVER));
  });

  it('whose monitor is killed are collected by gc', async () => {
    await options('web', 'publish[] = 8080:80\npublish[] = 5353:53/udp\nlink[] = app:a\nexpose[] = 80');
    await options('app', 'expose[] = 80');
    await start('app');
    await start('web');
    await eventually(async () => expect(await outside('192.0.2.2:8080')).toBe('web'));
    await sh(host, 'kill -9 $(cut -d" " -f4 /proc/$(lxc-info -n web -pH)/stat)');
    await eventually(async () => expect(await must(host, ['lxc-ls', '--running'])).not.toContain('web'));
    const before = await traces();
    expect(before).toContain('ports/tcp-8080/0.0.0.0');
    const seen = await nethooks('gc', '--dry-run');
    expect(seen).toMatch(/container web is no more: its names, 10\.0\.0\.\d+/);
    expect(seen).toContain('web: published tcp . 8080 : 10.0.0.');
    expect(await traces()).toBe(before);
    expect(await nethooks('gc')).toBe(seen);
    expect(await nethooks('gc')).toBe('nothing is left behind\n');
    await stop('app');
    await eventually(async () => expect(await traces()).toBe(nothing));
    // Its address is still its own; it goes with its directory.
    expect(await sh(host, 'grep -l lxc-web /var/lib/cni/networks/br0/*')).toMatch(/10\.0\.0\.\d+/);
    await sh(host, 'rm -r /var/lib/lxc/web; touch -d "2 minutes ago" $(grep -l lxc-web /var/lib/cni/networks/br0/*)');
    expect(await nethooks('gc')).toMatch(/^web is no more: 10\.0\.0\.\d+\n$/);
    expect(
      (await host.run(['grep', '-rl', 'web', '/var/lib/cni/networks', '/var/lib/nethooks/containers'])).stdout,
    ).toBe('');
  });

  it('killed and started again have what they ask for, once', async () => {
    await options('app', 'publish[] = 8090:80');
    await start('app');
    await sh(host, 'kill -9 $(cut -d" " -f4 /proc/$(lxc-info -n app -pH)/stat)');
    await eventually(async () => expect(await must(host, ['lxc-ls', '--running'])).not.toContain('app'));
    await options('app', 'publish[] = 8091:80');
    await start('app');
    expect(await nethooks('port', 'app')).toBe('80/tcp -> 0.0.0.0:8091\n');
    expect(await ask(host, 'internet', ['tcp 192.0.2.2:8090'])).toEqual({ 'tcp 192.0.2.2:8090': 'refused' });
    await eventually(async () => expect(await outside('192.0.2.2:8091')).toBe('app'));
    expect(await nethooks('gc')).toBe('nothing is left behind\n');
    await stop('app');
    await eventually(async () => expect(await traces()).toBe(nothing));
  });

  it('do not start while what keeps them apart is gone', async () => {
    await must(host, ['nft', 'flush', 'ruleset']);
    expect((await host.run(['lxc-start', '-n', 'app'])).code).not.toBe(0);
    expect(await hookLog()).toContain('`nethooks up` brings them back');
    await nethooks('up');
    await start('app');
    await stop('app');
  });
});
