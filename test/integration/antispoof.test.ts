/** antispoof, by raw frames: what a container sends with somebody else's MAC, address or ARP sender reaches nobody. */
import { beforeAll, describe, expect, it } from 'vitest';
import type { ThrowawayHost } from '../../src/demo/throwaway.ts';
import { installCni } from '../lab/cni.ts';
import { type FrameSpec, macIn, sendFrames } from '../lab/frames.ts';
import { describeLab, installNethooks, labHost, must, sh, writeConfig, writeFile } from '../lab/lab.ts';
import { cniOnNetwork, script } from '../lab/lifecycle.ts';
import { ask, serve } from '../lab/traffic.ts';

const config = (keys: string) =>
  `[network.br0]\naddress = 10.0.0.1/24\n${keys}\n[network.br1]\naddress = 10.1.0.1/24\n`;

const BRIDGE = 'nft list table bridge nethooks';
let host: ThrowawayHost;
let macs: Record<'web' | 'mate' | 'evil', string>;

/** web (10.0.0.2), mate (10.0.0.3) and evil (10.0.0.4) are LXC's, started by our hooks. */
async function start(keys: string): Promise<void> {
  await host?.close();
  host = await labHost();
  await installNethooks(host, { config: config(keys) });
  await script(
    host,
    `for name in web mate evil; do create $name; begin $name; done
    hook start-host web --publish 8080:80; hook start-host mate; hook start-host evil`,
  );
  macs = { web: await macIn(host, 'web'), mate: await macIn(host, 'mate'), evil: await macIn(host, 'evil') };
}

/** A port that nobody registered, as a VM's or an ordinary user's container's is. */
const ADD_VM = `ip netns add vm; ip link add vm0 type veth peer name eth0 netns vm
  ip link set vm0 master br0 up; ip -n vm link set lo up; ip -n vm link set eth0 up`;

const honest = (): FrameSpec[] => [
  { name: 'own', ip: '10.0.0.4' },
  { name: 'own-arp', kind: 'arp', ip: '10.0.0.4' },
  { name: 'probe', kind: 'arp', ip: '0.0.0.0' },
  { name: 'dhcp', kind: 'dhcp', ip: '0.0.0.0' },
  { name: 'link-local', kind: 'ipv6', ip: 'fe80::4' },
];
const forged = (): FrameSpec[] => [
  { name: 'ip', ip: '10.0.0.2' },
  { name: 'gateway', ip: '10.0.0.1' },
  { name: 'outside', ip: '198.51.100.7' },
  { name: 'mac', mac: macs.web, ip: '10.0.0.4' },
  { name: 'both', mac: macs.web, ip: '10.0.0.2' },
  { name: 'new-mac', mac: '02:00:00:00:00:99', ip: '10.0.0.4' },
  { name: 'arp-ip', kind: 'arp', ip: '10.0.0.2' },
  { name: 'arp-gateway', kind: 'arp', ip: '10.0.0.1' },
  { name: 'arp-mac', kind: 'arp', ip: '10.0.0.4', claims: macs.web },
  { name: 'arp-both', kind: 'arp', mac: macs.web, ip: '10.0.0.2' },
  { name: 'probe-mac', kind: 'arp', ip: '0.0.0.0', claims: macs.web },
  { name: 'nobody', ip: '0.0.0.0' },
  { name: 'global', kind: 'ipv6', ip: '2001:db8::4' },
  { name: 'tagged', ip: '10.0.0.4', vlan: 5 },
  { name: 'other', kind: 'other' },
];
const names = (frames: readonly FrameSpec[]): string[] => frames.map(({ name }) => name);
const heard = (from: string, frames: readonly FrameSpec[], listeners: readonly string[]) =>
  sendFrames(host, from, frames, listeners);
const portOf = async (mac: string) =>
  (await sh(host, `bridge fdb show br br0 | grep -v permanent | grep '^${mac}' | sed 's/.* dev //; s/ .*//'`)).trim();

