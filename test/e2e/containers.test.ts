import { beforeAll, describe, expect, it } from 'vitest';
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

  describe('that are refused', () => {
    const SAID =
      'nethooks: container shut was not started: /etc/nethooks/containers/shut.ini:1: publish = 99999: publish 99999: ';
    /** Runs a shell script in which lxc-start fails; what it printed. */
    const output = async (script: string) => (await host.run(['sh', '-c', script])).stdout;

    beforeAll(async () => {
      await createContainer(host, 'shut', STILL);
      await sh(host, "mkdir -p /etc/nethooks/containers; echo 'publish = 99999' >/etc/nethooks/containers/shut.ini");
    });

    it.each([
      ['a pipe', 'lxc-start -n shut 2>&1 | cat'],
      ['a pipe, in the foreground', 'lxc-start -F -n shut 2>&1 | cat'],
      ['a terminal', "script -qc 'lxc-start shut' /dev/null"],
      ['a terminal, in the foreground', "script -qc 'lxc-start --name=shut -F' /dev/null"],
      [
        'a pipe, of lxc-autostart',
        "echo 'lxc.group = shut' >>/var/lib/lxc/shut/config; lxc-autostart -g shut -A 2>&1 | cat",
      ],
      ['a pipe, of lxc-execute', 'lxc-execute -n shut -- /bin/true 2>&1 | cat'],
    ])('say why on %s, once', async (_what, script) => {
      const lines = (await output(script)).split(/\r?\n/).filter((line) => line.startsWith('nethooks:'));
      expect(lines).toEqual([expect.stringContaining(SAID)]);
    });

    it('write into no file, to nobody that a container may have made, and wait for no reader', async () => {
      expect(await output('lxc-start -n shut 2>/run/errors; cat /run/errors; rm /run/errors')).not.toContain(SAID);
      const { stdout, code } = await host.run([
        'sh',
        '-c',
        `mkdir /run/fake; cp "$(command -v cat)" /run/fake/lxc-start; cd /run/fake
sleep 3 | ./lxc-start - shut 2>&1 | cat >same &
sleep 3 | unshare -m ./lxc-start - shut 2>&1 | cat >other-mounts &
sleep 3 | setpriv --reuid=nobody --clear-groups ./lxc-start - shut 2>&1 | cat >other-user &
sleep 3 | ./lxc-start - another 2>&1 | cat >other-container &
sleep 3 | sh -c 'dd if=/dev/zero bs=65536 count=1 status=none >&2; exec ./lxc-start - shut' 2>&1 | sleep 3 &
sleep 0.5
timeout 2 lxc-start -n shut 2>/dev/null; echo $?
wait; grep -l nethooks: *; rm -r /run/fake`,
      ]);
      expect({ stdout, code }).toEqual({ stdout: '1\nsame\n', code: 0 });
    });

    it('are shown by status, ps and inspect until they start', async () => {
      await host.run(['lxc-start', '-n', 'shut']);
      const { findings } = JSON.parse((await host.run(['nethooks', 'status', '--json'])).stdout);
      expect(findings).toEqual([
        { severity: 'warning', about: 'shut', text: expect.stringContaining(' was refused: /etc/'), remedy: null },
      ]);
      expect(await sh(host, 'nethooks ps')).toMatch(/^shut +lxc +refused +- +- +- +-$/m);
      expect(JSON.parse(await sh(host, 'nethooks inspect shut --json'))).toMatchObject({
        id: 'lxc/shut',
        state: 'refused',
        refused: { configFile: '/var/lib/lxc/shut/config', reason: expect.stringContaining('publish = 99999') },
      });
      expect(await sh(host, 'nethooks gc')).not.toContain('shut');
      await sh(host, 'mv /etc/nethooks/containers/shut.ini /run; lxc-start -n shut');
      expect(JSON.parse(await sh(host, 'nethooks status --json')).findings).toEqual([]);
      await sh(host, 'lxc-stop -k -n shut; mv /run/shut.ini /etc/nethooks/containers');
      await eventually(async () => expect(await sh(host, 'nethooks ps')).toMatch(/^shut +lxc +stopped /m));
    });

    it('and until they are no more', async () => {
      await sh(host, 'lxc-start -n shut 2>/dev/null || true; cp -a /var/lib/lxc/shut /run/shut; lxc-destroy -n shut');
      expect(await sh(host, 'ls /run/nethooks/refused')).toBe('');
      await sh(host, 'mv /run/shut /var/lib/lxc; lxc-start -n shut 2>/dev/null || rm -r /var/lib/lxc/shut');
      expect(await sh(host, 'ls /run/nethooks/refused; nethooks status')).toMatch(/^shut\n(?!.*refused)/);
      await sh(host, 'rm /etc/nethooks/containers/shut.ini; nethooks gc');
      expect(await sh(host, 'ls /run/nethooks/refused; rm /var/log/nethooks/hooks.log')).toBe('');
    });
  });

  it('are listed with what is connected otherwise, with state, addresses, ports and links', async () => {
    await createContainers(host, ['front', 'back'], STILL);
    await sh(
      host,
      `nethooks configure front -p 8080:80 --link back:db; lxc-start -n back; lxc-start -n front
ip netns add tool; nethooks attach netns:/run/netns/tool -p 8081:81`,
    );
    const ps = await sh(host, 'nethooks ps');
    expect(ps).toMatch(/^NAME +KIND +STATE +ADDRESS +NETWORK +PORTS +LINKS\n/);
    expect(ps).toMatch(/^back +lxc +running +10\.0\.0\.\d+ +br0 +- +-$/m);
    expect(ps).toMatch(/^front +lxc +running +10\.0\.0\.\d+ +br0 +80\/tcp->0\.0\.0\.0:8080 +back:db$/m);
    expect(ps).toMatch(/^tool +attach +running +10\.0\.0\.\d+ +br0 +81\/tcp->0\.0\.0\.0:8081 +-$/m);
    expect(await sh(host, 'nethooks port')).toBe('front  80/tcp -> 0.0.0.0:8080\ntool  81/tcp -> 0.0.0.0:8081\n');
    expect(await sh(host, 'nethooks port tool 81')).toBe('0.0.0.0:8081\n');
    const all = JSON.parse(await sh(host, 'nethooks ps --json'));
    const front = JSON.parse(await sh(host, 'nethooks inspect front --json'));
    expect(all).toContainEqual(front);
    expect(front).toMatchObject({
      id: 'lxc/front',
      state: 'running',
      pid: await containerPid(host, 'front'),
      names: ['front.lxc'],
      ports: [{ protocol: 'tcp', hostAddress: null, hostPort: 8080, containerPort: 80 }],
      links: [{ container: 'back', alias: 'db' }],
      refused: null,
    });
    await stop('front');
    await vanished('front.lxc');
    expect(await sh(host, 'nethooks ps')).toMatch(/^front +lxc +stopped +10\.0\.0\.\d+ +br0 +- +-$/m);
    expect(await host.run(['nethooks', 'port', 'front'])).toMatchObject({ code: 1, stdout: '' });
    expect((await host.run(['nethooks', 'inspect', 'nobody'])).stderr).toBe(
      'nethooks: nothing called nobody is known; `nethooks ps` lists what is\n',
    );
    await sh(host, 'ip netns del tool');
    expect(await sh(host, 'nethooks ps')).toMatch(/^tool +attach +gone /m);
    await sh(host, 'nethooks gc; lxc-stop -k -n back; lxc-destroy -n front; lxc-destroy -n back');
    expect(await sh(host, 'nethooks ps')).not.toMatch(/tool|front|back/);
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
    await createContainer(host, 'shared', `${STILL}\nlxc.net =\nlxc.net.0.type = none\nlxc.cap.drop = net_admin`);
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
