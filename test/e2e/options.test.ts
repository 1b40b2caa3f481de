import { afterEach, beforeAll, expect, it } from 'vitest';
import type { ThrowawayHost } from '../../src/demo/throwaway.ts';
import {
  commandsOn,
  containerPid,
  createContainer,
  describeLab,
  eventually,
  inContainer,
  installedHost,
  must,
  STILL,
  sh,
  writeFile,
} from '../lab/lab.ts';
import { ask, serve } from '../lab/traffic.ts';

/** A container whose init starts nothing: what it has comes from the hook alone. */
const CONFIG = `
[host]
dns-option = timeout:2
[network.br0]
address = 10.0.0.1/24
dhcp = 10.0.0.100-10.0.0.200
[network.br1]
address = 10.1.0.1/24
domain = two
dns-search = corp.example
extra-host = proxy.example:192.0.2.9
`;

let host: ThrowawayHost;
const { start, stop, resolved, hookLog } = commandsOn(() => host);
const clearLog = () => sh(host, 'rm -f /var/log/nethooks/hooks.log');
const options = (name: string, ini: string) => writeFile(host, `/etc/nethooks/containers/${name}.ini`, ini);
const forgetOptions = (name: string) => sh(host, 'rm -f "/etc/nethooks/containers/$1.ini"', [name]);
const read = (path: string) => must(host, ['cat', path]);
/** A file of a running container's. */
const file = async (name: string, path: string) =>
  must(host, ['cat', `/proc/${await containerPid(host, name)}/root${path}`]);
const inside = async (name: string, argv: string[]) =>
  must(host, ['nsenter', '-t', String(await containerPid(host, name)), '-n', '-u', '--', ...argv]);
/** Starts a container that must be refused; what the hook had to say. */
async function refused(name: string): Promise<string> {
  await clearLog();
  expect((await host.run(['lxc-start', '-n', name])).code).not.toBe(0);
  const said = await hookLog();
  await clearLog();
  return said;
}

