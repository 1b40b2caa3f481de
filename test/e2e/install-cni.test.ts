/** install.sh for CNI runtimes: the plugin and networks where they look, and all of it taken back. */
import { beforeEach, expect, it } from 'vitest';
import type { ThrowawayHost } from '../../src/demo/throwaway.ts';
import { addNamespaces, mustCni } from '../lab/cni.ts';
import { describeLab, labHost, must, sh, writeFile } from '../lab/lab.ts';
import { rktGc, rktRun } from '../lab/rkt.ts';

const CHECKOUT = new URL('../..', import.meta.url).pathname;
let host: ThrowawayHost;

const install = (...words: string[]) => must(host, ['./install.sh', ...words], { cwd: CHECKOUT, timeoutMs: 60_000 });
/** Files in the directories that CNI runtimes read, with their contents. */
const files = () =>
  sh(
    host,
    'find /usr/lib/cni /usr/lib/rkt /etc/rkt /etc/cni -type f -exec sha256sum {} + 2>/dev/null | sort -k 2 || true',
  );

describeLab('install.sh for CNI runtimes', () => {
  beforeEach(async () => {
    host = await labHost({ uplinks: 1 });
    await sh(host, 'rm -rf /etc/rkt /usr/lib/rkt /etc/cni; mkdir -p /usr/lib/cni');
  });

  it('puts plugin and networks where they are asked for, and takes them back', async () => {
    const before = await files();
    await install('--no-apt', '--rkt', '--cni');
    expect((await host.run(['nethooks', 'net.d', 'check'])).stdout).toBe(
      '/etc/rkt/net.d/custom_rkt_bridge_dhcp.conf: the dhcp plugin needs its daemon: systemctl enable --now cni-dhcp.socket\n',
    );
    await addNamespaces(host, ['pod']);
    const conf = { cniVersion: '1.0.0', name: 'net', type: 'nethooks', network: 'br0' };
    const call = { id: 'pod', path: '/usr/lib/cni' };
    expect((await mustCni(host, 'ADD', conf, call)).ips[0].address).toMatch(/^10\.0\.0\./);
    await mustCni(host, 'DEL', conf, call);
    const pod = await rktRun(host, '8d7152a7-9c53-48d8-859e-c8469d5adbdb', ['br0', 'customrktbridge']);
    expect(pod.nets.map(({ name }) => name).sort()).toEqual(['br0', 'customrktbridge', 'default-restricted']);
    await rktGc(host, pod);
    expect(await install('--no-apt', '--rkt', '--cni')).toMatch(/nothing changed/);
    await install('--uninstall');
    expect(await files()).toBe(before);
    expect((await host.run(['test', '-e', '/etc/rkt'])).code).not.toBe(0);
  });

  it('finds directories that are there, and leaves the networks in them', async () => {
    await writeFile(host, '/etc/rkt/net.d/99-default.conf', '{"name":"default","type":"ptp"}\n');
    await install('--no-apt');
    expect(await sh(host, 'cat /etc/rkt/net.d/99-default.conf')).toBe('{"name":"default","type":"ptp"}\n');
    expect(await sh(host, 'ls /etc/rkt/net.d')).toContain('custom_rkt_bridge.conf');
    expect(await sh(host, 'ls /usr/lib/rkt/plugins/net')).toContain('nethooks-ptp');
    expect((await host.run(['test', '-e', '/etc/cni'])).code).not.toBe(0);
    await install('--uninstall');
    expect(await sh(host, 'ls /etc/rkt/net.d')).toBe('99-default.conf\n');
  });
});
