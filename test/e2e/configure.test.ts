import { afterEach, beforeAll, expect, it } from 'vitest';
import type { ThrowawayHost } from '../../src/demo/throwaway.ts';
import {
  commandsOn,
  containerPid,
  createContainer,
  createContainers,
  describeLab,
  eventually,
  installNethooks,
  labHost,
  must,
  STILL,
  sh,
  writeFile,
} from '../lab/lab.ts';

const CONFIG = `
[network.br0]
address = 10.0.0.1/24
[network.br1]
address = 10.1.0.1/24
domain = two
`;

let host: ThrowawayHost;
const { start, stop, resolved, hookLog } = commandsOn(() => host);
const read = (path: string) => must(host, ['cat', path]);
const lxcConfig = (name: string) => read(`/var/lib/lxc/${name}/config`);
const options = (name: string) => read(`/etc/nethooks/containers/${name}.ini`);
const pid = async (name: string) => String(await containerPid(host, name));
const inside = async (name: string, argv: string[]) =>
  must(host, ['nsenter', '-t', await pid(name), '-n', '--', ...argv]);
const file = async (name: string, path: string) => read(`/proc/${await pid(name)}/root${path}`);
const configure = (...args: string[]) => must(host, ['nethooks', 'configure', ...args]);
/** What is said when it is refused; everything stays as it is. */
async function refused(...args: string[]): Promise<string> {
  const state = () =>
    sh(
      host,
      'cat /etc/nethooks/containers/* /var/lib/lxc/*/config /var/lib/nethooks/env/* 2>/dev/null || true; nft list table inet nethooks',
    );
  const before = await state();
  const { code, stderr, stdout } = await host.run(['nethooks', 'configure', ...args]);
  expect(`${code} ${stdout}`).toMatch(/^[12] $/);
  expect(await state()).toBe(before);
  return stderr;
}
const published = () => must(host, ['nft', 'list', 'map', 'inet', 'nethooks', 'published']);

