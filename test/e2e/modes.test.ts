/** Containers on a network that is not their own: the host's, or another container's. */
import { afterEach, beforeAll, expect, it } from 'vitest';
import type { ThrowawayHost } from '../../src/demo/throwaway.ts';
import {
  BR0,
  commandsOn,
  containerPid,
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
const { start, stop, hookLog } = commandsOn(() => host);
const configure = (...args: string[]) => must(host, ['nethooks', 'configure', ...args]);
const read = (path: string) => must(host, ['cat', path]);
const lxcConfig = (name: string) => read(`/var/lib/lxc/${name}/config`);
const append = (name: string, line: string) => sh(host, 'echo "$2" >>/var/lib/lxc/$1/config', [name, line]);
/** What stands in a container's files: resolv.conf and hosts. */
const files = async (name: string) =>
  sh(host, 'cat /proc/$1/root/etc/resolv.conf /proc/$1/root/etc/hosts', [String(await containerPid(host, name))]);
/** What the user sees of a start that is refused: on a pipe, as on a terminal. */
async function refusedStart(name: string): Promise<string> {
  const said = await sh(host, 'lxc-start -n $1 2>&1 | cat; lxc-info -n $1 -sH', [name]);
  expect(said).toContain('STOPPED');
  return said;
}
const uplink = () => sh(host, 'ip -o -4 address show dev eth0; ip -4 route show default');
const hasNetAdmin = async (name: string) => {
  const bounding = await sh(host, "sed -n 's/^CapBnd:[[:space:]]*//p' /proc/$1/status", [
    String(await containerPid(host, name)),
  ]);
  return ((BigInt(`0x${bounding.trim()}`) >> 12n) & 1n) === 1n;
};

/** Each test begins with containers as they were made. */
async function asMade(): Promise<void> {
  await sh(
    host,
    `for name in client web db third; do
      lxc-stop -k -n $name 2>/dev/null || :
      nethooks configure $name --remove >/dev/null
      cp /root/made/$name /var/lib/lxc/$name/config
    done
    rm -f /var/log/nethooks/hooks.log`,
  );
}

describeLab('modes of a network', () => {
  beforeAll(async () => {
    host = await installedHost({ config: BR0 });
    // Its init starts a DHCP client on eth0, as the template has it; the others start nothing.
    await createContainers(host, ['client']);
    await createContainers(host, ['web', 'db', 'third'], STILL);
    await sh(
      host,
      'mkdir /root/made; for name in client web db third; do cp /var/lib/lxc/$name/config /root/made/$name; done',
    );
  });
  afterEach(asMade);

  it("host: a DHCP client inside leaves the host's uplink as it is", async () => {
    const before = await uplink();
    expect(before).toContain('192.0.2.2/24');
    await configure('client', '--net', 'host');
    await start('client');
    await eventually(() => must(host, ['pgrep', '-x', 'udhcpc']));
    // Without the remedy it is gone within 3 s.
    await new Promise((resolve) => setTimeout(resolve, 10_000));
    expect(await uplink()).toBe(before);
    const flush = ['lxc-attach', '-n', 'client', '--', '/bin/ip', 'address', 'flush', 'dev', 'eth0'];
    expect((await host.run(flush)).code).not.toBe(0);
    expect(await uplink()).toBe(before);
    await stop('client');
    await configure('client', '--net', 'bridge');
    expect(await lxcConfig('client')).toBe(await read('/root/made/client'));
    await start('client');
    expect(await hasNetAdmin('client')).toBe(true);
  }, 30_000);

  it('host: a container that has CAP_NET_ADMIN by its configuration is refused, unless it is to have it', async () => {
    const before = await uplink();
    await append('client', 'lxc.net =\nlxc.net.0.type = none');
    expect(await refusedStart('client')).toContain(
      "nethooks: container client was not started: it is on the host's network with CAP_NET_ADMIN: a DHCP client in it would take the " +
        "host's addresses away; `nethooks configure client --net host` drops that capability, as `lxc.cap.drop = net_admin` does; " +
        '`--net-admin` keeps it',
    );
    expect(await uplink()).toBe(before);
    // Each way out.
    await append('client', 'lxc.cap.drop = net_admin');
    await start('client');
    expect(await hasNetAdmin('client')).toBe(false);
    await stop('client');
    await append('client', `lxc.cap.drop =\n${STILL}`);
    await refusedStart('client');
    await configure('client', '--net-admin');
    await start('client');
    expect(await hasNetAdmin('client')).toBe(true);
    await stop('client');
    await configure('client', '--no-net-admin');
    await sh(host, "sed -i 's|lxc/start-host|& --net-admin|' /var/lib/lxc/client/config");
    await start('client');
    expect(await hasNetAdmin('client')).toBe(true);
    expect(await uplink()).toBe(before);
  });

  it('host: of the capabilities that are kept it loses one; a line behind the block that gives it back is refused', async () => {
    await sh(host, "sed -i '/^lxc.cap.drop/d' /var/lib/lxc/web/config");
    await append('web', 'lxc.cap.keep = chown net_admin\nlxc.cap.keep = setuid');
    const error = await host.run(['nethooks', 'configure', 'web', '--net', 'host']);
    expect(error.code).toBe(1);
    expect(error.stderr).toMatch(
      /^nethooks: \/var\/lib\/lxc\/web\/config:\d+: lxc\.cap\.keep = chown net_admin: stands behind what nethooks writes, and gives CAP_NET_ADMIN back; allowed: above the line "# nethooks begin", or not at all; or `--net-admin`\n$/,
    );
    await sh(
      host,
      `cd /var/lib/lxc/web; sed -i '/^lxc.cap.keep/d' config
      { printf 'lxc.cap.keep = chown net_admin\\nlxc.cap.keep = setuid\\n'; cat config; } >new; mv new config`,
    );
    await configure('web', '--net', 'host');
    await start('web');
    expect(await sh(host, 'grep CapBnd /proc/$1/status', [String(await containerPid(host, 'web'))])).toMatch(
      / *0{14}81$/m,
    );
  });

  it("container: has what the other one's hosts and resolv.conf say, at its start and whenever they change", async () => {
    await configure(
      'db',
      '--hostname',
      'shop',
      '--add-host',
      'gw:host-gateway',
      '--dns-search',
      'a.example',
      '--link',
      'third:cache',
    );
    await start('db');
    await configure('web', '--net', 'container:db');
    await start('web');
    expect(await files('db')).toContain('shop');
    expect(await files('web')).toBe(await files('db'));
    expect(await hasNetAdmin('web')).toBe(false);

    await configure('db', '--add-host', 'x.example:192.0.2.9', '--dns', '192.0.2.53');
    expect(await files('db')).toMatch(/nameserver 192\.0\.2\.53\n[\s\S]*192\.0\.2\.9 x\.example\n/);
    expect(await files('web')).toBe(await files('db'));
    // A link's child comes.
    await start('third');
    expect(await files('db')).toMatch(/ cache third\n/);
    expect(await files('web')).toBe(await files('db'));

    // What it says itself goes before.
    await configure('web', '--add-host', 'mine:192.0.2.7', '--hostname', 'inner');
    expect(await files('web')).toMatch(
      /10\.0\.0\.\d+ inner\n10\.0\.0\.\d+ shop\n192\.0\.2\.7 mine\n10\.0\.0\.\d+ cache third\n/,
    );
    expect(await inContainer(host, 'web', ['/bin/hostname'])).toBe('inner\n');
    await configure('web', '--no-extra-host', '--no-hostname');
    expect(await files('web')).toBe(await files('db'));
    expect(await must(host, ['nethooks', 'ps'])).toMatch(/^web\s+lxc\s+running\s+-\s+container:db\s/m);

    await stop('web');
    await configure('web', '--net', 'bridge');
    await start('web');
    expect(await files('web')).not.toContain('shop');
    expect(await hasNetAdmin('web')).toBe(true);
    expect(await sh(host, 'find /run/nethooks/links -name web')).toBe('');
  });

  it("container: one that is on a third one's network in turn has what that one has", async () => {
    await configure('db', '--hostname', 'shop');
    await configure('web', '--net', 'container:db');
    await configure('third', '--net', 'container:web');
    for (const name of ['db', 'web', 'third']) await start(name);
    expect(await files('third')).toBe(await files('db'));
    await configure('db', '--add-host', 'x.example:192.0.2.9');
    expect(await files('third')).toContain('x.example');
    expect(await files('third')).toBe(await files('db'));
    const circle = await host.run(['nethooks', 'configure', 'db', '--net', 'container:third']);
    expect(circle).toMatchObject({
      code: 2,
      stderr: 'nethooks: --net container:third: in a circle: db -> third -> web -> db\n',
    });
    // Started anew the other one is on a new network: nobody else is on it.
    await stop('db');
    await start('db');
    const before = await files('web');
    await configure('db', '--add-host', 'y.example:192.0.2.9');
    expect(await files('web')).toBe(before);
    expect(await hookLog()).toBe('');
  });

  it('container: says why it does not start while the other one does not run', async () => {
    await configure('web', '--net', 'container:db');
    expect(await refusedStart('web')).toContain(
      'nethooks: container web was not started: it is on the network of container db, which is not running; `lxc-start db` goes before',
    );
    expect((await host.run(['nethooks', 'status'])).stderr).toContain('which is not running');
    await start('db');
    await start('web');
    expect((await host.run(['nethooks', 'status'])).stderr).toBe('');
  });

  it('container: one that was killed leaves nothing behind', async () => {
    await configure('web', '--net', 'container:db');
    await start('db');
    await start('web');
    const pid = await containerPid(host, 'web');
    await sh(
      host,
      'kill -KILL $(sed -n "s/^PPid:[[:space:]]*//p" /proc/$1/status) $1; while [ -e /proc/$1 ]; do sleep 0.02; done',
      [String(pid)],
    );
    await must(host, ['nethooks', 'gc']);
    expect(await sh(host, 'find /run/nethooks/links /run/nethooks/attachments -name "*web*"')).toBe('');
    await start('web');
    expect(await files('web')).toBe(await files('db'));
  });
});