describeLab('a container that forges what it sends', () => {
  it('antispoof = false: everybody believes it', async () => {
    await start('antispoof = false');
    const all = [...honest(), ...forged()];
    expect((await heard('evil', all, ['mate'])).mate).toEqual(names(all));
    expect(await sh(host, 'nft list tables')).not.toContain('bridge');
  });

  describe('antispoof = true', () => {
    beforeAll(() => start('antispoof = true'));

    it('reaches neither a neighbour nor the host, and the bridge learns nothing from it', async () => {
      await sh(host, 'ip netns exec web ping -c 1 -W 1 10.0.0.1');
      const all = [...honest(), ...forged()];
      expect(await heard('evil', all, ['mate', 'host:br0'])).toEqual({
        mate: names(honest()),
        'host:br0': names(honest()),
      });
      expect(await portOf(macs.web)).toBe('vweb');
    });

    it('by TCP, UDP and ping: its own address is answered, a second one is not', async () => {
      for (const name of ['web', 'mate']) await serve(host, name, ['0.0.0.0:80']);
      const targets = ['tcp 10.0.0.2:80', 'udp 10.0.0.2:80'] as const;
      const answers = (said: string) => Object.fromEntries(targets.map((target) => [target, said]));
      expect(await ask(host, 'evil', targets)).toEqual(answers('80 10.0.0.4'));
      await sh(host, 'ip -n evil address add 10.0.0.77/24 dev eth0');
      const ping = (source: string) =>
        host.run(['ip', 'netns', 'exec', 'evil', 'ping', '-c', '1', '-W', '1', '-I', source, '10.0.0.2']);
      expect([(await ping('10.0.0.4')).code, (await ping('10.0.0.77')).code]).toEqual([0, 1]);
      // Published ports: from outside, from the host, from a neighbour, and its own by way of the host.
      expect(await ask(host, 'internet', ['tcp 192.0.2.2:8080'])).toEqual({ 'tcp 192.0.2.2:8080': '80 192.0.2.1' });
      for (const side of ['evil', 'web'])
        expect(await ask(host, side, ['tcp 192.0.2.2:8080', 'udp 10.0.0.2:80'])).toMatchObject({
          'tcp 192.0.2.2:8080': '80 10.0.0.1',
        });
      await sh(host, 'ip -n evil address delete 10.0.0.77/24 dev eth0');
    });

    it('a DHCP client inside gets its address, and renews it', async () => {
      const client = (more: string) =>
        sh(host, `ip netns exec evil busybox udhcpc -i eth0 -f -n -q -t 5 -s /bin/true ${more} 2>&1`);
      expect(await client('')).toMatch(/lease of 10\.0\.0\.4 obtained/);
      await sh(host, 'ip -n evil address flush dev eth0');
      expect(await client('')).toMatch(/lease of 10\.0\.0\.4 obtained/);
      await sh(host, 'ip -n evil address replace 10.0.0.4/24 dev eth0; ip netns exec evil ping -c 1 -W 1 10.0.0.1');
    });

    it('a port that nobody registered is as it was', async () => {
      await sh(host, `${ADD_VM}; ip -n vm address add 10.0.0.99/24 dev eth0`);
      await sh(host, 'ip netns exec vm ping -c 1 -W 1 10.0.0.3; ip netns exec mate ping -c 1 -W 1 10.0.0.99');
      await sh(host, 'ip netns delete vm');
    });

    it('holds when the rules were taken away, for renamed ports, and goes with the container', async () => {
      const holds = async () => {
        expect((await heard('evil', [...honest(), ...forged()], ['mate'])).mate).toEqual(names(honest()));
        // What the frames of a forger have cost it inside comes back, and that is all.
        expect(await must(host, ['nethooks', 'up'])).toMatch(/^(nothing to change\n|(in container evil: .*\n)+)$/);
        expect(await must(host, ['nethooks', 'up'])).toBe('nothing to change\n');
      };
      for (const taken of [
        'nft flush ruleset',
        'nft delete table bridge nethooks',
        'nft flush table bridge nethooks',
      ]) {
        await sh(host, taken);
        expect((await host.run(['nethooks', 'plan'])).code, taken).toBe(3);
        expect((await host.run(['nethooks', 'status'])).code, taken).toBe(3);
        await must(host, ['nethooks', 'up']);
        await holds();
      }
      await sh(
        host,
        'nft delete table bridge nethooks; IFACE=eth0 MODE=start ADDRFAM=inet METHOD=static /etc/network/if-up.d/nethooks',
      );
      await holds();
      await sh(host, 'ip link set vevil down; ip link set vevil name renamed; ip link set renamed up');
      await holds();
      await sh(host, 'ip link set renamed down; ip link set renamed name vevil; ip link set vevil up');
      await script(host, 'hook post-stop evil; end evil');
      expect(await sh(host, BRIDGE)).not.toContain(macs.evil);
      await script(host, 'begin evil; hook start-host evil');
      await holds();
      // One that was killed, with nobody to take it down.
      await script(host, 'end evil');
      expect(await sh(host, BRIDGE)).toContain('10.0.0.4');
      await sh(host, 'nethooks gc');
      expect(await sh(host, BRIDGE)).not.toContain('10.0.0.4');
      await script(host, 'begin evil; hook start-host evil');
      await holds();
    });

    it('nobody starts where the rules are gone', async () => {
      await sh(host, 'nft delete table bridge nethooks');
      const late = await host.run([
        'sh',
        '-euc',
        `. ${process.cwd()}/test/lab/lifecycle.sh; create late; begin late; hook start-host late`,
      ]);
      expect(late.code).not.toBe(0);
      expect(late.stderr).toContain('`nethooks up` brings them back');
      await script(host, 'end late; nethooks up');
    });

    it('switched off and on again under containers that run, with what their records do not say', async () => {
      await writeConfig(host, config('antispoof = false'));
      await must(host, ['nethooks', 'up']);
      expect(await must(host, ['nethooks', 'up'])).toBe('nothing to change\n');
      expect(await sh(host, 'nft list tables; ls /run/nethooks/antispoof')).not.toMatch(/bridge|br0/);
      expect((await heard('evil', forged(), ['mate'])).mate).toEqual(names(forged()));
      await script(
        host,
        'ip netns add pod; nethooks attach pod; hook post-stop mate; end mate; begin mate; hook start-host mate',
      );
      // As an earlier version would have recorded it.
      await sh(host, `sed -i 's/,"port":[0-9]*}/}/' /run/nethooks/attachments/lxc/*.json`);
      await writeConfig(host, config('antispoof = true'));
      await must(host, ['nethooks', 'up']);
      expect(await must(host, ['nethooks', 'up'])).toBe('nothing to change\n');
      const all = [...honest(), ...forged()];
      expect(await heard('evil', all, ['mate', 'pod'])).toEqual({ mate: names(honest()), pod: names(honest()) });
      // Whoever sweeps leaves them what they have.
      const listed = await sh(host, BRIDGE);
      await must(host, ['nethooks', 'gc']);
      expect(await sh(host, BRIDGE)).toBe(listed);
      const pod = (await sh(host, `ip -n pod -4 -o address show eth0 | sed 's/.*inet //; s#/.*##'`)).trim();
      const fromPod = [{ name: 'pod', ip: pod }, ...honest().slice(0, 1)];
      expect((await heard('pod', fromPod, ['mate'])).mate).toEqual(['pod']);
      await sh(host, 'nethooks detach pod; ip netns delete pod');
      expect(await sh(host, BRIDGE)).not.toContain(pod);
      await script(host, 'hook post-stop evil; end evil');
      expect(await sh(host, BRIDGE)).not.toContain(macs.evil);
      await script(host, 'begin evil; hook start-host evil');
    });

    it("CNI's containers too, and a fixed MAC", async () => {
      await installCni(host);
      await script(host, `ip netns add cni; cni ADD cni '${cniOnNetwork(8090)}' >/dev/null`);
      const own = (await sh(host, `ip -n cni -4 -o address show eth0 | sed 's/.*inet //; s#/.*##'`)).trim();
      const frames: FrameSpec[] = [
        { name: 'own', ip: own },
        { name: 'web', ip: '10.0.0.2' },
      ];
      expect((await heard('cni', frames, ['mate'])).mate).toEqual(['own']);
      await script(host, `cni DEL cni '${cniOnNetwork(8090)}'; ip netns delete cni`);
      expect(await sh(host, BRIDGE)).not.toContain(own);
      await script(
        host,
        `create fixed; echo 'lxc.net.0.hwaddr = 00:16:3E:aa:bb:cc' >>/var/lib/lxc/fixed/config
        begin fixed; ip -n fixed link set eth0 address 00:16:3e:aa:bb:cc; hook start-host fixed
        ip netns exec fixed ping -c 1 -W 1 10.0.0.1; hook post-stop fixed; end fixed`,
      );
    });

    it('goes with the network, and stays as long as containers are on its bridge', async () => {
      await must(host, ['nethooks', 'down']);
      expect((await heard('evil', [...honest(), ...forged()], ['mate'])).mate).toEqual(names(honest()));
      await script(host, 'for name in web mate evil; do hook post-stop $name; end $name; done');
      await must(host, ['nethooks', 'down']);
      expect(await sh(host, 'nft list tables; ls /run/nethooks/antispoof')).not.toMatch(/nethooks|br0/);
    });
  });
});

