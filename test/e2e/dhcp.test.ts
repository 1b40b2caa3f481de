/** DHCP and DNS on the bridge: real clients in containers, strangers without a hook, and the switches of a network. */
import { beforeAll, describe, expect, it } from 'vitest';
import type { ThrowawayHost } from '../../src/demo/throwaway.ts';
import type { Status } from '../../src/host/status.ts';
import {
  BR0,
  capture,
  commandsOn,
  createContainer,
  createContainers,
  DEBIAN_CONTAINER,
  describeLab,
  eventually,
  inContainer,
  installedHost,
  must,
  STILL,
  sh,
} from '../lab/lab.ts';

const CHECKSUM =
  'POSTROUTING -o br0 -p udp -m udp --dport 68 -m comment --comment nethooks -j CHECKSUM --checksum-fill';

let host: ThrowawayHost;
const { start, resolved, up } = commandsOn(() => host);
const stop = (...names: string[]) => sh(host, 'for name; do lxc-stop -k -n "$name"; done', names);
const status = async (): Promise<Status> => JSON.parse((await host.run(['nethooks', 'status', '--json'])).stdout);
const leases = async () => (await status()).networks.flatMap((network) => network.leases);
const resolvConfOf = (name: string) => inContainer(host, name, ['cat', '/etc/resolv.conf']);

