/** A real CNI runtime: podman 4 with its CNI backend, on our conflist. */
import { afterEach, beforeAll, expect, it } from 'vitest';
import type { ThrowawayHost } from '../../src/demo/throwaway.ts';
import { cniState } from '../lab/cni.ts';
import {
  type describeLab,
  describeLabUnless,
  eventually,
  hookLog,
  installedHost,
  must,
  sh,
  writeFile,
} from '../lab/lab.ts';
import { hasPodman, noCni, ROOTFS, setUpPodman } from '../lab/podman.ts';

let host: ThrowawayHost;
let clean: string;

/** The host's cgroups are its own, so podman needs no more than its settings. */
const podman = (...words: string[]) => must(host, ['podman', ...words], { timeoutMs: 60_000 });
const start = (name: string, options: string[], ...command: string[]) =>
  podman('run', '-d', '--cap-add', 'NET_RAW', '--name', name, ...options, '--rootfs', `${ROOTFS}:O`, ...command);
const inside = (name: string, ...command: string[]) => podman('exec', name, ...command);
const SLEEP = ['/bin/sleep', '3600'];

if (!hasPodman() && process.env.CI) throw new Error('podman, runc or conmon is not installed');
const describePodman: typeof describeLab = hasPodman()
  ? (name, body) => describeLabUnless(noCni(), name, body)
  : () => console.warn('SKIPPED podman: podman, runc or conmon is not installed');

