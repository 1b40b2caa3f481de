import { beforeAll, beforeEach, expect, it } from 'vitest';
import type { ThrowawayHost } from '../../src/demo/throwaway.ts';
import type { EventRecord } from '../../src/model/event.ts';
import { MAX_BYTES } from '../../src/system/log.ts';
import { BR0, commandsOn, describeLab, eventually, installedHost, must, STILL, sh, writeFile } from '../lab/lab.ts';

const LOG = '/var/log/nethooks/hooks.log';

let host: ThrowawayHost;
const { start, stop, resolved, up } = commandsOn(() => host);
const nethooks = (...words: string[]) => host.run(['nethooks', ...words]);
const events = async (...options: string[]): Promise<EventRecord[]> =>
  (await must(host, ['nethooks', 'logs', '--json', ...options]))
    .split('\n')
    .flatMap((line) => (line === '' ? [] : [JSON.parse(line) as EventRecord]));
const last = async (event: string): Promise<EventRecord> =>
  (await events()).findLast((one) => one.event === event) ?? expect.fail(event);
const ifUp = () =>
  sh(host, 'IFACE=eth0 ADDRFAM=inet METHOD=static MODE=start PHASE=post-up SECRET=hush /etc/network/if-up.d/nethooks');

describeLab('the log', () => {
  beforeAll(async () => {
    host = await installedHost({ config: BR0, containers: ['web', 'db'], containerConfig: STILL });
  });
  beforeEach(() => sh(host, `rm -f ${LOG}*`));

  it('has a line for a start and a stop: what it was called with, and what changed', async () => {
    await must(host, ['nethooks', 'configure', 'web', '-p', '8080:80', '--link', 'db']);
    await start('db');
    await start('web');
    expect(await last('configure')).toMatchObject({
      about: 'web',
      input: { words: ['configure', 'web', '-p', '8080:80', '--link', 'db'] },
    });
    const address = await resolved('web.lxc');
    const { about, input, changed, undone, error, ms } = await last('start-host');
    expect({ about, undone, error }).toEqual({ about: 'web', undone: [], error: null });
    expect(ms).toBeGreaterThan(0);
    expect(input.env).toMatchObject({ LXC_NAME: 'web', LXC_CONFIG_FILE: '/var/lib/lxc/web/config' });
    expect(changed).toContain(`nft add element published { tcp . 8080 : ${address} . 80 }`);
    await stop('web');
    await eventually(async () =>
      expect((await last('post-stop')).changed).toContain(
        `nft delete element published { tcp . 8080 : ${address} . 80 }`,
      ),
    );
    expect((await events('--container', 'web')).map(({ event }) => event)).toEqual([
      'configure',
      'start-host',
      'post-stop',
    ]);
    expect(await must(host, ['nethooks', 'logs'])).toMatch(/^\S+Z {2}\S+ +start-host web: \d+ changes, \d+ ms$/m);
  });

  it('says why a start was refused, and replay what it would get', async () => {
    await start('web');
    await stop('db');
    await must(host, ['nethooks', 'configure', 'db', '-p', '8080:80']);
    expect((await host.run(['lxc-start', '-n', 'db'])).code).not.toBe(0);
    const [failed, ...more] = await events('--failed');
    expect(more).toEqual([]);
    expect(failed).toMatchObject({
      event: 'start-host',
      about: 'db',
      changed: [],
      error: expect.stringContaining('in use by container web'),
    });
    const { id } = failed as EventRecord;
    expect((failed as EventRecord).undone.length).toBeGreaterThan(0);
    expect(await must(host, ['nethooks', 'logs', id])).toMatch(/^error {5}publish 8080:80: .*in use by container web/m);
    expect(await must(host, ['nethooks', 'replay', id, '--dry-run'])).toMatch(
      /^eth0 on br0: address .*\nnames: db\npublish 8080:80\n$/,
    );
    expect(await nethooks('replay', id)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('the container does not run'),
    });
    await must(host, ['nethooks', 'configure', 'db', '--no-publish']);
  });

  it('replay connects a container that runs and is not connected, once', async () => {
    await sh(host, 'lxc-stop -k -n web || :');
    await start('web');
    const { id } = await last('start-host');
    expect(await nethooks('replay', id)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('the container is connected'),
    });
    await sh(
      host,
      'rm /run/nethooks/attachments/lxc/web.json /run/nethooks/names/lxc/web; nsenter -t "$(lxc-info -n web -pH)" -n ip addr flush dev eth0',
    );
    expect((await host.run(['busybox', 'ping', '-c', '1', '-W', '1', 'web.lxc'])).code).not.toBe(0);
    expect(await must(host, ['nethooks', 'replay', id])).toBe('done\n');
    await eventually(() => must(host, ['busybox', 'ping', '-c', '1', '-W', '1', 'web.lxc']));
    expect(await last('replay')).toMatchObject({ about: id, error: null });
    await stop('web');
  });

  it('replay of an interface brings back what is missing; --dry-run says what; quiet ones leave no line, secrets none either', async () => {
    await ifUp();
    expect(await events()).toEqual([]);
    await sh(host, 'ip link delete br0');
    await ifUp();
    const { id, input } = await last('if-up');
    expect(input).toEqual({
      words: [],
      env: { IFACE: 'eth0', ADDRFAM: 'inet', METHOD: 'static', MODE: 'start', PHASE: 'post-up' },
    });
    expect(await sh(host, `cat ${LOG}`)).not.toContain('hush');
    await sh(host, 'nft delete table inet nethooks');
    expect(await must(host, ['nethooks', 'replay', id, '--dry-run'])).toContain('nft table inet nethooks:');
    await must(host, ['nethooks', 'replay', id]);
    expect(await must(host, ['nethooks', 'plan'])).toBe('nothing would change\n');
  });

  it('replay of a lease is refused where a later one is known', async () => {
    const lease = (server: string) =>
      sh(
        host,
        `reason=BOUND interface=eth0 new_domain_name_servers=${server} /usr/lib/nethooks/nethooks hook dhclient`,
      );
    await lease('192.0.2.53');
    const first = await last('dhclient');
    await lease('192.0.2.54');
    const second = await last('dhclient');
    expect(await nethooks('replay', first.id)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining(`${second.id} is about the same`),
    });
    await sh(host, 'rm /run/nethooks/upstreams.d/eth0');
    await must(host, ['nethooks', 'replay', second.id]);
    expect(await sh(host, 'cat /run/nethooks/upstreams.d/eth0')).toBe('192.0.2.54\n');
    await sh(host, 'rm /run/nethooks/upstreams.d/eth0');
    await up();
  });

  it.each([
    ['post-stop', 'LXC_NAME=nobody LXC_HOOK_TYPE=post-stop /usr/lib/nethooks/lxc/post-stop', /gc` takes back/],
    ['configure', 'nethooks configure db --aliases data', /`nethooks configure db --aliases data` does it again/],
  ])('replay says why it does not do %s again', async (event, script, why) => {
    await sh(host, script);
    const { id } = await last(event);
    expect(await nethooks('replay', id, '--dry-run')).toMatchObject({ code: 1, stderr: expect.stringMatching(why) });
  });

  it('holds no line and no command of a terminal that a name brings', async () => {
    const name = '\u001b[2J\n{"id":"forged","at":"2026","event":"up"}';
    const called = await host.run(['/usr/lib/nethooks/lxc/start-host'], {
      env: { LXC_NAME: name, LXC_HOOK_TYPE: 'start-host' },
    });
    expect(called.code).not.toBe(0);
    expect(called.stderr).not.toContain('\u001b');
    const text = await sh(host, `cat ${LOG}`);
    expect(text).toMatch(/^[\x20-\x7e]*\n$/);
    expect(await events()).toMatchObject([{ event: 'start-host', about: name }]);
    expect(await must(host, ['nethooks', 'logs'])).not.toContain('\u001b');
  });

  it('keeps every line of two hundred hooks that come at once while it gets another name', async () => {
    const filler = JSON.stringify({ id: 'old', at: '2026-01-01T00:00:00.000Z', event: 'up', said: ['x'.repeat(900)] });
    const lines = Math.floor((MAX_BYTES - 10_000) / (filler.length + 1));
    await writeFile(host, LOG, `${filler}\n`.repeat(lines));
    await sh(
      host,
      'for n in $(seq 200); do LXC_NAME=c$n LXC_HOOK_TYPE=destroy /usr/lib/nethooks/nethooks hook destroy & done; wait',
      [],
      { timeoutMs: 120_000 },
    );
    const found = (await events()).filter(({ event }) => event === 'destroy').map(({ about }) => about);
    expect(found.sort()).toEqual([...Array(200).keys()].map((n) => `c${n + 1}`).sort());
    expect((await events()).filter(({ id }) => id === 'old')).toHaveLength(lines);
    expect(Number(await sh(host, `ls ${LOG}.* | wc -l`))).toBeGreaterThanOrEqual(1);
    expect(Number(await sh(host, `stat -c %s ${LOG}`))).toBeLessThan(MAX_BYTES);
  });

  it.each([
    ['full', 'mount -t tmpfs -o size=4k none /var/log/nethooks; head -c 4096 /dev/zero >/var/log/nethooks/zero || :'],
    ['read-only', 'mount -t tmpfs -o ro none /var/log/nethooks'],
  ])('on a disk that is %s keeps nobody from starting', async (_what, script) => {
    await sh(host, script);
    try {
      await start('web');
      await must(host, ['busybox', 'ping', '-c', '1', '-W', '2', 'web.lxc']);
      await stop('web');
      await must(host, ['nethooks', 'up']);
    } finally {
      await sh(host, 'umount /var/log/nethooks');
    }
  });

  it('is followed, and lines of a shim are understood', async () => {
    await writeFile(host, LOG, '2026-11-21T21:16:15Z start-host web: ended, as it did nothing for 60 s\n');
    const followed = sh(host, 'timeout 3 nethooks logs -f || :');
    await new Promise((resolve) => setTimeout(resolve, 1000));
    await sh(host, 'LXC_NAME=late LXC_HOOK_TYPE=destroy /usr/lib/nethooks/nethooks hook destroy');
    expect(await followed).toMatch(
      /start-host web: failed: ended, as it did nothing for 60 s\n\S+Z .* destroy late: nothing changed/,
    );
  });
});

describeLab('--verbose', () => {
  it('says each program with its time and exit status', async () => {
    const { stdout, stderr } = await nethooks('up', '--verbose');
    expect(stdout).toBe('nothing to change\n');
    expect(stderr).toMatch(/^nethooks: ran nft .* {2}\(exit status 0, [\d.]+ ms\)$/m);
    expect((await nethooks('up')).stderr).toBe('');
  });
});

describeLab('status', () => {
  it('in its other forms; one at a time', async () => {
    await start('web');
    expect(await must(host, ['nethooks', 'status', '--graph'])).toMatch(
      /^any uplink .*\n└─ br0 [\s\S]* web {2}10\.0\.0\.\d+ {2}web\.lxc\n/,
    );
    expect(await must(host, ['nethooks', 'status', '--format', 'prometheus'])).toContain(
      'nethooks_container_running{network="br0",container="web",interface="eth0"} 1\n',
    );
    expect(await must(host, ['nethooks', 'status', '--format', 'mermaid'])).toMatch(/^flowchart LR\n/);
    const status = await must(host, ['nethooks', 'status']);
    expect(status).toMatch(/icc +on/);
    expect(status).toMatch(/port 80\/tcp -> 0\.0\.0\.0:8080/);
    expect(await nethooks('status', '--graph', '--json')).toMatchObject({ code: 2 });
    await stop('web');
  });
});
