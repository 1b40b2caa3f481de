import { beforeAll, expect, it } from 'vitest';
import type { ThrowawayHost } from '../../src/demo/throwaway.ts';
import {
  capture,
  commandsOn,
  containerPid,
  createContainer,
  createContainers,
  describeLab,
  eventually,
  inContainer,
  installedHost,
  must,
  STILL,
  sh,
} from '../lab/lab.ts';

let host: ThrowawayHost;
const { start, stop, resolved, hookLog } = commandsOn(() => host);
/** lxc-stop returns before post-stop has run, and dnsmasq hears of it a moment later. */
const vanished = (name: string) => eventually(async () => expect(await resolved(name)).toBe(''));
/** Of a state, what belongs to running containers. */
const running = (text: string) =>
  text
    .split('\n')
    .filter((line) => /^run.nethooks.(names|containers)/.test(line))
    .join('\n');
/** Everything that nethooks keeps for containers. */
const state = () =>
  sh(
    host,
    'cd / && find run/nethooks/names run/nethooks/attachments run/nethooks/dnsmasq/*/dhcp-hosts var/lib/nethooks/containers var/lib/cni -type f 2>/dev/null | sort || true',
  );

describeLab('LXC containers', () => {
  beforeAll(async () => {
    host = await installedHost({ uplinks: 2, dns: true, containers: ['test', 'web'] });
    await createContainer(host, 'still', STILL);
  });

  it('have address, route, resolv.conf and name when lxc-start returns', async () => {
    await start('still');
    const pid = String(await containerPid(host, 'still'));
    const inside = await must(host, ['nsenter', '-t', pid, '-n', 'sh', '-c', 'ip -4 -br address show eth0; ip route']);
    const address = await resolved('still.lxc');
    expect(address).toMatch(/^10\.0\.0\.\d+$/);
    expect(inside).toContain(`${address}/24`);
    expect(inside).toContain('default');
    expect(inside).toContain('via 10.0.0.1 dev eth0');
    expect(await must(host, ['cat', `/proc/${pid}/root/etc/resolv.conf`])).toBe('search lxc\nnameserver 10.0.0.1\n');
    await stop('still');
  });

  it('answer at once, by name, from the host and from another container, whatever their DHCP client does meanwhile', async () => {
    for (const _ of Array(5).keys()) {
      // Nothing waits between the start and the pings.
      await sh(
        host,
        'lxc-start -n test; getent hosts test.lxc; busybox ping -c 1 -W 1 test.lxc; lxc-start -n web; lxc-attach -n web -- ping -c 1 -W 1 test.lxc; lxc-attach -n web -- ping -c 1 -W 1 test',
      );
      await sh(host, 'lxc-stop -k -n test; lxc-stop -k -n web');
    }
    expect(await hookLog()).toBe('');
  });

  it('have a default route also between the moment their DHCP client deletes it and that when it adds its own', async () => {
    await start('test');
    await eventually(async () =>
      expect(await inContainer(host, 'test', ['ip', 'route'])).toMatch(/^default .*eth0 $/m),
    );
    await inContainer(host, 'test', ['ip', 'route', 'del', 'default']);
    await inContainer(host, 'test', ['ping', '-c', '1', '-W', '2', '198.51.100.1']);
    await stop('test');
  });

  it('can be looked up in reverse', async () => {
    await start('test');
    expect(await must(host, ['getent', 'hosts', (await resolved('test.lxc')) as string])).toContain('test.lxc');
    await stop('test');
  });

  it("reach the outside with the uplink's address, each uplink with its own, and resolve outside names", async () => {
    await start('test');
    for (const { name, address, gateway } of host.uplinks) {
      const packets = await capture(host, ['-i', name, 'icmp'], { internet: true });
      await inContainer(host, 'test', ['ping', '-c', '1', '-W', '2', gateway]);
      expect(await packets.stop()).toContain(`IP ${address} > ${gateway}: ICMP echo request`);
    }
    expect(await inContainer(host, 'test', ['nslookup', 'internet.example'])).toContain('198.51.100.1');
    await stop('test');
  });

  it('keep their address over stop, start and a reboot from inside, and vanish by name while stopped', async () => {
    await start('test');
    const address = await resolved('test.lxc');
    await stop('test');
    await vanished('test.lxc');
    await start('web');
    await start('test');
    expect(await resolved('test.lxc')).toBe(address);
    const before = await containerPid(host, 'test');
    await host.run(['lxc-stop', '-r', '-n', 'test']);
    await sh(
      host,
      `for i in $(seq 100); do pid=$(lxc-info -n test -pH || true); [ -n "$pid" ] && [ "$pid" != ${before} ] && exit 0; sleep 0.1; done; exit 1`,
    );
    await sh(host, 'busybox ping -c 1 -W 2 test.lxc');
    expect(await resolved('test.lxc')).toBe(address);
    await stop('test');
    await stop('web');
  });

  it('leave nothing when destroyed', async () => {
    const before = await state();
    await createContainer(host, 'gone');
    await start('gone');
    expect(await state()).not.toBe(before);
    await stop('gone');
    await must(host, ['lxc-destroy', '-n', 'gone']);
    expect((await state()).replaceAll(/last_reserved_ip\.0\n/g, '')).toBe(
      before.replaceAll(/last_reserved_ip\.0\n/g, ''),
    );
    await vanished('gone.lxc');
  });

  it('get an address of their own when cloned', async () => {
    await start('still');
    await stop('still');
    await must(host, ['lxc-copy', '-n', 'still', '-N', 'twin']);
    await start('still');
    await start('twin');
    const [one, two] = [await resolved('still.lxc'), await resolved('twin.lxc')];
    expect(two).toMatch(/^10\.0\.0\./);
    expect(one).not.toBe(two);
    await sh(host, 'lxc-stop -k -n still; lxc-stop -k -n twin; lxc-destroy -n twin');
  });

  it('that fail to start leave no name, and the next start works', async () => {
    await createContainer(host, 'bad', 'lxc.init.cmd = /no/such/init');
    const before = await state();
    expect((await host.run(['lxc-start', '-n', 'bad'])).code).not.toBe(0);
    // Its address and reservation are kept for the next start, as those of any container that exists.
    await eventually(async () => expect(running(await state())).toBe(running(before)));
    await vanished('bad.lxc');
    await sh(host, "sed -i '/no.such.init/d' /var/lib/lxc/bad/config");
    await start('bad');
    await sh(host, 'busybox ping -c 1 -W 1 bad.lxc; lxc-stop -k -n bad; lxc-destroy -n bad');
  });

  it('may use hook version 0', async () => {
    await createContainer(host, 'old', STILL);
    await sh(host, "sed -i '/lxc.hook.version/d' /var/lib/lxc/old/config");
    await start('old');
    await sh(host, 'busybox ping -c 1 -W 1 old.lxc; lxc-stop -k -n old');
    await vanished('old.lxc');
    await must(host, ['lxc-destroy', '-n', 'old']);
    expect(await state()).not.toContain('old');
  });

  it('may have a static address, which nobody else gets', async () => {
    await createContainer(host, 'fixed', `${STILL}\nlxc.net.0.ipv4.address = 10.0.0.77/24`);
    await start('fixed');
    expect(await resolved('fixed.lxc')).toBe('10.0.0.77');
    expect(await sh(host, "tr -d '\\r' </var/lib/cni/networks/br0/10.0.0.77")).toBe('lxc-fixed\neth0');
    await createContainer(host, 'thief', `${STILL}\nlxc.net.0.ipv4.address = 10.0.0.77/24`);
    expect((await host.run(['lxc-start', '-n', 'thief'])).code).not.toBe(0);
    expect(await hookLog()).toMatch(/start-host thief: .*10\.0\.0\.77.*lxc-fixed/);
    await sh(host, 'lxc-stop -k -n fixed; lxc-destroy -n fixed; lxc-destroy -n thief; rm /var/log/nethooks/hooks.log');
  });

  it('that are not on a network of ours are left alone', async () => {
    await createContainer(host, 'alone', `${STILL}\nlxc.net.0.type = empty`);
    await start('alone');
    expect(await resolved('alone.lxc')).toBe('');
    await sh(host, 'lxc-stop -k -n alone; lxc-destroy -n alone');
    await createContainer(host, 'shared', `${STILL}\nlxc.net =\nlxc.net.0.type = none`);
    const addresses = await sh(host, 'ip -4 -o address');
    await start('shared');
    expect(await must(host, ['ip', 'route'])).not.toContain('nhid');
    expect(await sh(host, 'ip -4 -o address')).toBe(addresses);
    await sh(host, 'lxc-stop -k -n shared; lxc-destroy -n shared');
  });

  it('start fifty at once: fifty addresses, every name resolves', async () => {
    const names = Array.from({ length: 50 }, (_, index) => `c${index}`);
    await createContainers(host, names, STILL);
    await sh(host, 'for name; do lxc-start -n "$name" & done; wait', names, { timeoutMs: 110_000 });
    const addresses = await sh(host, 'for name; do getent hosts "$name.lxc"; done', names);
    const seen = addresses
      .trim()
      .split('\n')
      .map((line) => line.split(/\s+/)[0]);
    expect(seen).toHaveLength(50);
    expect(new Set(seen).size).toBe(50);
    await sh(host, 'for name; do busybox ping -c 1 -W 2 "$name.lxc"; done', names);
    await sh(
      host,
      'for name; do lxc-stop -k -n "$name" & done; wait; for name; do lxc-destroy -n "$name"; done',
      names,
      { timeoutMs: 110_000 },
    );
    expect(await state()).not.toMatch(/\bc\d+\b/);
    expect(await hookLog()).toBe('');
  });
});
