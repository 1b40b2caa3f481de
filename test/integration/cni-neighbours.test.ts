/** Our plugin among others: stock plugins on the same bridge and store, before it and after it; other plugins' addresses. */
import { afterEach, beforeAll, expect, it } from 'vitest';
import type { ThrowawayHost } from '../../src/demo/throwaway.ts';
import { addNamespaces, callCni, cniState, inNamespace, mustCni } from '../lab/cni.ts';
import { describeLab, eventually, installedHost, must, STILL, sh } from '../lab/lab.ts';

let host: ThrowawayHost;
let clean: string;

const OURS = { cniVersion: '1.0.0', name: 'ours', type: 'nethooks', network: 'br0' };
/** The same bridge, subnet and store, by the stock plugins. */
const STOCK = {
  cniVersion: '1.0.0',
  name: 'br0',
  type: 'bridge',
  bridge: 'br0',
  ipam: {
    type: 'host-local',
    ranges: [[{ subnet: '10.0.0.0/24', rangeStart: '10.0.0.2', rangeEnd: '10.0.0.99', gateway: '10.0.0.1' }]],
    routes: [{ dst: '0.0.0.0/0' }],
  },
};
const BRIDGE = {
  cniVersion: '1.0.0',
  name: 'net',
  type: 'nethooks',
  bridge: 'cni0',
  isGateway: true,
  ipMasq: true,
  ipam: { type: 'host-local', subnet: '10.11.0.0/16', routes: [{ dst: '0.0.0.0/0' }] },
};

const ping = (name: string, address: string) => inNamespace(host, name, ['ping', '-c', '1', '-W', '2', address]);
const bare = (cidr: string) => cidr.split('/')[0] as string;
const expectClean = async () => expect((await cniState(host)).replace(/^cni0\n/m, '')).toBe(clean);

const RESET = `
for name in $(lxc-ls -1 --running); do lxc-stop -k -n "$name" || true; done
for name in $(ip netns list | cut -d' ' -f1); do ip netns pids "$name" | xargs -r kill -9; ip netns del "$name"; done
for name; do ip netns add "$name"; ip -n "$name" link set lo up; done
for kind in attachments ports claims macs masquerade names/lxc; do rm -rf "/run/nethooks/$kind"; done
rm -rf /var/lib/cni
nethooks up >/dev/null || true
for link in cni0 cni1 cni2 cni3 cni4; do ip link del $link || true; done`;

