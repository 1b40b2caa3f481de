/** The seed of this project: rkt and its four networks. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ThrowawayHost } from '../../src/demo/throwaway.ts';
import { cniState, inNamespace } from '../lab/cni.ts';
import { describeLab, eventually, installedHost, must, sh, writeFile } from '../lab/lab.ts';
import { type RktPod, rktGc, rktRun } from '../lab/rkt.ts';

const POD = '8d7152a7-9c53-48d8-859e-c8469d5adbdb';
const OTHER = '596c724a-f3de-4892-aebf-83529d0f386f';

let host: ThrowawayHost;
let clean: string;

const addresses = async ({ netns }: RktPod) =>
  Object.fromEntries(
    (await inNamespace(host, netns, ['ip', '-4', '-br', 'address'])).split('\n').flatMap((line) => {
      const [name, , address] = line.split(/\s+/);
      return name && address ? [[name.split('@')[0], address]] : [];
    }),
  );
const routes = ({ netns }: RktPod) => inNamespace(host, netns, ['ip', 'route']);
const holder = (path: string) => sh(host, 'tr -d "\\r" <"/var/lib/cni/networks/$1"', [path]);
const ping = (pod: RktPod, address: string) => inNamespace(host, pod.netns, ['ping', '-c', '1', '-W', '2', address]);

/** The seed's files, with only the type changed. */
const SEED = {
  'custom_rkt_bridge.conf':
    '{\n    "cniVersion": "0.2.0",\n    "name": "customrktbridge",\n    "type": "TYPE",\n    "bridge": "cni0",\n    "isGateway": true,\n    "ipMasq": true,\n    "ipam": {\n        "type": "host-local",\n        "subnet": "10.11.0.0/16",\n        "routes": [\n            { "dst": "0.0.0.0/0" }\n        ]\n    }\n}\n',
  'default.conf':
    '{"cniVersion":"0.1.0","name":"default","type":"TYPE","ipMasq":true,"ipam":{"type":"host-local","subnet":"172.16.28.0/24","routes":[{"dst":"0.0.0.0/0"}]}}',
  'default-restricted.conf':
    '{"cniVersion":"0.1.0","name":"default-restricted","type":"TYPE","ipMasq":false,"ipam":{"type":"host-local","subnet":"172.17.0.0/16"}}',
  'custom_rkt_bridge_dhcp.conf':
    '{"cniVersion":"0.2.0","name":"customrktbridgedhcp","type":"TYPE","master":"eth0","ipam":{"type":"dhcp"}}',
};