describeLab('DHCP and DNS on the bridge', () => {
  beforeAll(async () => {
    // The only DHCP client in them is the test's.
    host = await installedHost({ dns: true, config: BR0, containers: ['still', 'other'], containerConfig: STILL });
    await sh(host, STRANGERS);
  });

  it('a reply that arrives in a container has a correct checksum with the rule, and a wrong one without', async () => {
    await start('still');
    const checksums = async () => {
      const replies = await capture(host, ['-i', 'eth0', '-vvv', 'udp dst port 68'], { container: 'still' });
      await inContainer(host, 'still', ['udhcpc', '-i', 'eth0', '-n', '-q', '-f', '-s', '/bin/true']);
      return (await replies.stop()).match(/udp sum ok|bad udp cksum|no cksum/g);
    };
    expect(await checksums()).toEqual(['udp sum ok', 'udp sum ok']);

    await sh(host, `iptables -t mangle -D ${CHECKSUM}`);
    expect(await checksums()).toEqual(['bad udp cksum', 'bad udp cksum']);
    expect(await host.run(['nethooks', 'plan'])).toMatchObject({
      code: 3,
      stdout: `iptables -t mangle -A ${CHECKSUM}\n`,
    });
    expect(await host.run(['nethooks', 'status'])).toMatchObject({
      code: 3,
      stdout: expect.stringMatching(
        /^ {2}checksum +missing$[\s\S]*^ {2}missing +iptables -t mangle -A POSTROUTING -o br0/m,
      ),
    });

    expect(await must(host, ['nethooks', 'up'])).toBe(`iptables -t mangle -A ${CHECKSUM}\n`);
    expect(await checksums()).toEqual(['udp sum ok', 'udp sum ok']);
    await stop('still');
  });

  describe('a DHCP client in a container gets the reserved address, and breaks nothing:', () => {
    const works = async (name: string) => {
      const address = await resolved(`${name}.lxc`);
      const lines = await inContainer(host, name, ['ip', '-4', 'address', 'show', 'eth0']);
      expect(lines.match(/inet \S+/g)).toEqual([`inet ${address}/24`]);
      expect((await leases()).map((lease) => lease.address)).toContain(address);
      await inContainer(host, name, ['ping', '-c', '1', '-W', '2', '198.51.100.1']);
      expect(await resolvConfOf(name)).toMatch(/^nameserver 10\.0\.0\.1$/m);
      await sh(host, 'busybox ping -c 1 -W 2 "$1"', [`${name}.lxc`]);
    };
    it("is told no domain, as busybox's then empties resolv.conf first, whichever kind of MAC the container has", async () => {
      await sh(host, "sed -i '/hwaddr/d' /var/lib/lxc/other/config");
      for (const [name, mac] of [
        ['still', '00:16:3e'],
        ['other', '02:6e:'],
      ] as const) {
        await start(name);
        expect(await inContainer(host, name, ['cat', '/sys/class/net/eth0/address'])).toMatch(new RegExp(`^${mac}`));
        const said = 'case "$1" in bound) echo "domain [$domain] search [$search] dns [$dns]" ;; esac';
        const script = `printf '#!/bin/sh\n%s\n' '${said}' >/ask; chmod 755 /ask; udhcpc -i eth0 -n -q -f -O search -s /ask 2>/dev/null`;
        expect(await inContainer(host, name, ['sh', '-c', script])).toBe('domain [] search [lxc] dns [10.0.0.1]\n');
        await stop(name);
      }
    });

    const forgetLeases = () => sh(host, 'nethooks down; rm /var/lib/nethooks/br0.leases; nethooks up');

    it('udhcpc, started by the init of a busybox container', async () => {
      await forgetLeases();
      await createContainer(host, 'plain');
      await start('plain');
      const address = await resolved('plain.lxc');
      await eventually(async () => expect((await leases()).map((lease) => lease.address)).toEqual([address]));
      await eventually(() => works('plain'));
      await sh(host, 'lxc-stop -k -n plain; lxc-destroy -n plain');
    });

    it.each([
      ['dhclient', ['dhclient', '-1', 'eth0']],
      ['dhcpcd', ['dhcpcd', '--ipv4only', '--oneshot', '--nodelay', '--noarp', 'eth0']],
    ])('%s, in a container with the files of a Debian', async (client, argv) => {
      await forgetLeases();
      await sh(host, DEBIAN_CONTAINER);
      await start('debian');
      await inContainer(host, 'debian', ['sh', '-c', `${argv.join(' ')} </dev/null >/run/client.log 2>&1`]);
      await works('debian');
      expect(await resolvConfOf('debian'), `${client} has written it`).not.toBe('search lxc\nnameserver 10.0.0.1\n');
      expect(await inContainer(host, 'debian', ['getent', 'hosts', 'debian'])).toContain(await resolved('debian.lxc'));
      await sh(host, 'lxc-stop -k -n debian; lxc-destroy -n debian');
    });
  });

  describe('a stranger on the bridge, without a hook', () => {
    it('gets an address of the dynamic range, with router, DNS server, domain, search list and MTU', async () => {
      await up(`${BR0}domain = inside.example\nmtu = 1400\n`);
      const { ip, ...rest } = await ask('one');
      expect(ip).toMatch(/^10\.0\.0\.(1\d\d|200)$/);
      expect(rest).toMatchObject({
        mask: '24',
        subnet: '255.255.255.0',
        broadcast: '10.0.0.255',
        router: '10.0.0.1',
        dns: '10.0.0.1',
        domain: 'inside.example',
        search: 'inside.example',
        mtu: '1400',
        serverid: '10.0.0.1',
        lease: '3600',
      });
      await up(BR0);
    });

    it('reaches the outside and DNS', async () => {
      const { ip } = await ask('one');
      await sh(
        host,
        'ip -n one address replace "$1/24" dev eth0; ip -n one route replace default via 10.0.0.1; ip netns exec one ping -c 1 -W 2 198.51.100.1',
        [ip as string],
      );
      expect(await sh(host, 'ip netns exec one busybox nslookup internet.example 10.0.0.1')).toContain('198.51.100.1');
    });

    it("has no name of its own choosing with dhcp-names = false, be it free or a container's", async () => {
      await up(`${BR0}dhcp-names = false\n`);
      await start('still');
      const address = await resolved('still.lxc');
      for (const name of ['evil', 'still']) {
        const { ip } = await ask('one', '-x', `hostname:${name}`, '-F', `${name}.lxc`);
        expect(ip).not.toBe(address);
        expect(await host.run(['getent', 'hosts', ip as string])).toMatchObject({ code: 2, stdout: '' });
      }
      expect(await resolved('evil.lxc')).toBe('');
      expect(await resolved('evil')).toBe('');
      expect(await resolved('still.lxc')).toBe(address);
      expect((await leases()).map((lease) => lease.hostname)).not.toContain('evil');
      await up(BR0);
    });

    it('gets no address that is kept for containers, whether one has it or not', async () => {
      for (const wanted of [await resolved('still.lxc'), '10.0.0.50', '10.0.0.1']) {
        const { ip } = await ask('two', '-r', wanted as string);
        expect(ip).toMatch(/^10\.0\.0\.(1\d\d|200)$/);
      }
      await stop('still');
    });
  });

  describe('dns = false', () => {
    it('DHCP goes on, nobody listens for DNS, and machines are told the servers that the host asks', async () => {
      await up(`${BR0}dns = false\n`);
      expect(await sh(host, 'cat /run/nethooks/dnsmasq/br0/dnsmasq.conf')).toMatch(/^port=0$/m);
      expect(await sh(host, "ss -Hlntu 'sport = :53'")).toBe('');
      expect(await ask('one')).toMatchObject({ dns: '198.51.100.1', router: '10.0.0.1' });
      expect(await sh(host, 'cat /etc/resolv.conf')).toBe('nameserver 198.51.100.1\n');
      await start('still');
      expect(await resolvConfOf('still')).toBe('search lxc\nnameserver 198.51.100.1\n');
      await inContainer(host, 'still', ['nslookup', 'internet.example']);
      await stop('still');
    });

    it('or those of dns-upstream', async () => {
      await up(`${BR0}dns = false\ndns-upstream[] = 198.51.100.7\ndns-upstream[] = 198.51.100.8\n`);
      expect((await ask('one')).dns).toBe('198.51.100.7 198.51.100.8');
    });

    it('but never one that only the host itself can reach', async () => {
      await sh(host, "printf 'nameserver 127.0.0.1\\nnameserver 198.51.100.1\\n' >/etc/resolv.conf");
      await up(`${BR0}dns = false\n`);
      expect((await ask('one')).dns).toBe('198.51.100.1');
      await sh(host, "echo 'nameserver 198.51.100.1' >/etc/resolv.conf");
    });
  });

  it('dhcp = false: DNS goes on, and nobody is given an address', async () => {
    expect(await up(`${BR0}dhcp = false\n`)).toContain(`iptables -t mangle -D ${CHECKSUM}\n`);
    expect(await sh(host, "ss -Hlnu 'sport = :67'")).toBe('');
    await expect(ask('one')).rejects.toThrow('no lease');
    await start('still');
    expect(await inContainer(host, 'still', ['nslookup', 'still.lxc'])).toContain(await resolved('still.lxc'));
    expect(await must(host, ['nethooks', 'status'])).toMatch(/^ {2}checksum +not needed$/m);
    await stop('still');
  });

  it('neither: no dnsmasq, while containers have addresses and reach the outside', async () => {
    await up(`${BR0}dhcp = false\ndns = false\n`);
    expect((await host.run(['pgrep', '-f', '/run/nethooks/dnsmasq'])).stdout).toBe('');
    expect(await must(host, ['nethooks', 'status'])).toMatch(/^ {2}dnsmasq +not needed$/m);
    await start('still');
    await inContainer(host, 'still', ['ping', '-c', '1', '-W', '2', 'internet.example']);
    await stop('still');
    await up(BR0);
    expect(await must(host, ['nethooks', 'status'])).toMatch(/^ {2}dnsmasq +running \(pid \d+\)$/m);
  });

  it.each([
    ['of one domain', 'lxc'],
    ['of different domains', 'two.example'],
  ])('names of two networks %s resolve in both and on the host, also in reverse', async (_what, domain) => {
    await up(`${BR0}reach = br1\n[network.br1]\naddress = 10.1.0.1/24\ndomain = ${domain}\nreach = *\n`);
    await sh(host, "sed -i 's/link = br0/link = br1/' /var/lib/lxc/other/config");
    await start('still');
    await start('other');
    expect(await resolvConfOf('still')).toBe('search lxc\nnameserver 10.0.0.1\n');
    expect(await resolvConfOf('other')).toBe(`search ${domain}\nnameserver 10.1.0.1\n`);
    expect(await sh(host, 'cat /etc/resolv.conf')).toBe(
      '# nethooks begin\nnameserver 10.0.0.1\n# nethooks end\nnameserver 198.51.100.1\n',
    );
    for (const name of ['still.lxc', `other.${domain}`]) {
      const address = (await resolved(name)) as string;
      expect(address).toMatch(name.startsWith('still') ? /^10\.0\.0\.\d+$/ : /^10\.1\.0\.\d+$/);
      expect(await must(host, ['getent', 'hosts', address])).toMatch(new RegExp(`^${address} +${name}\\b`));
      for (const container of ['still', 'other']) {
        expect(await inContainer(host, container, ['nslookup', address])).toContain(name);
        await inContainer(host, container, ['ping', '-c', '1', '-W', '2', name]);
      }
    }
    await stop('still', 'other');
  });

  it('names and addresses of ours that nobody has are not asked upstream, from whichever network', async () => {
    const packets = await capture(host, ['-i', 'eth0', 'port', '53'], { internet: true });
    for (const server of ['10.0.0.1', '10.1.0.1'])
      for (const name of ['nobody.lxc', 'nobody.two.example', 'nobody', '10.0.0.99', '10.1.0.99'])
        await host.run(['busybox', 'nslookup', name, server]);
    await host.run(['busybox', 'nslookup', 'example.org', '10.1.0.1']);
    const asked = await packets.stop();
    expect(asked).toContain('example.org');
    expect(asked).not.toMatch(/nobody|in-addr/);
  });

  it('the default ranges of a large subnet are large, and whoever has an address of the earlier ones keeps it', async () => {
    const wide = '[network.br0]\naddress = 10.0.0.1/20\n';
    await up(`${wide}dhcp = 10.0.0.100-10.0.0.200\nreserve = 10.0.0.2-10.0.0.99\n`);
    await start('still');
    const address = await resolved('still.lxc');
    expect(address).toMatch(/^10\.0\.0\.\d\d?$/);
    const { ip } = await ask('one');
    expect(ip).toMatch(/^10\.0\.0\.(1\d\d|200)$/);
    const lease = async () => (await leases()).find((one) => one.address === ip);
    const before = await lease();

    await up(wide);
    expect(await sh(host, 'cat /run/nethooks/dnsmasq/br0/dnsmasq.conf')).toMatch(/^dhcp-lease-max=3995$/m);
    await sh(
      host,
      `busybox ping -c 1 -W 1 still.lxc; ip -n one address replace ${ip}/20 dev eth0; busybox ping -c 1 -W 1 ${ip}`,
    );
    expect(await lease()).toEqual(before);
    expect((await ask('one', '-r', ip as string)).ip).toBe(ip);
    await stop('still');
    await start('still');
    await createContainer(host, 'fresh', STILL);
    await start('fresh');
    expect(await resolved('still.lxc')).toBe(address);
    expect(await resolved('fresh.lxc')).toMatch(/^10\.0\.(8|9|1\d)\.\d+$/);
    await sh(host, 'busybox ping -c 1 -W 1 fresh.lxc; lxc-attach -n fresh -- ping -c 1 -W 1 still');
    expect((await status()).findings).toEqual([]);
    await stop('still', 'fresh');
    await sh(host, 'lxc-destroy -n fresh; ip -n one address flush dev eth0');
    await up(BR0);
  });

  it.each([
    ['10.5.0.1/30', 1],
    ['10.5.0.6/29', 3],
    ['10.5.0.17/28', 6],
  ])('a subnet as small as %s has room for %d containers, and says so when it is full', async (address, room) => {
    await up(`[network.br0]\naddress = ${address}\n`);
    const held = Array.from({ length: room }, (_, index) => `c${index}`);
    await createContainers(host, [...held, 'late'], STILL);
    for (const name of held) await start(name);
    for (const name of held) await sh(host, `busybox ping -c 1 -W 1 ${name}.lxc`);
    expect((await host.run(['sh', '-c', 'lxc-start -n late 2>&1 | cat'])).stdout).toMatch(
      new RegExp(
        `^nethooks: container late was not started: no free address in network br0: all of [-0-9.]+ is in use, ${room} held`,
      ),
    );
    await stop(...held);
    await sh(host, 'for name; do lxc-destroy -n "$name"; done', [...held, 'late']);
    await up(BR0);
  });

  it('large subnets have many reverse zones', async () => {
    await up('[network.br0]\naddress = 10.0.0.1/17\n');
    expect((await ask('one')).subnet).toBe('255.255.128.0');
    await up(BR0);
  });
});

