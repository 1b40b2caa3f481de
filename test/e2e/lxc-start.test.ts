/** What `lxc-start -s` says against a container's configuration is followed, or refused with the reason: never taken for what the file says. */
import { afterEach, beforeAll, expect, it } from 'vitest';
import type { ThrowawayHost } from '../../src/demo/throwaway.ts';
import { commandsOn, describeLab, eventually, inContainer, installedHost, must, STILL, sh } from '../lab/lab.ts';

const CONFIG = `
[network.br0]
address = 10.0.0.1/24
[network.br1]
address = 10.1.0.1/24
domain = two
`;

let host: ThrowawayHost;
const { resolved, hookLog } = commandsOn(() => host);
const start = (...words: string[]) => host.run(['lxc-start', '-n', 'web', ...words]);
/** A terminal or a pipe is what hooks write to. */
const saidAtStart = (...words: string[]) => sh(host, 'lxc-start -n web "$@" 2>&1 | cat', words);
const isRunning = async () => (await sh(host, 'lxc-ls --running')).includes('web');
const ps = async () =>
  (
    JSON.parse(await must(host, ['nethooks', 'ps', '--json'])) as { name: string; state: string; names: string[] }[]
  ).find(({ name }) => name === 'web');
const addresses = () => inContainer(host, 'web', ['ip', '-4', '-o', 'addr', 'show']);

describeLab('lxc-start -s', () => {
  beforeAll(async () => {
    host = await installedHost({ dns: true, config: CONFIG, containers: ['web', 'other'], containerConfig: STILL });
    await sh(host, 'ip link add lxcbr0 type bridge; ip link set lxcbr0 up');
  });

  afterEach(async () => {
    await sh(
      host,
      'for name in $(lxc-ls --running); do lxc-stop -k -n "$name"; done; rm -f /etc/nethooks/containers/*.ini /var/log/nethooks/hooks.log',
    );
    expect(await sh(host, 'ls /run/nethooks/overrides 2>/dev/null || true')).toBe('');
  });

  it('another bridge of ours: it is there, with address and name of that network', async () => {
    expect((await start('-s', 'lxc.net.0.link=br1')).code).toBe(0);
    expect(await addresses()).toContain('10.1.0.');
    expect(await resolved('web.two')).toMatch(/^10\.1\.0\./);
    expect(await resolved('web.lxc')).toBe('');
    expect(await hookLog()).toContain('start-host web: its command line says lxc.net.0.link=br1: eth0 is on br1');
  });

  it('the same in the foreground, and after a reboot from inside', async () => {
    await sh(host, 'setsid lxc-start -F -n web -s lxc.net.0.link=br1 </dev/null >/dev/null 2>&1 &');
    await eventually(async () => expect(await resolved('web.two')).toMatch(/^10\.1\.0\./));
    await sh(host, 'lxc-stop -k -n web');
    await start('-s', 'lxc.net.0.link=br1', '-s', 'lxc.init.cmd=/sbin/init');
    const before = await sh(host, 'lxc-info -n web -pH');
    await eventually(() => inContainer(host, 'web', ['reboot']));
    await eventually(async () => expect(await sh(host, 'lxc-info -n web -pH')).not.toBe(before));
    await eventually(async () => expect(await ps()).toMatchObject({ state: 'running' }));
    expect(await resolved('web.two')).toMatch(/^10\.1\.0\./);
  });

  it.each([
    ['a bridge that is not ours', 'lxc.net.0.link=lxcbr0', ['-slxc.net.0.link=lxcbr0']],
    ['the host’s network', 'lxc.net.0.type=none', ['--define=lxc.net.0.type=none', '-slxc.cap.drop=net_admin']],
    ['no network', 'lxc.net.0.type=empty', ['-slxc.net.0.type=empty']],
    ["another container's network", 'lxc.namespace.share.net=other', ['--share-net=other']],
  ])('%s: said, and nothing of ours is set up; refused where its options need a network', async (_, text, words) => {
    await must(host, ['lxc-start', '-n', 'other']);
    const there = await inContainer(host, 'other', ['ip', '-4', '-o', 'addr', 'show']);
    expect(await saidAtStart(...words)).toContain(`its command line says ${text}: on no network of ours`);
    expect(await isRunning()).toBe(true);
    expect((await ps())?.names ?? []).toEqual([]);
    expect(await resolved('web.lxc')).toBe('');
    expect(await inContainer(host, 'other', ['ip', '-4', '-o', 'addr', 'show'])).toBe(there);
    await sh(host, 'lxc-stop -k -n web; nethooks configure web --publish 8080:80');
    expect(await saidAtStart(...words)).toContain(
      `web was not started: publish: the container is on no network of ours: its command line says ${text}`,
    );
    expect(await isRunning()).toBe(false);
    expect(await must(host, ['nethooks', 'port'])).toBe('');
    await sh(host, 'nethooks configure web --remove');
    await sh(host, 'nethooks configure web --net bridge');
  });

  it('an address and a name of the interface: it has them', async () => {
    expect((await start('-s', 'lxc.net.0.ipv4.address=10.0.0.77/24', '-s', 'lxc.net.0.name=eth7')).code).toBe(0);
    expect(await addresses()).toMatch(/eth7\s+inet 10\.0\.0\.77\/24/);
    expect(await resolved('web.lxc')).toBe('10.0.0.77');
  });
});