describePodman('podman', () => {
  beforeAll(async () => {
    host = await installedHost({ dns: true, cni: true });
    await setUpPodman(host);
    await must(host, ['nethooks', 'net.d', 'write', '--cni']);
    await writeFile(
      host,
      '/etc/cni/net.d/60-dropin.conflist',
      JSON.stringify({
        cniVersion: '0.4.0',
        name: 'dropin',
        plugins: [
          {
            type: 'nethooks-bridge',
            bridge: 'cni-podman9',
            isGateway: true,
            ipMasq: true,
            hairpinMode: true,
            ipam: {
              type: 'host-local',
              routes: [{ dst: '0.0.0.0/0' }],
              ranges: [[{ subnet: '10.89.0.0/24', gateway: '10.89.0.1' }]],
            },
          },
          { type: 'portmap', capabilities: { portMappings: true } },
          { type: 'firewall' },
          { type: 'tuning' },
        ],
      }),
    );
    clean = await cniState(host);
  });

  // A test that failed must not make the others fail.
  afterEach(({ task }) => {
    if (task.result?.state === 'fail') return podman('rm', '-f', '-a', '-t', '0');
  });

  it('knows our network', async () => {
    expect(await podman('network', 'ls', '--format', '{{.Name}} {{.Driver}}')).toMatch(/^br0 nethooks$/m);
    expect(JSON.parse(await podman('network', 'inspect', 'br0'))[0]).toMatchObject({ name: 'br0', driver: 'nethooks' });
    expect((await host.run(['nethooks', 'net.d', 'check', '--cni'])).stdout).toBe('2 networks, nothing is wrong\n');
  });

  it('runs containers on it: address, default route, DNS, names, published ports, and nothing left', async () => {
    await start('web', ['--network', 'br0', '-p', '8080:80'], '/bin/httpd', '-f', '-p', '80', '-h', '/etc');
    await start('client', ['--network', 'br0:alias=front'], ...SLEEP);
    const [{ NetworkSettings: settings }] = JSON.parse(await podman('inspect', 'web'));
    expect(settings.Networks.br0).toMatchObject({ Gateway: '10.0.0.1', IPPrefixLen: 24 });
    const address: string = settings.Networks.br0.IPAddress;
    expect(await inside('web', '/bin/ip', 'route')).toContain('default via 10.0.0.1 dev eth0');
    expect(await inside('web', '/bin/cat', '/etc/resolv.conf')).toMatch(/^search lxc\nnameserver 10\.0\.0\.1$/m);
    expect(await inside('client', '/bin/nslookup', 'web.lxc')).toContain(address);
    await eventually(async () => expect(await sh(host, 'getent hosts web.lxc')).toContain(address));
    await sh(host, 'getent hosts front.lxc');
    for (const url of ['http://192.0.2.2:8080/hostname', 'http://127.0.0.1:8080/hostname'])
      expect(await must(host, ['busybox', 'wget', '-q', '-O', '-', url])).not.toBe('');
    expect(await host.internet(['busybox', 'wget', '-q', '-O', '-', 'http://192.0.2.2:8080/hostname'])).toMatchObject({
      code: 0,
    });
    for (const name of ['client', 'web'])
      await inside(name, '/bin/wget', '-q', '-O', '-', 'http://10.0.0.1:8080/hostname');
    await inside('client', '/bin/ping', '-c', '1', '-W', '2', '198.51.100.1');
    await podman('restart', '-t', '0', 'web');
    await inside('client', '/bin/wget', '-q', '-O', '-', `http://web.lxc/hostname`);
    await podman('rm', '-f', '-t', '0', 'web', 'client');
    await eventually(async () => expect(await cniState(host)).toBe(clean));
    expect(await hookLog(host)).toBe('');
  });

  it('takes --ip, --mac-address and --dns', async () => {
    await start(
      'fixed',
      ['--network', 'br0', '--ip', '10.0.0.66', '--mac-address', '02:00:00:00:00:66', '--dns', '198.51.100.1'],
      ...SLEEP,
    );
    expect(await inside('fixed', '/bin/ip', 'address', 'show', 'eth0')).toMatch(
      /02:00:00:00:00:66[\s\S]*10\.0\.0\.66\/24/,
    );
    expect(await inside('fixed', '/bin/cat', '/etc/resolv.conf')).toContain('nameserver 198.51.100.1');
    const { code, stderr } = await host.run([
      'podman',
      'run',
      '--rm',
      '--network',
      'br0',
      '--ip',
      '10.0.0.66',
      '--rootfs',
      `${ROOTFS}:O`,
      '/bin/true',
    ]);
    expect(code).not.toBe(0);
    expect(stderr).toContain('address 10.0.0.66 of network br0 is held by');
    await podman('rm', '-f', '-t', '0', 'fixed');
    await eventually(async () => expect(await cniState(host)).toBe(clean));
  });

  it('connects and disconnects a running container', async () => {
    await start('roamer', ['--network', 'dropin'], ...SLEEP);
    await podman('network', 'connect', 'br0', 'roamer');
    expect(await inside('roamer', '/bin/ip', 'address')).toMatch(/ 10\.89\.0\.\d+\/24[\s\S]* 10\.0\.0\.\d+\/24/);
    await podman('network', 'disconnect', 'br0', 'roamer');
    expect(await inside('roamer', '/bin/ip', 'address')).not.toContain(' 10.0.0.');
    await podman('rm', '-f', '-t', '0', 'roamer');
    await eventually(async () => expect((await cniState(host)).replace(/^cni-podman9\n/m, '')).toBe(clean));
  });

  it('a renamed container answers to its new name as soon as its network is set up anew', async () => {
    await start('before', ['--network', 'br0'], ...SLEEP);
    await podman('rename', 'before', 'after');
    await podman('network', 'reload', 'after');
    await eventually(async () => expect(await sh(host, 'getent hosts after.lxc || true')).toContain('10.0.0.'));
    expect(await sh(host, 'getent hosts before.lxc || true')).toBe('');
    expect(await sh(host, 'nethooks ps')).toMatch(/^after +cni +running/m);
    await podman('rm', '-f', '-t', '0', 'after');
    await eventually(async () => expect((await cniState(host)).replace(/^cni-podman9\n/m, '')).toBe(clean));
  });

  it('reloads and reconnects the network of a container with published ports, which its conmon holds', async () => {
    await start('server', ['--network', 'br0', '-p', '8082:80'], '/bin/httpd', '-f', '-p', '80', '-h', '/etc');
    const url = 'http://192.0.2.2:8082/hostname';
    const expectPublished = async () => {
      for (const get of [host.run, host.internet])
        expect(await get(['timeout', '3', 'busybox', 'wget', '-q', '-O', '-', url])).toMatchObject({ code: 0 });
    };
    expect(await sh(host, 'ss -Hltnp sport = :8082')).toContain('conmon');
    await expectPublished();
    await podman('network', 'reload', 'server');
    await expectPublished();
    await podman('network', 'disconnect', 'br0', 'server');
    expect((await host.run(['timeout', '1', 'busybox', 'wget', '-q', '-O', '-', url])).code).not.toBe(0);
    await podman('network', 'connect', 'br0', 'server');
    await expectPublished();
    // What its own conmon holds is nobody else's.
    const other = [
      'podman',
      'run',
      '--rm',
      '--network',
      'br0',
      '-p',
      '8082:80',
      '--rootfs',
      `${ROOTFS}:O`,
      '/bin/true',
    ];
    const { code, stderr } = await host.run(other);
    expect(code).not.toBe(0);
    expect(stderr).toContain('8082');
    await expectPublished();
    await podman('rm', '-f', '-t', '0', 'server');
    await eventually(async () => expect((await cniState(host)).replace(/^cni-podman9\n/m, '')).toBe(clean));
    expect(await sh(host, 'ls /run/nethooks/ports')).toBe('');
  });

  it('runs on a configuration for the stock bridge with another type, with stock plugins after it', async () => {
    await start('old', ['--network', 'dropin', '-p', '8081:80'], '/bin/httpd', '-f', '-p', '80', '-h', '/etc');
    await inside('old', '/bin/ping', '-c', '1', '-W', '2', '198.51.100.1');
    expect(await host.internet(['busybox', 'wget', '-q', '-O', '-', 'http://192.0.2.2:8081/hostname'])).toMatchObject({
      code: 0,
    });
    await podman('rm', '-f', '-t', '0', 'old');
    await eventually(async () => expect((await cniState(host)).replace(/^cni-podman9\n/m, '')).toBe(clean));
  });
});