describeLab("rkt's networks", () => {
  beforeAll(async () => {
    host = await installedHost({ cni: true });
    await sh(
      host,
      'mkdir -p /etc/rkt /usr/lib/rkt/plugins/net; cp /opt/cni/bin/nethooks* /usr/lib/rkt/plugins/net; ip netns add x; ip netns del x',
    );
    await startDhcp();
    clean = await cniState(host);
  });

  describe.each(['the templates', "the seed's files with another type"])('from %s', (source) => {
    beforeAll(async () => {
      await sh(host, 'rm -rf /etc/rkt/net.d');
      if (source === 'the templates') {
        await sh(host, 'nethooks net.d write --rkt');
        expect((await host.run(['nethooks', 'net.d', 'check', '--rkt'])).stdout).toBe('5 networks, nothing is wrong\n');
      } else
        for (const [file, text] of Object.entries(SEED))
          await writeFile(host, `/etc/rkt/net.d/${file}`, text.replace('TYPE', 'nethooks'));
    });

    it('customrktbridge, and default-restricted beside it', async () => {
      const pod = await rktRun(host, POD, ['customrktbridge']);
      const other = await rktRun(host, OTHER, ['customrktbridge']);
      // rkt takes the files in the order of their names.
      const own = pod.nets.find(({ name }) => name === 'customrktbridge') as RktPod['nets'][number];
      const restricted = pod.nets.find(({ name }) => name === 'default-restricted') as RktPod['nets'][number];
      expect(own.result.ip4).toMatchObject({ gateway: '10.11.0.1', routes: [{ dst: '0.0.0.0/0' }] });
      expect(own.result.dns).toHaveProperty('nameservers');
      expect(restricted.result.ip4.routes).toBeUndefined();
      const found = await addresses(pod);
      expect(found[own.ifname]).toBe(own.result.ip4.ip);
      expect(found[restricted.ifname]).toMatch(/^172\.17\.\d+\.\d+\/16$/);
      const [address, address2] = [own.result.ip4.ip, restricted.result.ip4.ip].map((ip) => ip.split('/')[0]);
      const lines = await routes(pod);
      expect(lines).toContain(`default via 10.11.0.1 dev ${own.ifname}`);
      expect(lines).toContain(`172.17.0.0/16 via 172.17.0.1 dev ${restricted.ifname} src ${address2}`);
      expect(lines).toMatch(new RegExp(`^172\\.17\\.0\\.1 dev ${restricted.ifname} .*src ${address2}`, 'm'));
      expect(await holder(`customrktbridge/${address}`)).toBe(`${POD}\n${own.ifname}`);
      expect(await holder(`default-restricted/${address2}`)).toBe(`${POD}\n${restricted.ifname}`);
      await ping(pod, other.nets[0]?.result.ip4.ip.split('/')[0] ?? '');
      await ping(pod, other.nets[1]?.result.ip4.ip.split('/')[0] ?? '');
      await ping(pod, '172.17.0.1');
      await ping(pod, '198.51.100.1'); // the internet does not know 10.11.0.0/16: masqueraded
      await rktGc(host, pod);
      await rktGc(host, other);
      expect((await cniState(host)).replace(/^cni0\n/m, '')).toBe(clean);
    });

    it('default: a way out, and no other network', async () => {
      const pod = await rktRun(host, POD, ['default']);
      expect(pod.nets.map(({ name, ifname }) => [name, ifname])).toEqual([['default', 'eth0']]);
      expect(pod.nets[0]?.result.ip4).toMatchObject({ gateway: '172.16.28.1', routes: [{ dst: '0.0.0.0/0' }] });
      const address = pod.nets[0]?.result.ip4.ip.split('/')[0];
      expect(await routes(pod)).toContain('default via 172.16.28.1 dev eth0');
      expect(await sh(host, 'ip -4 -o address | grep veth')).toContain('172.16.28.1/32');
      expect(await must(host, ['ip', 'route', 'get', address ?? ''])).toContain('dev veth');
      await ping(pod, '198.51.100.1');
      await rktGc(host, pod);
    });

    it('default-restricted: no way out', async () => {
      const pod = await rktRun(host, POD, ['default-restricted']);
      expect(await routes(pod)).not.toContain('default');
      expect(pod.nets[0]?.result.dns).toEqual({});
      await ping(pod, '172.17.0.1');
      await expect(ping(pod, '198.51.100.1')).rejects.toThrow();
      await rktGc(host, pod);
    });

    it('customrktbridgedhcp: address, default route and name servers from the DHCP server out there', async () => {
      const pod = await rktRun(host, POD, ['customrktbridgedhcp']);
      const own = pod.nets.find(({ name }) => name === 'customrktbridgedhcp') as RktPod['nets'][number];
      expect(own.result.ip4.ip).toMatch(/^192\.0\.2\.1\d\d\/24$/);
      expect(own.result.ip4.gateway).toBe('192.0.2.1');
      expect(own.result.dns).toEqual({
        nameservers: ['198.51.100.1'],
        domain: 'corp.example',
        search: ['corp.example'],
      });
      expect(await routes(pod)).toContain(`default via 192.0.2.1 dev ${own.ifname}`);
      await ping(pod, '198.51.100.1');
      await rktGc(host, pod);
      expect((await cniState(host)).replace(/^cni0\n/m, '')).toBe(clean);
    });

    it('an address of its own: --net=customrktbridge:IP=10.11.0.77', async () => {
      const pod = await rktRun(host, POD, ['customrktbridge:IP=10.11.0.77']);
      expect(pod.nets.find(({ name }) => name === 'customrktbridge')?.result.ip4.ip).toBe('10.11.0.77/16');
      await expect(rktRun(host, OTHER, ['customrktbridge:IP=10.11.0.77'])).rejects.toThrow(/is held by 8d7152a7/);
      await rktGc(host, pod);
    });
  });

  it('what rkt would not understand is said by `net.d check`', async () => {
    await writeFile(
      host,
      '/etc/rkt/net.d/a.conf',
      '{"cniVersion":"0.4.0","name":"x","type":"nethooks","ipam":{"type":"host-local","subnet":"10.0.0.0/16"}}',
    );
    await writeFile(host, '/etc/rkt/net.d/b.conf', '{"name":"x","type":"no-such"}');
    await writeFile(host, '/etc/rkt/net.d/c.conf', 'garbage');
    const { code, stdout } = await host.run(['nethooks', 'net.d', 'check', '--rkt']);
    expect(code).toBe(3);
    expect(stdout).toContain('a.conf: cniVersion: 0.4.0: rkt understands results up to 0.2.0');
    expect(stdout).toContain('a.conf: subnet 10.0.0.0/16 overlaps 10.0.0.0/24 of network br0');
    expect(stdout).toContain('b.conf: plugin no-such is not installed');
    expect(stdout).toContain('b.conf: network x is defined in a.conf already: this one is ignored');
    expect(stdout).toContain('c.conf: not a JSON object');
    expect((await host.run(['nethooks', 'net.d', 'list', '--rkt'])).stdout).toMatch(
      /^customrktbridge +nethooks.* \(bridge\) +10\.11\.0\.0\/16/m,
    );
  });

  it('what is there already is left', async () => {
    await writeFile(host, '/etc/rkt/net.d/99-default.conf', '{}');
    const { code, stderr } = await host.run(['nethooks', 'net.d', 'write', '--rkt']);
    expect(code).toBe(1);
    expect(stderr).toContain('99-default.conf is there and says something else');
    expect(await sh(host, 'cat /etc/rkt/net.d/99-default.conf')).toBe('{}');
  });
});

/** A DHCP server beyond the uplink, and the stock plugin's daemon on the host. */
async function startDhcp(): Promise<void> {
  await host.internet([
    'dnsmasq',
    '--conf-file=/dev/null',
    '--port=0',
    '--interface=eth0',
    '--bind-interfaces',
    '--no-ping',
    '--dhcp-authoritative',
    '--dhcp-range=192.0.2.100,192.0.2.199,1h',
    '--dhcp-option=3,192.0.2.1',
    '--dhcp-option=6,198.51.100.1',
    '--domain=corp.example',
    '--dhcp-leasefile=/tmp/leases',
    '--pid-file=/tmp/dhcp.pid',
  ]);
  await sh(host, 'rm -f /run/cni/dhcp.sock; mkdir -p /run/cni; setsid /usr/lib/cni/dhcp daemon >/tmp/dhcp.log 2>&1 & ');
  await eventually(() => must(host, ['test', '-S', '/run/cni/dhcp.sock']));
}

afterAll(async () => {
  await host?.run(['sh', '-c', 'kill $(cat /tmp/dhcp.pid)']);
});