describeLab("A container's options", () => {
  beforeAll(async () => {
    host = await installedHost({
      dns: true,
      config: CONFIG,
      containers: ['web', 'db', 'other'],
      containerConfig: STILL,
    });
  });

  // A test that fails leaves its containers running, which would make the next one fail too.
  afterEach(async () => {
    await sh(
      host,
      'for name in $(lxc-ls --running); do lxc-stop -k -n "$name"; done; rm -f /etc/nethooks/containers/*.ini',
    );
  });

  it('cost nothing when there are none: no cache, no log', async () => {
    await start('web');
    expect((await host.run(['ls', '/run/nethooks/options'])).code).not.toBe(0);
    expect(await file('web', '/etc/resolv.conf')).toBe('search lxc\nnameserver 10.0.0.1\noptions timeout:2\n');
    expect(await hookLog()).toBe('');
    await stop('web');
  });

  it('dns, dns-search and dns-option are written to its resolv.conf', async () => {
    await options('web', 'dns = 192.0.2.53, 192.0.2.54\ndns-search[] = a.example\ndns-search[] = b.example\n');
    await start('web');
    expect(await file('web', '/etc/resolv.conf')).toBe(
      'search a.example b.example\nnameserver 192.0.2.53\nnameserver 192.0.2.54\noptions timeout:2\n',
    );
    await stop('web');
    await options('web', 'dns-search = .\ndns-option = ndots:3, rotate\n');
    await start('web');
    expect(await file('web', '/etc/resolv.conf')).toBe('nameserver 10.0.0.1\noptions ndots:3 rotate\n');
    await stop('web');
    await forgetOptions('web');
  });

  it('hostname and extra-host are its own: in its files and its kernel, not in DNS', async () => {
    await sh(host, 'printf "127.0.0.1 localhost\\n" >/var/lib/lxc/web/rootfs/etc/hosts');
    await options(
      'web',
      'hostname = shop.example.com\nextra-host[] = api.example:192.0.2.7\nextra-host[] = gate:host-gateway\n',
    );
    await start('web');
    const address = await resolved('web.lxc');
    expect(await file('web', '/etc/hosts')).toBe(
      `# nethooks begin\n${address} shop.example.com shop\n192.0.2.7 api.example\n10.0.0.1 gate\n# nethooks end\n127.0.0.1 localhost\n`,
    );
    expect(await file('web', '/etc/hostname')).toBe('shop.example.com\n');
    expect(await inside('web', ['hostname'])).toBe('shop.example.com\n');
    expect(await resolved('shop.lxc')).toBe('');
    expect(await must(host, ['hostname'])).not.toContain('shop');
    await stop('web');
    await forgetOptions('web');
    await start('web');
    expect(await file('web', '/etc/hosts')).toBe('127.0.0.1 localhost\n');
    expect(await file('web', '/etc/hostname')).not.toContain('shop');
    expect(await hookLog()).toBe('');
    await stop('web');
  });

  it('aliases answer; one that somebody has is not given, and the log names the holder', async () => {
    await options('web', 'aliases = www, www2.shop\n');
    await options('other', 'aliases = www, mine\n');
    await start('web');
    await start('other');
    const address = await resolved('web.lxc');
    expect(await resolved('www.lxc')).toBe(address);
    expect(await resolved('www2.shop.lxc')).toBe(address);
    expect(await resolved('mine.lxc')).toBe(await resolved('other.lxc'));
    expect(await hookLog()).toMatch(/start-host other: the name www\.lxc is held by container web: /);
    await stop('web');
    await eventually(async () => expect(await resolved('www.lxc')).toBe(''));
    await stop('other');
    await start('other');
    expect(await resolved('www.lxc')).toBe(await resolved('other.lxc'));
    await stop('other');
    await sh(host, 'rm /etc/nethooks/containers/*.ini; rm -f /var/log/nethooks/hooks.log');
  });

  it('address is static, or what its own DHCP client gets', async () => {
    await options('web', 'address = 10.0.0.77\n');
    await start('web');
    expect(await resolved('web.lxc')).toBe('10.0.0.77');
    expect(await inside('web', ['ip', '-4', '-br', 'address', 'show', 'eth0'])).toContain('10.0.0.77/24');
    await options('other', 'address = 10.0.0.77\n');
    expect(await refused('other')).toMatch(/10\.0\.0\.77.*lxc-web/);
    await stop('web');
    for (const [address, why] of [
      ['10.9.0.5', "not a container's address in 10.0.0.0/24"],
      ['10.0.0.1', "not a container's address"],
      ['10.0.0.300', 'allowed: auto, dhcp, or an IPv4 address'],
    ]) {
      await options('other', `address = ${address}\n`);
      expect(await refused('other')).toContain(why);
    }
    await sh(host, 'rm /etc/nethooks/containers/*.ini');
    await createContainer(host, 'client');
    await options('client', 'address = dhcp\nmtu = 1400\n');
    await start('client');
    const address = await resolved('client.lxc');
    await eventually(async () =>
      expect(await inContainer(host, 'client', ['ip', '-4', 'address', 'show', 'eth0'])).toContain(`${address}/24`),
    );
    expect(await inContainer(host, 'client', ['ip', 'link', 'show', 'eth0'])).toContain('mtu 1400');
    await sh(host, 'lxc-stop -k -n client; lxc-destroy -n client; rm /etc/nethooks/containers/*.ini');
    expect(await hookLog()).toBe('');
  });

  it('mtu is set inside; without it the interface has the bridge’s', async () => {
    await options('web', 'mtu = 1400\n');
    await start('web');
    expect(await inside('web', ['ip', 'link', 'show', 'eth0'])).toContain('mtu 1400');
    expect(await must(host, ['ip', 'link', 'show', 'br0'])).toContain('mtu 1500');
    await stop('web');
    await forgetOptions('web');
  });

  it('several networks, each with its own bridge, address and domain', async () => {
    await createContainer(host, 'two', `${STILL}\nlxc.net.1.type = veth\nlxc.net.1.link = br1\nlxc.net.1.flags = up\n`);
    await options('two', 'address = 10.0.0.70\n[net.1]\nnetwork = br1\naddress = 10.1.0.70\nmtu = 1300\n');
    await start('two');
    expect(await resolved('two.lxc')).toBe('10.0.0.70');
    expect(await resolved('two.two')).toBe('10.1.0.70');
    const links = await inside('two', ['ip', '-4', 'address']);
    expect(links).toContain('10.0.0.70/24');
    expect(links).toContain('10.1.0.70/24');
    expect(await inside('two', ['ip', 'link', 'show', 'eth1'])).toContain('mtu 1300');
    expect(await inside('two', ['ip', 'route', 'show', 'default'])).toContain('via 10.0.0.1 dev eth0');
    await sh(host, 'busybox ping -c 1 -W 1 10.0.0.70; busybox ping -c 1 -W 1 10.1.0.70');
    await stop('two');
    await options('two', '[net.1]\nnetwork = br0\n');
    expect(await refused('two')).toContain('network = br0: lxc.net.1 is on br1');
    await sh(host, 'lxc-destroy -n two; rm /etc/nethooks/containers/two.ini');
  });

  it("a network's defaults hold for its containers, whose own words go before", async () => {
    await createContainer(host, 'second', `${STILL}\nlxc.net.0.link = br1`);
    await start('second');
    expect(await file('second', '/etc/resolv.conf')).toBe(
      'search corp.example\nnameserver 10.1.0.1\noptions timeout:2\n',
    );
    expect(await file('second', '/etc/hosts')).toContain('192.0.2.9 proxy.example');
    await stop('second');
    await options('second', 'dns-search = own.example\n');
    await start('second');
    expect(await file('second', '/etc/resolv.conf')).toContain('search own.example\n');
    await sh(host, 'lxc-stop -k -n second; lxc-destroy -n second; rm -f /etc/nethooks/containers/second.ini');
  });

  it('flags on the hook line say the same, and go before the file', async () => {
    await sh(
      host,
      "sed -i 's|^\\(lxc.hook.start-host = .*\\)$|\\1 --hostname flagged --dns=192.0.2.1 -p 8080:80 -P --expose 81|' /var/lib/lxc/web/config",
    );
    await options('web', 'hostname = filed\ndns-search = filed.example\n');
    await start('web');
    expect(await inside('web', ['hostname'])).toBe('flagged\n');
    expect(await file('web', '/etc/resolv.conf')).toBe(
      'search filed.example\nnameserver 192.0.2.1\noptions timeout:2\n',
    );
    const address = await resolved('web.lxc');
    expect(await must(host, ['nft', 'list', 'table', 'inet', 'nethooks'])).toContain(`tcp . 8080 : ${address} . 80`);
    await stop('web');
    await sh(host, "sed -i 's|--hostname flagged|--hostnam flagged|' /var/lib/lxc/web/config");
    expect(await refused('web')).toContain('hook line: --hostnam: unknown; allowed: ');
    await sh(host, "sed -i 's|^\\(lxc.hook.start-host = [^ ]*\\).*$|\\1|' /var/lib/lxc/web/config");
    await forgetOptions('web');
  });

  it('link: alias in hosts and DNS, variables for LXC; a child that moves takes it along', async () => {
    await options('db', 'expose = 5432, 9000-9001/udp\naddress = 10.0.0.60\n');
    await options('web', 'link = db:database\n');
    await start('db');
    await start('web');
    expect(await file('web', '/etc/hosts')).toContain('10.0.0.60 database db\n');
    expect(await file('web', '/etc/resolv.conf')).toBe('search web.lxc lxc\nnameserver 10.0.0.1\noptions timeout:2\n');
    expect(await resolved('database.web.lxc')).toBe('10.0.0.60');
    expect(await resolved('database.lxc')).toBe('');
    expect(await must(host, ['cat', '/var/lib/nethooks/env/web.conf'])).toContain(
      'lxc.environment = DATABASE_PORT_5432_TCP_ADDR=10.0.0.60\n',
    );
    await stop('db');
    await options('db', 'expose = 5432\naddress = 10.0.0.61\n');
    await start('db');
    expect(await file('web', '/etc/hosts')).toContain('10.0.0.61 database db\n');
    await eventually(async () => expect(await resolved('database.web.lxc')).toBe('10.0.0.61'));
    await stop('web');
    await stop('db');
  });

  it.each([
    ['link = web\n', 'link web: the container itself'],
    ['link = nobody:x\n', 'link nobody:x: there is no container nobody'],
    ['link = db:a, other:a\n', 'two links have one alias'],
    ['link = db:under_score\n', 'link = db:under_score: allowed: CONTAINER or CONTAINER:ALIAS'],
    ['publish = 80-81:90-92\n', '80-81:90-92: 2 host ports for 3 container ports'],
    ['publish = 70000:80\n', 'publish 70000:80: host port 70000: no port'],
    ['publish = 80:65536\n', 'container port 65536: no port'],
    ['publish = 80:80, 80:81\n', 'asked for twice'],
    ['publish[] = 80\nlnk = db\n', 'web.ini:2: lnk: unknown; allowed: network, address, mtu, hostname'],
    ['garbage\n', 'web.ini:1: `garbage`: is neither [section] nor key = value'],
    ['network = br7\n', 'network = br7: lxc.net.0 is on br0'],
    ['[net.3]\naddress = 10.0.0.9\n', "lxc.net.3: LXC's configuration has no such interface"],
  ])('%j refuses the start and says why', async (ini, why) => {
    await options('web', ini);
    expect(await refused('web')).toContain(why);
    expect(await resolved('web.lxc')).toBe('');
    await forgetOptions('web');
  });

  it.each([
    ['hostname = under_score\n', 'web.ini:1: hostname = under_score: allowed: a host name (RFC 1123)'],
    [`hostname = ${'a'.repeat(65)}\n`, 'of up to 64 characters'],
    ['dns = 1.1.1.1, 2.2.2.2, 3.3.3.3, 4.4.4.4\n', 'allowed: up to 3 IP addresses'],
    ['dns-search = a, b, c, d, e, f, g\n', 'allowed: up to 6 domains of together 256 characters'],
    ['dns-search = ., a.example\n', 'or a single . for none'],
    ['extra-host = name\n', 'allowed: NAME:ADDRESS'],
    ['mtu = 20\n', 'mtu = 20: allowed: auto, or bytes'],
  ])('%j is logged, and the container starts without', async (ini, why) => {
    await options('web', `${ini}aliases = still-there\n`);
    await clearLog();
    await start('web');
    expect(await hookLog()).toContain(why);
    expect(await resolved('still-there.lxc')).toBe(await resolved('web.lxc'));
    await stop('web');
    await forgetOptions('web');
    await clearLog();
  });

  it('a name whose container was killed with its monitor is free again', async () => {
    await options('web', 'aliases = www\n');
    await options('other', 'aliases = www\n');
    await start('web');
    await sh(
      host,
      'kill -9 $(lxc-info -n web -pH); pid=$(pgrep -f "^\\[lxc monitor\\] /var/lib/lxc web$"); kill -9 $pid || true',
    );
    await start('other');
    expect(await resolved('www.lxc')).toBe(await resolved('other.lxc'));
    await stop('other');
    await sh(host, 'nethooks gc; rm -f /var/log/nethooks/hooks.log');
  });

  it("follow the host's resolver without a change to their files", async () => {
    await start('web');
    const before = await file('web', '/etc/resolv.conf');
    const asked = async () =>
      (await host.run(['lxc-attach', '-n', 'web', '--', 'nslookup', 'internet.example'])).stdout;
    const lease = (servers: string, reason: string) =>
      must(host, ['nethooks', 'hook', 'dhclient'], {
        env: { reason, interface: 'eth7', new_domain_name_servers: servers },
      });
    await sh(host, 'cp /etc/resolv.conf /root/resolv.conf; sed -i s/198.51.100.1/192.0.2.254/ /etc/resolv.conf');
    await lease('192.0.2.253', 'BOUND');
    await eventually(async () => expect(await read('/run/nethooks/upstreams')).not.toContain('198.51.100.1'));
    await lease('198.51.100.1', 'RENEW');
    await eventually(async () => expect(await asked()).toContain('198.51.100.1'), 10_000);
    expect(await file('web', '/etc/resolv.conf')).toBe(before);
    await sh(host, 'cp /root/resolv.conf /etc/resolv.conf');
    await lease('', 'EXPIRE');
    await stop('web');
  });

  it('icc = false: a link opens what the child exposes, one way, and nothing else', async () => {
    await writeFile(host, '/etc/nethooks/nethooks.ini', CONFIG.replace('[network.br1]', 'icc = false\n[network.br1]'));
    await must(host, ['nethooks', 'up']);
    await options('db', 'expose = 5432\n');
    await options('web', 'link = db:database\n');
    for (const name of ['db', 'web', 'other']) await start(name);
    const address: Record<string, string> = {};
    for (const name of ['db', 'web', 'other']) {
      address[name] = await resolved(`${name}.lxc`);
      await must(host, ['ip', 'netns', 'attach', name, String(await containerPid(host, name))]);
    }
    const say = async (from: string, targets: Parameters<typeof ask>[2]) =>
      Object.values(await ask(host, from, targets));
    await serve(host, 'db', [`${address.db}:5432`, `${address.db}:80`]);
    await serve(host, 'web', [`${address.web}:5432`]);
    expect(await say('web', [`tcp ${address.db}:5432`, `tcp ${address.db}:80`, `udp ${address.db}:5432`])).toEqual([
      `5432 ${address.web}`,
      'silence',
      'silence',
    ]);
    expect(await say('other', [`tcp ${address.db}:5432`])).toEqual(['silence']);
    expect(await say('db', [`tcp ${address.web}:5432`])).toEqual(['silence']);
    expect(await say('host', [`tcp ${address.db}:80`])).toEqual(['80 10.0.0.1']);
    await sh(host, 'for name in db web other; do ip netns delete $name; done');
    expect(await hookLog()).toBe('');
    for (const name of ['db', 'web', 'other']) await stop(name);
    await options('web', 'link = db:database:x\n');
    expect(await refused('web')).toContain('link = db:database:x: allowed: CONTAINER or CONTAINER:ALIAS');
    await writeFile(host, '/etc/nethooks/nethooks.ini', CONFIG);
    await must(host, ['nethooks', 'up']);
  });

  it('links in a circle are refused', async () => {
    await options('web', 'link = db\n');
    await options('db', 'link = other\n');
    await options('other', 'link = web\n');
    await start('db');
    await start('web');
    expect(await refused('other')).toContain('link web:web: links in a circle: other -> web -> db -> other');
    await stop('web');
    await stop('db');
    await sh(host, 'rm /etc/nethooks/containers/*.ini');
  });

  it('leave nothing when the container is destroyed', async () => {
    await createContainer(host, 'brief', STILL);
    await options('brief', 'aliases = short\nlink = db\nmtu = 1400\npublish = 9090:80\n');
    await start('db');
    await start('brief');
    await stop('brief');
    await sh(host, 'lxc-destroy -n brief; rm /etc/nethooks/containers/brief.ini; lxc-stop -k -n db');
    const left = await sh(
      host,
      'cd / && find run/nethooks var/lib/nethooks var/lib/cni -path "*brief*" -o -name "*short*"',
    );
    expect(left).toBe('');
    expect(await sh(host, 'grep -rl brief /run/nethooks /var/lib/nethooks || true')).toBe('');
  });
});