describeLab('CNI among neighbours', () => {
  beforeAll(async () => {
    host = await installedHost({
      cni: true,
      containers: ['lxc1', 'lxc2'],
      containerConfig: STILL,
      namespaces: ['a', 'b', 'c'],
    });
    clean = await cniState(host);
  });

  // A test that failed must not make the others fail.
  afterEach(({ task }) => {
    if (task.result?.state === 'fail') return sh(host, RESET, ['a', 'b', 'c']);
  });

  it('stock bridge and host-local, ours, and LXC on one bridge: no address twice, all reach each other', async () => {
    const names = Array.from({ length: 20 }, (_, index) => `mix${index}`);
    await addNamespaces(host, names);
    const [results] = await Promise.all([
      Promise.all(names.map((id, index) => mustCni(host, 'ADD', index % 2 ? OURS : STOCK, { id }))),
      must(host, ['lxc-start', '-n', 'lxc1']),
      must(host, ['lxc-start', '-n', 'lxc2']),
    ]);
    const lxc = await sh(host, 'for name in lxc1 lxc2; do getent hosts "$name.lxc"; done');
    const own = results.map(({ ips }) => bare(ips[0].address));
    const all = [
      ...own,
      ...lxc
        .trim()
        .split('\n')
        .map((line) => line.split(/\s+/)[0] as string),
    ];
    expect(new Set(all).size).toBe(22);
    for (const from of ['mix0', 'mix1']) for (const to of all) await ping(from, to);
    await sh(host, 'for address; do lxc-attach -n lxc1 -- ping -c 1 -W 2 "$address" >/dev/null; done', all);
    await Promise.all(names.map((id, index) => mustCni(host, 'DEL', index % 2 ? OURS : STOCK, { id })));
    await sh(
      host,
      'for name in lxc1 lxc2; do lxc-stop -k -n "$name"; lxc-destroy -n "$name"; done; for name; do ip netns del "$name"; done',
      names,
    );
    await eventually(expectClean);
  });

  it('containers of one name get one, and those of LXC keep theirs', async () => {
    const args = 'IgnoreUnknown=1;K8S_POD_NAME=web';
    const result = await mustCni(
      host,
      'ADD',
      { ...OURS, runtimeConfig: { aliases: { ours: ['www'] } } },
      { id: 'a', args },
    );
    expect(result.dns).toMatchObject({ nameservers: ['10.0.0.1'], domain: 'lxc', search: ['lxc'] });
    const address = bare(result.ips[0].address);
    await eventually(async () =>
      expect(await sh(host, 'getent hosts web.lxc; getent hosts www.lxc')).toContain(address),
    );
    await mustCni(host, 'DEL', OURS, { id: 'a', args });
    await eventually(async () => expect((await host.run(['getent', 'hosts', 'web.lxc'])).stdout).toBe(''));
  });

  it('portmap, firewall, tuning and bandwidth work after ours', async () => {
    const runtimeConfig = { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }] };
    const chain = [
      { ...BRIDGE },
      {
        cniVersion: '1.0.0',
        name: 'net',
        type: 'portmap',
        snat: true,
        capabilities: { portMappings: true },
        runtimeConfig,
      },
      { cniVersion: '1.0.0', name: 'net', type: 'firewall' },
      { cniVersion: '1.0.0', name: 'net', type: 'tuning', sysctl: { 'net.ipv4.conf.eth0.arp_notify': '1' } },
      { cniVersion: '1.0.0', name: 'net', type: 'bandwidth', ingressRate: 80_000_000, ingressBurst: 80_000_000 },
    ];
    const before = await sh(host, 'iptables-save | grep -v "^[#:]" | sort');
    let prevResult: unknown;
    for (const conf of chain)
      prevResult = await mustCni(host, 'ADD', { ...conf, ...(prevResult ? { prevResult } : {}) }, { id: 'a' });
    await sh(host, 'setsid ip netns exec a busybox httpd -p 80 -h /etc');
    expect(await host.internet(['busybox', 'wget', '-q', '-O', '-', 'http://192.0.2.2:8080/hostname'])).toMatchObject({
      code: 0,
    });
    expect(await inNamespace(host, 'a', ['sysctl', '-n', 'net.ipv4.conf.eth0.arp_notify'])).toBe('1\n');
    // portmap 1.1.1 looks for IPv6 rules that nobody asked it for, after stock bridge too.
    for (const conf of chain.filter(({ type }) => type !== 'portmap'))
      expect(await mustCni(host, 'CHECK', { ...conf, prevResult }, { id: 'a' })).toBeNull();
    await sh(host, 'ip netns pids a | xargs -r kill');
    for (const conf of [...chain].reverse()) await mustCni(host, 'DEL', { ...conf, prevResult }, { id: 'a' });
    expect(await sh(host, 'iptables-save | grep 10.11 || true')).toBe('');
    expect(before).not.toContain('10.11');
    await expectClean();
  });

  it.each(['bridge', 'ptp', 'macvlan'])('nethooks-dns works after the stock %s', async (type) => {
    const subnet = type === 'macvlan' ? '192.0.2.0/24' : '10.13.0.0/16';
    const rangeStart = type === 'macvlan' ? '192.0.2.60' : '10.13.0.9';
    const conf = {
      cniVersion: '1.0.0',
      name: 'stock',
      type,
      bridge: 'cni1',
      isGateway: true,
      master: type === 'macvlan' ? 'eth0' : undefined,
      ipam: { type: 'host-local', subnet, rangeStart },
    };
    const names = { cniVersion: '1.0.0', name: 'stock', type: 'nethooks-dns', network: 'br0', resolvConf: true };
    const args = 'IgnoreUnknown=1;K8S_POD_NAME=db';
    const prevResult = await mustCni(host, 'ADD', conf, { id: 'b', args });
    const result = await mustCni(host, 'ADD', { ...names, prevResult }, { id: 'b', args });
    expect(result).toMatchObject({ ips: prevResult.ips, interfaces: prevResult.interfaces });
    expect(result.dns).toMatchObject({ nameservers: ['10.0.0.1'], search: ['lxc'] });
    await eventually(async () => expect(await sh(host, 'getent hosts db.lxc')).toContain(bare(result.ips[0].address)));
    expect(await sh(host, 'cat /etc/netns/b/resolv.conf')).toBe('search lxc\nnameserver 10.0.0.1\n');
    await mustCni(host, 'CHECK', { ...names, prevResult: result }, { id: 'b', args });
    await mustCni(host, 'DEL', { ...names, prevResult: result }, { id: 'b', args });
    await mustCni(host, 'DEL', conf, { id: 'b', args });
    expect((await host.run(['test', '-e', '/etc/netns/b/resolv.conf'])).code).not.toBe(0);
    await sh(host, 'ip link del cni1 2>/dev/null || true');
    await expectClean();
  });

  it('a late DEL leaves the new holder of the address alone', async () => {
    const first = await mustCni(host, 'ADD', BRIDGE, { id: 'a' });
    const address = bare(first.ips[0].address);
    // The first one's namespace and reservation vanish, as after a crash; its DEL is still to come.
    await sh(host, 'ip netns del a; rm "/var/lib/cni/networks/net/$1"', [address]);
    const second = await mustCni(host, 'ADD', BRIDGE, { id: 'b', args: `IP=${address}` });
    expect(bare(second.ips[0].address)).toBe(address);
    await mustCni(host, 'DEL', BRIDGE, { id: 'a' });
    await ping('b', '198.51.100.1');
    expect(await sh(host, 'tr -d "\\r" <"/var/lib/cni/networks/net/$1"', [address])).toBe('b\neth0');
    await mustCni(host, 'DEL', BRIDGE, { id: 'b' });
    await addNamespaces(host, ['a']);
    await expectClean();
  });

  it('`nethooks up` brings masquerading and published ports back after a flush', async () => {
    const publish = { runtimeConfig: { portMappings: [{ hostPort: 8081, containerPort: 80 }] } };
    await mustCni(host, 'ADD', BRIDGE, { id: 'a' });
    await mustCni(host, 'ADD', { ...OURS, ...publish }, { id: 'b' });
    await sh(host, 'setsid ip netns exec b busybox httpd -p 80 -h /etc; nft flush ruleset');
    await expect(ping('a', '198.51.100.1')).rejects.toThrow();
    await must(host, ['nethooks', 'up']);
    await ping('a', '198.51.100.1');
    expect(await host.internet(['busybox', 'wget', '-q', '-O', '-', 'http://192.0.2.2:8081/hostname'])).toMatchObject({
      code: 0,
    });
    const taken = await callCni(host, 'ADD', { ...OURS, ...publish }, { id: 'c' });
    expect(taken.json).toMatchObject({ code: 100 });
    expect(taken.json.msg).toContain('8081');
    await sh(host, 'ip netns pids b | xargs -r kill');
    await mustCni(host, 'DEL', BRIDGE, { id: 'a' });
    await mustCni(host, 'DEL', OURS, { id: 'b' });
    await expectClean();
  });

  it("two families, in the stock plugin's files and beside it", async () => {
    const both = {
      ...BRIDGE,
      ipam: {
        type: 'host-local',
        ranges: [[{ subnet: '10.14.0.0/16' }], [{ subnet: 'fd00:14::/64' }]],
        routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }],
      },
    };
    const result = await mustCni(host, 'ADD', { ...both, bridge: 'cni2' }, { id: 'a' });
    expect(result.ips.map(({ address }: { address: string }) => address)).toEqual(['10.14.0.2/16', 'fd00:14::2/64']);
    await ping('a', '198.51.100.1');
    await ping('a', 'fd00:14::1');
    await mustCni(host, 'CHECK', { ...both, bridge: 'cni2', prevResult: result }, { id: 'a' });
    const addressesOf = ({ ips }: { ips: { address: string }[] }) => ips.map(({ address }) => address);
    const stock = await mustCni(host, 'ADD', { ...both, type: 'bridge', bridge: 'cni2' }, { id: 'b' });
    expect(addressesOf(stock)).toEqual(['10.14.0.3/16', 'fd00:14::3/64']);
    await ping('a', 'fd00:14::3');
    const last = `cd /var/lib/cni/networks/${both.name}; for set in 0 1; do cat last_reserved_ip.$set; echo; done`;
    expect(await sh(host, last)).toBe('10.14.0.3\nfd00:14::3\n');
    await mustCni(host, 'DEL', { ...both, type: 'bridge', bridge: 'cni2' }, { id: 'b' });
    await mustCni(host, 'DEL', { ...both, bridge: 'cni2' }, { id: 'a' });

    const asked = { ...both, bridge: 'cni2', runtimeConfig: { ips: ['fd00:14:0::9', '10.14.0.9'] } };
    expect(addressesOf(await mustCni(host, 'ADD', asked, { id: 'a' }))).toEqual(['10.14.0.9/16', 'fd00:14::9/64']);
    const taken = await callCni(host, 'ADD', { ...asked, runtimeConfig: { ips: ['fd00:14::9'] } }, { id: 'b' });
    expect(taken.json.msg).toContain('fd00:14::9');
    expect(await sh(host, `ls /var/lib/cni/networks/${both.name}`)).not.toContain('10.14.0.10');
    await mustCni(host, 'DEL', asked, { id: 'a' });
  });

  it("other plugins' addresses: static", async () => {
    const fixed = {
      ...BRIDGE,
      bridge: 'cni3',
      cniVersion: '1.1.0',
      ipam: {
        type: 'static',
        addresses: [{ address: '10.15.0.5/24', gateway: '10.15.0.1' }],
        routes: [{ dst: '0.0.0.0/0' }],
      },
    };
    expect((await mustCni(host, 'ADD', fixed, { id: 'a' })).ips[0].address).toBe('10.15.0.5/24');
    await ping('a', '198.51.100.1');
    await mustCni(host, 'DEL', fixed, { id: 'a' });
    await sh(host, 'ip link del cni2; ip link del cni3; echo 0 >/proc/sys/net/ipv6/conf/all/forwarding');
    await expectClean();
  });

  it('a plugin for addresses that fails takes everything with it', async () => {
    const broken = { ...BRIDGE, ipam: { type: 'static', addresses: [{ address: 'nonsense' }] } };
    expect((await callCni(host, 'ADD', broken, { id: 'a' })).json.code).toBe(100);
    const dhcp = { ...BRIDGE, ipam: { type: 'dhcp' } };
    const answer = await callCni(host, 'ADD', dhcp, { id: 'a' });
    expect(answer.json.msg).toContain('dhcp');
    expect(await inNamespace(host, 'a', ['ip', '-br', 'link'])).not.toContain('eth0');
    await expectClean();
  });

  it('two networks with a default route each: the first one is used, as with the stock plugins', async () => {
    await mustCni(host, 'ADD', OURS, { id: 'a' });
    await mustCni(host, 'ADD', BRIDGE, { id: 'a', ifname: 'eth1' });
    expect(await inNamespace(host, 'a', ['ip', 'route', 'get', '198.51.100.1'])).toContain('dev eth0');
    await mustCni(host, 'DEL', OURS, { id: 'a' });
    await ping('a', '198.51.100.1');
    await mustCni(host, 'DEL', BRIDGE, { id: 'a', ifname: 'eth1' });
    await expectClean();
  });

  it('a bridge that has another address is left, unless forceAddress says otherwise', async () => {
    await sh(host, 'ip link add cni4 type bridge; ip address add 10.99.0.1/24 dev cni4; ip link set cni4 up');
    const conf = { ...BRIDGE, bridge: 'cni4' };
    expect((await callCni(host, 'ADD', conf, { id: 'a' })).json).toMatchObject({ code: 100 });
    expect(await sh(host, 'ip -4 -br address show cni4')).toContain('10.99.0.1/24');
    await mustCni(host, 'ADD', { ...conf, forceAddress: true }, { id: 'a' });
    expect(await sh(host, 'ip -4 -br address show cni4')).toMatch(/ 10\.11\.0\.1\/16 *$/m);
    await mustCni(host, 'DEL', conf, { id: 'a' });
    await sh(host, 'ip link del cni4');
    await expectClean();
  });
});
