/** `nethooks attach` and `detach`: every kind of target and of connection, and nothing left of what failed. */
import { beforeAll, expect, it } from 'vitest';
import type { ThrowawayHost } from '../../src/demo/throwaway.ts';
import { cniState, inNamespace } from '../lab/cni.ts';
import { createContainers, describeLab, eventually, installedHost, must, STILL, sh, writeFile } from '../lab/lab.ts';

let host: ThrowawayHost;
let clean: string;

const attach = (...words: string[]) => must(host, ['nethooks', 'attach', ...words]);
const refused = async (...words: string[]) => {
  const { code, stderr } = await host.run(['nethooks', 'attach', ...words]);
  expect(code, stderr).not.toBe(0);
  return `${code} ${stderr}`;
};
const detach = (...words: string[]) => must(host, ['nethooks', 'detach', ...words]);
const ping = (name: string, address: string) => inNamespace(host, name, ['ping', '-c', '1', '-W', '2', address]);
const expectClean = async () => expect(await cniState(host)).toBe(clean);

describeLab('nethooks attach', () => {
  beforeAll(async () => {
    host = await installedHost({ namespaces: ['a', 'b'] });
    clean = await cniState(host);
  });

  it('connects a namespace to a network: address, route, name, published port', async () => {
    expect(await attach('a', '--name', 'web', '--publish', '8080:80')).toMatch(
      /^a: eth0 10\.0\.0\.\d+\/24 \(br0, veth\w{8}\), default route via 10\.0\.0\.1, name servers 10\.0\.0\.1\n$/,
    );
    await sh(host, 'setsid ip netns exec a busybox httpd -p 80 -h /etc');
    await sh(host, 'busybox wget -q -O - http://web.lxc/hostname http://127.0.0.1:8080/hostname');
    expect(await host.internet(['busybox', 'wget', '-q', '-O', '-', 'http://192.0.2.2:8080/hostname'])).toMatchObject({
      code: 0,
    });
    await ping('a', '198.51.100.1');
    expect(await sh(host, 'nethooks addresses br0')).toMatch(/10\.0\.0\.\d+ +live +attached\.netns\.a eth0/);
    await sh(host, 'ip netns pids a | xargs -r kill');
    expect(await detach('a')).toMatch(/^a: eth0 10\.0\.0\.\d+\/24 is gone\n$/);
    await expectClean();
  });

  /** No engine runs here: programs that answer as docker-inspect(1) and rkt's `status` do. */
  it.each([
    [
      'docker',
      'docker',
      'case "$*" in "inspect --type container --format {{.State.Pid}} -- web") echo $pid ;; *) echo "Error: No such container: $*" >&2; exit 1 ;; esac',
    ],
    [
      'rkt',
      'rkt',
      'case "$*" in "status 8d7152a7") printf "state=running\\ncreated=2016-01-01 00:00:00 +0000 UTC\\npid=%s\\nexited=false\\n" $pid ;; *) echo "status: no matches" >&2; exit 1 ;; esac',
    ],
  ])('asks %s for the process of its container', async (kind, program, answers) => {
    const name = kind === 'docker' ? 'web' : '8d7152a7';
    const pid = (await sh(host, 'setsid unshare -n sleep 1000 >/dev/null 2>&1 & echo $!')).trim();
    await eventually(async () =>
      expect(await sh(host, 'readlink /proc/$1/ns/net', [pid])).not.toBe(await sh(host, 'readlink /proc/self/ns/net')),
    );
    await writeFile(host, `/usr/local/sbin/${program}`, `#!/bin/sh\npid=${pid}\n${answers}\n`, '755');
    expect(await attach(`${kind}:${name}`)).toMatch(new RegExp(`^${kind}:${name}: eth0 10\\.0\\.0\\.`));
    expect(await sh(host, `nsenter --net=/proc/${pid}/ns/net ip -4 -o addr show dev eth0`)).toContain('10.0.0.');
    expect(await sh(host, `getent hosts ${name}.lxc`)).toContain('10.0.0.');
    await detach(name);
    await expectClean();
    expect(await attach(name)).toContain('eth0 10.0.0.');
    await detach(`${kind}:${name}`);
    expect(await refused(`${kind}:other`)).toMatch(/no such container, or it does not run/);
    await sh(host, `kill ${pid}; rm /usr/local/sbin/${program}`);
    await expectClean();
  });

  it('takes a process, an LXC container, a path, and a name alone', async () => {
    await createContainers(host, ['box'], `${STILL}\nlxc.net.0.type = empty`);
    await sh(host, "sed -i '/^lxc.net.0.link/d; /^lxc.net.0.type = veth/d' /var/lib/lxc/box/config; lxc-start -n box");
    const pid = (await sh(host, 'setsid unshare -n sleep 1000 >/dev/null 2>&1 & echo $!')).trim();
    await eventually(async () =>
      expect(await sh(host, 'readlink /proc/$1/ns/net', [pid])).not.toBe(await sh(host, 'readlink /proc/self/ns/net')),
    );
    await attach(`pid:${pid}`, '--address', '10.0.0.50');
    await attach('box', '--ifname', 'net1');
    await attach('/run/netns/a');
    await ping('a', '10.0.0.50');
    expect(await sh(host, 'lxc-attach -n box -- ip -4 -o address show net1')).toContain(' 10.0.0.');
    await detach('lxc:box', '--ifname', 'net1');
    await detach('netns:a');
    // The namespace's end is enough for the kernel; gc takes back the rest.
    await sh(host, 'kill "$1"; lxc-stop -k -n box; lxc-destroy -n box', [pid]);
    await eventually(async () => {
      await must(host, ['nethooks', 'gc']);
      await expectClean();
    });
  });

  it('makes a point-to-point pair with a way out', async () => {
    await attach('a', '--mode', 'ptp', '--address', '10.9.0.2/24');
    await attach('b', '--mode', 'ptp', '--address', '10.9.0.3/24');
    await ping('a', '10.9.0.3');
    await ping('a', '198.51.100.1');
    await detach('a');
    await detach('b');
    await expectClean();
  });

  it('makes a macvlan interface, and with --host-shim the host reaches it', async () => {
    await attach('a', '--mode', 'macvlan', '--address', '192.0.2.77/24', '--gateway', '192.0.2.1', '--host-shim');
    await attach('b', '--mode', 'macvlan', '--address', '192.0.2.78/24', '--host-shim');
    await sh(host, 'ping -c 1 -W 2 192.0.2.77; ping -c 1 -W 2 192.0.2.78');
    for (const address of ['192.0.2.2', '192.0.2.78', '198.51.100.1']) await ping('a', address);
    await detach('a');
    await sh(host, 'ping -c 1 -W 2 192.0.2.78');
    await detach('b');
    await expectClean();
  });

  it('makes a wire between two, and either end takes it back', async () => {
    expect(
      await attach('a', '--peer', 'b', '--address', '10.99.0.1/30', '--ifname', 'wire', '--peer-ifname', 'wire9'),
    ).toBe('a wire 10.99.0.1/30 <-> b wire9 10.99.0.2/30\n');
    await ping('a', '10.99.0.2');
    await detach('b');
    expect(await inNamespace(host, 'a', ['ip', '-br', 'link'])).not.toContain('wire');
    await expectClean();
    expect(await refused('a', '--peer', 'b', '--address', '10.99.0.1/24')).toContain('--peer-address');
    expect(await refused('a', '--peer', 'a', '--address', '10.99.0.1/30')).toContain('--peer-ifname');
    await expectClean();
  });

  it('chooses a pair of addresses for a wire, for each another one, which is free again when either end goes', async () => {
    expect(await attach('a', '--peer', 'b', '--ifname', 'wire')).toBe(
      'a wire 169.254.128.0/31 <-> b wire 169.254.128.1/31\n',
    );
    await ping('a', '169.254.128.1');
    await ping('b', '169.254.128.0');
    expect(await sh(host, 'nethooks ps')).toMatch(/169\.254\.128\.0[\s\S]*169\.254\.128\.1/);
    expect(await sh(host, 'nethooks addresses')).toContain('169.254.128.0');
    // Not what the host itself reaches, be it by a route.
    await sh(host, 'ip route add 169.254.128.2/31 dev lo; ip addr add 169.254.128.4/32 dev lo');
    expect(await attach('a', '--peer', 'b', '--ifname', 'wire2')).toContain('169.254.128.6/31 <-> ');
    await sh(host, 'ip route del 169.254.128.2/31 dev lo; ip addr del 169.254.128.4/32 dev lo');
    await detach('b');
    await expectClean();
    await attach('a', '--peer', 'b');
    await detach('a');
    await expectClean();
    const lines = await sh(host, 'seq 100 | xargs -P 20 -I N nethooks attach a --peer b --ifname wN', [], {
      timeoutMs: 60_000,
    });
    const addresses = lines.match(/169\.254\.\d+\.\d+/g) ?? [];
    expect(addresses).toHaveLength(200);
    expect(new Set(addresses).size).toBe(200);
    await detach('b');
    await expectClean();
  });

  it.each(['gc', 'up'])(
    'what is left of those whose namespace has ended is shown, and goes with `nethooks %s`',
    async (command) => {
      await sh(host, 'ip netns add brief; ip netns add other');
      await attach('brief', '--name', 'gone', '--alias', 'shortlived', '--publish', '8081:80');
      await attach('brief', '--peer', 'other', '--ifname', 'wire');
      const conf = JSON.stringify({ cniVersion: '1.0.0', name: 'br0', type: 'nethooks', network: 'br0' });
      const env = {
        CNI_COMMAND: 'ADD',
        CNI_CONTAINERID: 'default-c1',
        CNI_NETNS: '/run/netns/brief',
        CNI_IFNAME: 'eth1',
      };
      await must(host, ['/usr/lib/nethooks/nethooks', 'cni'], {
        env: { ...env, CNI_PATH: '/opt/cni/bin' },
        input: conf,
      });
      const names = () => sh(host, 'getent hosts shortlived.lxc c1.lxc || true');
      await eventually(async () => expect(await names()).toMatch(/shortlived[\s\S]*c1/));
      const states = async () =>
        (JSON.parse(await must(host, ['nethooks', 'ps', '--json'])) as { name: string; state: string }[]).map(
          ({ name, state }) => `${name} ${state}`,
        );
      expect(await states()).toEqual(['brief running', 'brief running', 'c1 running', 'other running']);
      await sh(host, 'ip netns del brief');
      await eventually(async () =>
        expect(await states()).toEqual(['brief gone', 'brief gone', 'c1 gone', 'other running']),
      );
      const { stdout, stderr } = await host.run(['nethooks', 'status']);
      expect(stderr).toContain('nethooks: c1: is no more; its names, ports and addresses are still held\n');
      expect(stdout).toContain('`nethooks gc` takes back what is left');
      await must(host, ['nethooks', command]);
      expect(await names()).toBe('');
      expect(await states()).toEqual([]);
      await sh(host, 'ip netns del other');
      await expectClean();
    },
  );

  it('says in words what is there already', async () => {
    await sh(host, 'ip -n a link add eth0 type bridge; ip -n a addr add 10.9.0.2/24 dev eth0');
    const words = /^1 nethooks: the container already has an interface eth0\n$/;
    expect(await refused('a')).toMatch(words);
    expect(await refused('a', '--mode', 'ptp', '--address', '10.9.0.2/24')).toMatch(words);
    const busy =
      /^1 nethooks: one of the two has an interface of that name already; --ifname and --peer-ifname choose others\n$/;
    expect(await refused('a', '--peer', 'b')).toMatch(busy);
    expect(await refused('b', '--peer', 'a')).toMatch(busy);
    await sh(host, 'ip -n a link del eth0');
    expect(await refused('a', '--mac', '01:00:5e:00:00:01')).not.toMatch(/RTNETLINK|Command failed|-batch/);
    expect(await refused('a', '--mtu', '20')).not.toMatch(/RTNETLINK|Command failed|-batch/);
    expect(await refused('a', '--mode', 'ptp', '--address', '10.9.0.2/24', '--gateway', '10.8.0.1')).not.toMatch(
      /RTNETLINK|Command failed|-batch/,
    );
    await attach('a');
    expect(await refused('a')).toMatch(words);
    await detach('a');
    await expectClean();
  });

  const refusals: [string, string[], RegExp][] = [
    ['an unknown target', ['nope'], /^1 .*no process, network namespace or running container is called so/],
    ['a target of an unknown kind', ['vm:x'], /^2 .*vm: unknown; allowed: pid:N/],
    ['a process that is gone', ['pid:999999'], /^1 .*no such process/],
    ['a namespace that is not there', ['netns:nope'], /^1 .*no network namespace/],
    ['the host itself', ['pid:1'], /host's own/],
    ['a container of a program that is not installed', ['rkt:x'], /^1 .*rkt is not installed/],
    ['a network that is not up', ['a', '--network', 'br9'], /br9 is not up; up: br0/],
    ['an address outside', ['a', '--address', '10.1.0.5'], /failed to allocate all requested IPs/],
    ["the host's own address", ['a', '--address', '10.0.0.1'], /host's own/],
    ['a mode without an address', ['a', '--mode', 'ptp'], /^2 .*an address with prefix length/],
    ['a mode that is none', ['a', '--mode', 'x'], /^2 /],
    [
      'a master that is not there',
      ['a', '--mode', 'macvlan', '--master', 'no0', '--address', '192.0.2.9/24'],
      /no0: no such interface/,
    ],
    ['options that exclude each other', ['a', '--network', 'br0', '--mode', 'ptp'], /^2 .*exclude each other/],
    [
      '--publish beside a mode',
      ['a', '--mode', 'ptp', '--address', '10.9.0.2/24', '--publish', '80'],
      /^2 .*goes with --network/,
    ],
    ['a shim without macvlan', ['a', '--host-shim'], /^2 .*goes with --mode macvlan/],
    ['a port that is none', ['a', '--publish', '99999:80'], /99999/],
    [
      "a group's MAC",
      ['a', '--mac', '01:00:5e:00:00:01'],
      /^1 .*mac: "01:00:5e:00:00:01": allowed: six hexadecimal bytes/,
    ],
    ['an MTU that is none', ['a', '--mtu', 'x'], /^2 .*--mtu x: allowed: bytes/],
    [
      'a master that can have none',
      ['a', '--mode', 'macvlan', '--master', 'lo', '--address', '192.0.2.9/24'],
      /^1 nethooks: master: lo: macvlan cannot be on it: Invalid argument\n$/,
    ],
    [
      'a DHCP client without its daemon',
      ['a', '--mode', 'macvlan', '--address', 'dhcp'],
      /plugin dhcp: its daemon does not run; `systemctl start cni-dhcp.socket` starts it/,
    ],
    ['what a wire has not', ['a', '--peer', 'b', '--mtu', '1400'], /^2 .*--peer goes with --address, .* only/],
    [
      'one address for both ends',
      ['a', '--peer', 'b', '--address', '10.9.0.1/30', '--peer-address', '10.9.0.1/30'],
      /^2 .*both ends would have it/,
    ],
    ['a bad interface name', ['a', '--ifname', 'a b'], /^2 .*not an interface's name/],
  ];
  it.each(refusals)('refuses %s, and leaves nothing', async (_what, words, message) => {
    expect(await refused(...words)).toMatch(message);
    expect(await inNamespace(host, 'a', ['ip', '-br', 'link'])).not.toContain('eth0');
    await expectClean();
  });

  it('ipvlan is refused where the kernel has none, and leaves nothing', async () => {
    const { code, stderr } = await host.run([
      'nethooks',
      'attach',
      'a',
      '--mode',
      'ipvlan',
      '--address',
      '192.0.2.9/24',
    ]);
    if (code === 0) await detach('a');
    else expect(stderr).toContain('this kernel has no ipvlan');
    await expectClean();
  });

  it('undoes all of it when the last step fails', async () => {
    await writeFile(host, '/usr/local/sbin/nft', '#!/bin/sh\necho "nft is broken" >&2; exit 1\n', '755');
    expect(await refused('a', '--mode', 'ptp', '--address', '10.9.0.2/24')).toContain('nft is broken');
    await sh(host, 'rm /usr/local/sbin/nft');
    expect(await inNamespace(host, 'a', ['ip', '-br', 'link'])).not.toContain('eth0');
    await expectClean();
    expect((await host.run(['nethooks', 'detach', 'a'])).stderr).toContain('a: nothing is attached');
  });
});