describeLab('nethooks configure', () => {
  beforeAll(async () => {
    host = await labHost({ dns: true });
    // Made before nethooks was there.
    await createContainers(host, ['old', 'older'], STILL);
    await sh(
      host,
      'mkdir /root/before; for name in old older; do cp -p /var/lib/lxc/$name/config /root/before/$name; done',
    );
    await installNethooks(host, { config: CONFIG });
    await createContainers(host, ['web', 'db'], STILL);
  });
  afterEach(async () => {
    await sh(
      host,
      'for name in $(lxc-ls --running); do lxc-stop -k -n "$name"; done; for name in $(lxc-ls -1); do nethooks configure "$name" --remove >/dev/null; done; rm -f /etc/nethooks/containers/*',
    );
  });

  it('adopts a container that was there before, once, and gives it back byte for byte', async () => {
    expect(await must(host, ['nethooks', 'configure', 'old', '--dry-run'])).toContain('+ lxc.net.0.link = br0');
    expect(await sh(host, 'cmp /var/lib/lxc/old/config /root/before/old && echo same')).toBe('same\n');
    await configure('old');
    expect(await sh(host, 'cmp /var/lib/lxc/old/config.nethooks-backup /root/before/old && echo same')).toBe('same\n');
    await start('old');
    expect(await resolved('old.lxc')).toMatch(/^10\.0\.0\./);
    await sh(host, 'busybox ping -c 1 -W 1 old.lxc');
    await stop('old');
    const adopted = await lxcConfig('old');
    expect(await configure('old')).toBe('nothing to change\n');
    expect(await lxcConfig('old')).toBe(adopted);
    await configure('old', '--remove');
    expect(await sh(host, 'cmp /var/lib/lxc/old/config /root/before/old && echo same; ls /var/lib/lxc/old')).toBe(
      'same\nconfig\nrootfs\n',
    );
    expect(await configure('old', '--remove')).toBe('nothing to change\n');
  });

  it('--all adopts every container, says why not, and changes nothing the second time', async () => {
    await createContainer(host, 'ancient', STILL);
    await sh(host, 'printf "lxc.network.type = veth\\n" >>/var/lib/lxc/ancient/config');
    const { code, stderr } = await host.run(['nethooks', 'configure', '--all']);
    expect(code).toBe(1);
    expect(stderr).toContain('ancient: it is written for LXC before 2.1');
    for (const name of ['old', 'older'])
      expect(await lxcConfig(name)).toContain('lxc.hook.start-host = /usr/lib/nethooks');
    await must(host, ['lxc-destroy', '-n', 'ancient']).catch(() => sh(host, 'rm -r /var/lib/lxc/ancient'));
    const again = JSON.parse(await must(host, ['nethooks', 'configure', '--all', '--json'])) as { steps: unknown[] }[];
    expect(again.map(({ steps }) => steps.length)).toEqual([0, 0, 0, 0]);
    await sh(
      host,
      'lxc-start -n old; lxc-start -n older; busybox ping -c 1 -W 1 old.lxc; busybox ping -c 1 -W 1 older.lxc',
    );
  });

  it('--remove keeps what somebody has changed in the meantime', async () => {
    await configure('old', '--net', 'none');
    await sh(host, 'printf "lxc.environment = MINE=1\\n" >>/var/lib/lxc/old/config');
    await configure('old', '--remove');
    expect(await lxcConfig('old')).toBe(`${await read('/root/before/old')}lxc.environment = MINE=1\n`);
    await sh(host, 'cp -p /root/before/old /var/lib/lxc/old/config');
  });

  it('reads CRLF and quotes as LXC does, and gives such a file back byte for byte', async () => {
    const included = '/var/lib/lxc/hooks.conf';
    const hooks = ['start-host', 'post-stop', 'clone', 'destroy'].map(
      (hook) => `lxc.hook.${hook} = '/usr/lib/nethooks/lxc/${hook}'`,
    );
    const quoted = (text: string) => text.replace(/^(lxc\.\S+) = (.*)$/gm, '$1 = "$2"').replaceAll('\n', '\r\n');
    await writeFile(host, included, `${['lxc.hook.version = 1', ...hooks].join('\r\n')}\r\n`);
    const text = quoted(
      `${await read('/root/before/old')}lxc.net.0.type = veth\nlxc.net.0.link = br0\nlxc.net.0.flags = up\nlxc.include = ${included}\n`,
    );
    await writeFile(host, '/var/lib/lxc/old/config', text);
    expect(await configure('old')).toBe('nothing to change\n');
    await start('old');
    expect(await resolved('old.lxc')).toMatch(/^10\.0\.0\./);
    await stop('old');
    await configure('old', '--network', 'br1');
    await configure('old', '--remove');
    expect(await lxcConfig('old')).toBe(text);
    await writeFile(host, '/var/lib/lxc/old/config', `${text}lxc.namespace.share.net = "older"\r\n`);
    expect(await configure('old')).toBe('nothing to change\n');
    expect(await configure('old', '--net', 'bridge')).toContain('+ lxc.namespace.share.net =');
    await sh(host, `cp -p /root/before/old /var/lib/lxc/old/config; rm -f /var/lib/lxc/old/config.* ${included}`);
  });

  it('takes addresses of another network out of force, and gives them back', async () => {
    await sh(
      host,
      'printf "lxc.net.0.ipv4.address = 192.168.77.5/24\\nlxc.net.0.ipv4.gateway = 192.168.77.1\\n" >>/var/lib/lxc/older/config; cp /var/lib/lxc/older/config /root/before/static',
    );
    await configure('older');
    await start('older');
    const addresses = await inside('older', ['ip', '-4', '-o', 'address', 'show', 'eth0']);
    expect(addresses).not.toContain('192.168.77.5');
    expect(await inside('older', ['ip', 'route', 'show', 'default'])).toContain('via 10.0.0.1');
    await stop('older');
    await configure('older', '--remove');
    expect(await sh(host, 'cmp /var/lib/lxc/older/config /root/before/static && echo same')).toBe('same\n');
    await sh(host, 'cp -p /root/before/older /var/lib/lxc/older/config');
  });

  it("leaves the interface alone of a container whose network another one shares, whatever that one's lxc.net lines say", async () => {
    await configure('db', '--dns-opt', 'rotate');
    await start('db');
    const address = await resolved('db.lxc');
    const before = await inside('db', ['ip', '-4', '-o', 'address', 'show', 'eth0']);
    const text = await lxcConfig('web');
    await sh(host, 'printf "lxc.namespace.share.net = \\"db\\"\\r\\n" >>/var/lib/lxc/web/config');
    await start('web');
    expect(await inside('db', ['ip', '-4', '-o', 'address', 'show', 'eth0'])).toBe(before);
    expect(await resolved('db.lxc')).toBe(address);
    expect(await file('web', '/etc/resolv.conf')).toBe('search lxc\nnameserver 10.0.0.1\noptions rotate\n');
    await stop('web');
    await writeFile(host, '/var/lib/lxc/web/config', text);
  });

  it('modes: none, host, another container, and back to a bridge', async () => {
    const original = await lxcConfig('web');
    await configure('web', '--net', 'none');
    await start('web');
    expect(await inside('web', ['ip', '-br', 'link'])).toMatch(/^lo\s+\S+\s+[\s\S]*$/);
    expect(await inside('web', ['ip', '-br', 'link'])).not.toContain('eth');
    await stop('web');

    await configure('web', '--net=host');
    const addresses = await sh(host, 'ip -4 -o address');
    await start('web');
    expect(await inside('web', ['ip', '-4', '-o', 'address'])).toBe(addresses);
    await stop('web');

    await start('db');
    await configure('web', '--net', 'container:db');
    await start('web');
    const namespace = async (name: string) =>
      read(`/dev/null`).then(async () => must(host, ['readlink', `/proc/${await pid(name)}/ns/net`]));
    expect(await namespace('web')).toBe(await namespace('db'));
    expect(await file('web', '/etc/resolv.conf')).toBe(await file('db', '/etc/resolv.conf'));
    await stop('web');

    await configure('web', '--net', 'bridge:br1');
    await start('web');
    expect(await resolved('web.two')).toMatch(/^10\.1\.0\./);
    await stop('web');
    await configure('web', '--net', 'bridge:br0');
    expect(await lxcConfig('web')).toBe(original);
    await start('web');
    expect(await resolved('web.lxc')).toMatch(/^10\.0\.0\./);
  });

  it('several networks: --nic N --network puts a further interface on one', async () => {
    await configure('web', '--nic', '1', '--network', 'br1', '--address', '10.1.0.50');
    expect(await options('web')).toContain('[net.1]\n');
    await start('web');
    expect(await resolved('web.two')).toBe('10.1.0.50');
    expect(await resolved('web.lxc')).toMatch(/^10\.0\.0\./);
    await stop('web');
    await configure('web', '--nic', '1', '--no-network', '--no-address');
    expect((await host.run(['ls', '/etc/nethooks/containers/web.ini'])).code).not.toBe(0);
    expect(await lxcConfig('web')).not.toContain('br1');
  });

  it('changes a running container at once: exactly the difference, and back', async () => {
    await start('web');
    const address = await resolved('web.lxc');
    const resolvConf = await file('web', '/etc/resolv.conf');
    await configure(
      'web',
      '--publish',
      '8080:80',
      '-p',
      '127.0.0.1:8081:81',
      '--network-alias',
      'www',
      '--hostname',
      'shop.example',
      '--mtu',
      '1400',
    );
    await configure('web', '--dns-search', 'a.example', '--dns-opt', 'ndots:2', '--add-host', 'x.example:192.0.2.1');
    expect(await published()).toContain(`tcp . 8080 : ${address} . 80`);
    expect(await must(host, ['nft', 'list', 'map', 'inet', 'nethooks', 'published_at'])).toContain(
      '127.0.0.1 . tcp . 8081',
    );
    expect(await resolved('www.lxc')).toBe(address);
    expect(await must(host, ['nsenter', '-t', await pid('web'), '-u', 'hostname'])).toBe('shop.example\n');
    expect(await file('web', '/etc/hosts')).toContain(`${address} shop.example shop\n192.0.2.1 x.example\n`);
    expect(await file('web', '/etc/resolv.conf')).toBe('search a.example\nnameserver 10.0.0.1\noptions ndots:2\n');
    expect(await inside('web', ['ip', 'link', 'show', 'eth0'])).toContain('mtu 1400');

    await configure(
      'web',
      '--publish',
      '8080:80',
      '--publish-rm',
      '127.0.0.1:8081:81',
      '--no-aliases',
      '--unset',
      'mtu',
    );
    expect(await published()).toContain(`tcp . 8080 : ${address} . 80`);
    expect(await must(host, ['nft', 'list', 'map', 'inet', 'nethooks', 'published_at'])).not.toContain('8081');
    await eventually(async () => expect(await resolved('www.lxc')).toBe(''));
    expect(await inside('web', ['ip', 'link', 'show', 'eth0'])).toContain('mtu 1500');

    await configure('web', '--remove');
    expect(await published()).not.toContain('8080');
    expect(await file('web', '/etc/resolv.conf')).toBe(resolvConf);
    // It had none; what stays says no more than every system's.
    expect(await file('web', '/etc/hosts')).toBe('127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n');
    expect(await sh(host, 'ls /run/nethooks/ports 2>/dev/null || true')).toBe('');
    expect(await hookLog()).toBe('');
  });

  it('-p adds, in short or long form, --publish-rm takes out; 0 and a bare port are any', async () => {
    await start('web');
    await configure('web', '-p', 'published=8080,target=80,protocol=udp,host_ip=192.0.2.2');
    await configure('web', '-p', '0:81', '-p', '82');
    await configure('web', '-p', '192.0.2.2:8080:80/udp');
    expect(await options('web')).toContain(
      'publish[] = published=8080,target=80,protocol=udp,host_ip=192.0.2.2\npublish[] = 0:81\npublish[] = 82\n',
    );
    const ports = await must(host, ['nethooks', 'port', 'web']);
    expect(ports).toMatch(/^80\/udp -> 192\.0\.2\.2:8080\n81\/tcp -> 0\.0\.0\.0:\d{5}\n82\/tcp -> 0\.0\.0\.0:\d{5}\n$/);
    await configure('web', '--publish-rm', '192.0.2.2:8080:80/udp', '--publish-rm', '81', '-p', '8083:83');
    expect(await must(host, ['nethooks', 'port', 'web'])).toMatch(
      /^82\/tcp -> 0\.0\.0\.0:\d{5}\n83\/tcp -> 0\.0\.0\.0:8083\n$/,
    );
    await stop('web');
    await writeFile(host, '/etc/nethooks/containers/web.ini', 'publish = published=8084,target=84, 8085:85\n');
    await configure('web', '--publish-rm', '8085:85');
    expect(await options('web')).toBe('publish[] = published=8084,target=84\n');
    await start('web');
    expect(await must(host, ['nethooks', 'port', 'web'])).toBe('84/tcp -> 0.0.0.0:8084\n');
    await configure('web', '--unset', 'publish');
    expect(await must(host, ['nethooks', 'port', 'web'])).toBe('');
  });

  it('--remove takes what is ours out of the files of a stopped container, too', async () => {
    const etc = '/var/lib/lxc/old/rootfs/etc';
    await sh(host, `printf '127.0.0.1 localhost\n' >${etc}/hosts; echo mine >${etc}/hostname`);
    await configure('old', '--hostname', 'shop', '--add-host', 'x.example:192.0.2.1');
    await start('old');
    await stop('old');
    expect(await read(`${etc}/hosts`)).toContain('192.0.2.1 x.example');
    await configure('old', '--remove');
    expect(await read(`${etc}/hosts`)).toBe('127.0.0.1 localhost\n');
    expect(await read(`${etc}/hostname`)).toBe('mine\n');
    expect(await configure('old', '--remove')).toBe('nothing to change\n');
  });

  it('says which line behind its own keeps a container where it is', async () => {
    const text = await lxcConfig('web');
    await writeFile(host, '/var/lib/lxc/web/config', `${text}lxc.net.0.link = lxcbr0\n`);
    const line = text.trimEnd().split('\n').length + 1;
    expect(await refused('web', '--net', 'bridge:br1')).toContain(
      `/var/lib/lxc/web/config:${line}: lxc.net.0.link = lxcbr0: stands behind what nethooks writes`,
    );
    expect(await refused('web')).toContain('stands behind');
    await writeFile(host, '/var/lib/lxc/web/config', text);
  });

  it('what it has said stays said over a restart', async () => {
    await configure('web', '--publish', '8080:80', '--aliases', 'www');
    await start('web');
    await stop('web');
    await start('web');
    expect(await published()).toContain('tcp . 8080');
    expect(await resolved('www.lxc')).toBe(await resolved('web.lxc'));
  });

  it('what a person wrote into the file stays as it is', async () => {
    const text = '; my own\nhostname   = mine ; because\n\npublish[] = 81:81\n[net.0]\nmtu = 1400\n';
    await writeFile(host, '/etc/nethooks/containers/web.ini', text);
    await configure('web', '--publish', '82:82', '--publish', '83:83', '--dns', '192.0.2.1');
    expect(await options('web')).toBe(
      '; my own\nhostname   = mine ; because\n\npublish[] = 81:81\npublish[] = 82:82\npublish[] = 83:83\ndns[] = 192.0.2.1\n[net.0]\nmtu = 1400\n',
    );
    await configure('web', '--no-publish', '--no-dns');
    expect(await options('web')).toBe('; my own\nhostname   = mine ; because\n\n[net.0]\nmtu = 1400\n');
  });

  it('links: variables are in the environment from the next start on, and a clone has its own', async () => {
    await sh(host, 'printf "lxc.environment = PASSWORD=secret\\n" >>/var/lib/lxc/db/config');
    await configure('db', '--expose', '5432', '--address', '10.0.0.60');
    await start('db');
    await configure('web', '--link', 'db:database');
    await start('web');
    const environment = async (name: string) =>
      (await sh(host, `tr '\\0' '\\n' </proc/${await pid(name)}/environ`)).split('\n');
    expect(await environment('web')).toEqual(
      expect.arrayContaining([
        'DATABASE_NAME=/web/database',
        'DATABASE_PORT=tcp://10.0.0.60:5432',
        'DATABASE_PORT_5432_TCP=tcp://10.0.0.60:5432',
        'DATABASE_PORT_5432_TCP_ADDR=10.0.0.60',
        'DATABASE_PORT_5432_TCP_PORT=5432',
        'DATABASE_PORT_5432_TCP_PROTO=tcp',
        'DATABASE_ENV_PASSWORD=secret',
      ]),
    );
    expect(await file('web', '/etc/hosts')).toContain('10.0.0.60 database db\n');
    await configure('db', '--expose', '5433');
    expect(await read('/var/lib/nethooks/env/web.conf')).toContain('DATABASE_PORT=tcp://10.0.0.60:5433');
    await stop('web');
    await must(host, ['lxc-copy', '-n', 'web', '-N', 'twin']);
    expect(await lxcConfig('twin')).not.toContain('/var/lib/nethooks/env/web.conf');
    await start('twin');
    expect(await environment('twin')).toContain('DATABASE_NAME=/twin/database');
    await sh(host, 'lxc-stop -k -n twin; lxc-destroy -n twin');
    await configure('web', '--no-link');
    expect(await sh(host, 'ls /var/lib/nethooks/env')).toBe('');
    await start('web');
    await sh(host, "sed -i '/PASSWORD/d' /var/lib/lxc/db/config");
  });

  it('refuses what is wrong, with the words that are, and changes nothing', async () => {
    await configure('db', '--aliases', 'database', '--address', '10.0.0.60', '--link', 'web');
    await start('db');
    await start('web');
    for (const [args, why] of [
      [['web', '--publish', '80:'], 'publish 80:: the container port is missing'],
      [['web', '--publish', '8080:80', '--publish', '8080:81'], 'asked for twice'],
      [['web', '--publish', '[::1]:80:80'], '[::1]:80:80'],
      [['web', '--hostname', '-x'], '--hostname'],
      [['web', '--hostname', 'a_b'], '--hostname a_b: allowed: a host name (RFC 1123)'],
      [['web', '--aliases', 'database'], "the name database is container db's already"],
      [['web', '--aliases', 'db'], "the name db is container db's already"],
      [['web', '--link', 'web:me'], 'link web: the container itself'],
      [['web', '--link', 'nobody'], 'link nobody:nobody: there is no container nobody'],
      [['web', '--link', 'db'], 'links in a circle: web -> db -> web'],
      [['web', '--address', '10.0.0.60'], 'address = 10.0.0.60: held by lxc-db'],
      [['web', '--address', '192.0.2.1'], "not a container's address in 10.0.0.0/24"],
      [['web', '--dns', 'one.example'], '--dns one.example: allowed: up to 3 IP addresses'],
      [
        [
          'web',
          '--dns-search',
          `${'a'.repeat(60)}.${'b'.repeat(60)}`,
          '--dns-search',
          `${'c'.repeat(60)}.${'d'.repeat(60)}`,
          '--dns-search',
          'e'.repeat(20),
        ],
        '256 characters',
      ],
      [
        ['web', '--network', 'br9'],
        '--net br9: allowed: bridge, bridge:NETWORK (br0, br1), none, host, container:NAME',
      ],
      [['web', '--net', 'container:web'], 'the container itself'],
      [['web', '--net', 'container:nobody'], 'there is no container "nobody"'],
      [
        ['web', '--net', 'none', '--publish', '80:80'],
        '--net none: the container has publish set, which needs a bridge',
      ],
      [['nobody'], 'there is no container "nobody" in /var/lib/lxc; there: db, old, older, web'],
      [['../web'], 'there is no container "../web"'],
      [['web', '--unset', 'colour'], '--unset colour: unknown; allowed: network, address, mtu'],
      [['web', '--publish-rm', '8080:80'], '--publish-rm 8080:80: is not published; allowed: nothing, as nothing is'],
      [['web', '--publish-rm', '80:'], 'publish 80:: the container port is missing'],
      [['web', '--publish', 'published=8080'], 'publish published=8080: target is missing; allowed: target=PORT'],
      [['web', '--remove', '--publish-rm', '80'], '--remove: takes everything out'],
      [['web', '--colour', 'red'], "unknown option '--colour'"],
      [[], 'allowed: the name of one container, or --all'],
    ] as [string[], string][])
      expect(await refused(...args), args.join(' ')).toContain(why);
  });

  it('a port that somebody has is refused, and the files are as before', async () => {
    await start('db');
    await start('web');
    await configure('db', '--publish', '8080:80');
    expect(await refused('web', '--publish', '8080:80')).toMatch(/8080.*db/);
    await configure('web', '--publish', '9090:90');
    expect(await refused('web', '--publish', '8080:80')).toMatch(/8080.*db/);
    expect(await published()).toContain('tcp . 9090');
  });

  it('what it wrote goes with the container', async () => {
    await createContainer(host, 'brief', STILL);
    await configure('brief', '--publish', '8080:80', '--aliases', 'short', '--link', 'db');
    await start('db');
    await start('brief');
    await stop('brief');
    await must(host, ['lxc-destroy', '-n', 'brief']);
    expect(
      await sh(
        host,
        'cd / && find etc/nethooks run/nethooks var/lib/nethooks var/lib/cni -name "*brief*" -o -name "*short*"',
      ),
    ).toBe('');
  });
});