/** The answer to a DHCP client in the network namespace of a stranger, as udhcpc hands it to its script (udhcpc's README). */
async function ask(stranger: string, ...options: string[]): Promise<Record<string, string>> {
  const lease = `/run/strangers/${stranger}`;
  const asked = ['router', 'dns', 'domain', 'search', 'mtu', 'broadcast'].flatMap((name) => ['-O', name]);
  const client = [
    'busybox',
    'udhcpc',
    '-i',
    'eth0',
    '-n',
    '-q',
    '-f',
    '-t',
    '3',
    '-T',
    '1',
    '-s',
    '/run/strangers/dump',
  ];
  await must(host, ['rm', '-f', lease]);
  const { stderr } = await host.run(['ip', 'netns', 'exec', stranger, ...client, ...asked, ...options], {
    env: { LEASE: lease },
  });
  const text = (await host.run(['cat', lease])).stdout;
  if (text === '') throw new Error(`no lease: ${stderr}`);
  return Object.fromEntries(text.split('\n').map((line) => line.split(/=(.*)/).slice(0, 2)));
}

/** Two network namespaces with a port of br0 each, and a script that writes down what a DHCP server says. */
const STRANGERS = `
for name in one two; do
  ip netns add $name
  ip link add stranger-$name type veth peer name eth0 netns $name
  ip link set stranger-$name master br0 up
  ip -n $name link set lo up
  ip -n $name link set eth0 up
done
mkdir /run/strangers
cat >/run/strangers/dump <<'END'
#!/bin/sh
[ "$1" != bound ] || env >"$LEASE"

END
chmod 755 /run/strangers/dump
`;