describeLab('a port that nobody registered, where icc = false', () => {
  beforeAll(async () => {
    await start('icc = false');
    await sh(host, ADD_VM);
    for (const name of ['web', 'mate']) await serve(host, name, ['0.0.0.0:80']);
    await serve(host, 'internet', ['192.0.2.1:7000']);
  });

  it('containers are checked without being asked for, and still meet over links', async () => {
    expect(await heard('evil', [...honest(), ...forged()], ['host:br0'])).toEqual({ 'host:br0': names(honest()) });
    await script(host, 'hook post-stop evil; hook start-host evil --link web:w');
    expect(await ask(host, 'evil', ['tcp 10.0.0.2:80', 'tcp 10.0.0.3:80'])).toEqual({
      'tcp 10.0.0.2:80': '80 10.0.0.4',
      'tcp 10.0.0.3:80': 'silence',
    });
  });

  it('gets DHCP and the gateway, and through it names, the outside and published ports', async () => {
    const lease = '[ "$1" != bound ] || { ip address add $ip/24 dev eth0; ip route add default via $router; }';
    await writeFile(host, '/srv/lease', `#!/bin/sh\n${lease}\n`, '755');
    const client = 'ip netns exec vm busybox udhcpc -i eth0 -f -n -q -t 5 -s /srv/lease 2>&1';
    expect(await sh(host, client)).toMatch(/lease of 10\.0\.0\.1\d\d obtained/);
    await sh(host, 'ip netns exec vm ping -c 1 -W 1 10.0.0.1; ip netns exec vm ping -c 1 -W 1 192.0.2.1');
    expect(await sh(host, 'ip netns exec vm busybox nslookup web.lxc 10.0.0.1')).toContain('10.0.0.2');
    expect(await ask(host, 'vm', ['tcp 192.0.2.1:7000', 'udp 192.0.2.1:7000', 'tcp 10.0.0.1:8080'])).toEqual({
      'tcp 192.0.2.1:7000': '7000 192.0.2.2',
      'udp 192.0.2.1:7000': '7000 192.0.2.2',
      'tcp 10.0.0.1:8080': '80 10.0.0.1',
    });
  });

  it('nothing of it reaches a container, nor of a container it', async () => {
    const all: FrameSpec[] = [...honest(), ...forged()].map((one) => ({ ...one, name: `vm-${one.name}` }));
    const unicast = all.map((one) => ({ ...one, name: `${one.name}-to`, to: macs.mate }));
    expect((await heard('vm', [...all, ...unicast], ['mate'])).mate).toEqual([]);
    const vm = await macIn(host, 'vm');
    const back = [...honest(), ...honest().map((one) => ({ ...one, name: `${one.name}-to`, to: vm }))];
    expect((await heard('evil', back, ['vm'])).vm).toEqual([]);
    expect(await ask(host, 'vm', ['tcp 10.0.0.2:80', 'udp 10.0.0.3:80'])).toEqual({
      'tcp 10.0.0.2:80': 'silence',
      'udp 10.0.0.3:80': 'silence',
    });
  });

  it("takes neither a container's address nor its MAC, not even by way of the gateway", async () => {
    const gateway = (await sh(host, 'cat /sys/class/net/br0/address')).trim();
    const frames: FrameSpec[] = [
      { name: 'linked', ip: '10.0.0.4', to: gateway },
      { name: 'mac', mac: macs.web, ip: '10.0.0.150', to: gateway },
      { name: 'arp', kind: 'arp', ip: '10.0.0.2', to: gateway },
      { name: 'fair', ip: '10.0.0.150', to: gateway },
    ];
    await sh(host, 'ip netns exec web ping -c 1 -W 1 10.0.0.1');
    expect((await heard('vm', frames, ['host:br0', 'mate']))['host:br0']).toEqual(['fair']);
    expect(await portOf(macs.web)).toBe('vweb');
  });
});
