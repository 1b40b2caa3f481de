import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import type { ThrowawayHost } from '../../src/demo/throwaway.ts';
import { bundle, RUNTIMES } from '../lab/driver.ts';
import {
  assertNothingLeft,
  capture,
  createContainers,
  describeLab,
  describeLabUnless,
  eventually,
  inContainer,
  installNethooks,
  isOnOverlay,
  labHost,
  machineState,
  must,
  sh,
  snapshot,
  writeFile,
} from '../lab/lab.ts';

/** A bridge by hand: LXC on a throwaway host must work without nethooks. */
const BRIDGE = `
ip link add br9 type bridge
ip address add 10.9.0.1/24 dev br9
ip link set br9 up
printf 'lxc.net.0.type = veth\\nlxc.net.0.link = br9\\nlxc.net.0.flags = up\\n' >/etc/lxc/default.conf
`;

describeLab('a throwaway host', () => {
  let host: ThrowawayHost;
  beforeAll(async () => {
    host = await labHost({ hostname: 'alpha', uplinks: 2, dns: true });
  });
  afterAll(() => host.close());

  it('has a name, an init and processes of its own', async () => {
    expect(await must(host, ['hostname'])).toBe('alpha\n');
    expect(await sh(host, 'getent hosts alpha; cat /etc/hostname')).toMatch(/^127\.0\.1\.1 +alpha\nalpha\n$/);
    const commands = (await must(host, ['ps', '-eo', 'args='])).trim().split('\n');
    expect(commands).toHaveLength(4); // init, the lifeline, the fake internet's DNS, ps
    expect(readFileSync(`/proc/${host.pid}/status`, 'utf8')).toMatch(/^NSpid:\t\d+\t1$/m);
  });

  it('has its uplinks up, and a default route through each', async () => {
    const links = await must(host, ['ip', '-br', 'address', 'show', 'type', 'veth']);
    expect(links.replaceAll(/ +/g, ' ')).toBe('eth0@if110 UP 192.0.2.2/24 \neth1@if111 UP 203.0.113.2/24 \n');
    expect(await must(host, ['ip', 'route', 'show', 'default'])).toBe(
      'default via 192.0.2.1 dev eth0 metric 100 \ndefault via 203.0.113.1 dev eth1 metric 101 \n',
    );
  });

  it('reaches the fake internet, which sees each uplink by its address', async () => {
    const packets = await capture(host, ['-i', 'any', 'icmp'], { internet: true });
    await sh(host, 'busybox ping -c1 internet.example; busybox ping -c1 -I eth1 198.51.100.1');
    const seen = await packets.stop();
    expect(seen).toContain('IP 192.0.2.2 > 198.51.100.1: ICMP echo request');
    expect(seen).toContain('IP 203.0.113.2 > 198.51.100.1: ICMP echo request');
  });

  it('knows only the fake internet by name', async () => {
    expect(await must(host, ['getent', 'hosts', 'internet.example'])).toMatch(/^198\.51\.100\.1 /);
    expect((await host.run(['getent', 'hosts', 'debian.org'])).code).toBe(2);
    expect(await must(host, ['cat', '/etc/resolv.conf'])).toBe('nameserver 198.51.100.1\n');
  });

  it('keeps what it writes from the machine', async () => {
    await writeFile(host, '/etc/nethooks-throwaway-test', 'here\n');
    await sh(host, 'mkdir /run/nethooks-throwaway-test; ip netns add there; : >/tmp/nethooks-throwaway-test');
    for (const path of ['/etc', '/run', '/tmp']) expect(existsSync(`${path}/nethooks-throwaway-test`)).toBe(false);
    expect(existsSync('/run/netns/there')).toBe(false);
    await sh(host, 'ip netns del there; echo 1 >/proc/sys/net/ipv4/conf/eth0/route_localnet');
    expect((await host.run(['sh', '-c', 'echo alpha >/proc/sys/kernel/domainname'])).stderr).toMatch(/Read-only/);
  });

  it('collects orphans', async () => {
    await sh(host, '(sleep 0.05 &)');
    await eventually(async () => expect(await must(host, ['ps', '-eo', 'stat='])).not.toMatch(/Z|\bsleep/));
  });

  it('snapshots the same text twice, and another after a change', async () => {
    await sh(host, 'iptables -A OUTPUT -p icmp');
    const before = await snapshot(host);
    await sh(host, 'sleep 1; busybox ping -c1 internet.example'); // another second, other counters
    expect(await snapshot(host)).toBe(before);
    expect(before).toContain('== /etc/sysctl.d/60-nethooks.conf\nnot there');
    await sh(host, 'nft add table inet other; touch /etc/resolv.conf');
    expect(await snapshot(host)).not.toBe(before);
  });
});

describeLab('running a command on a throwaway host', () => {
  let host: ThrowawayHost;
  beforeAll(async () => {
    host = await labHost();
  });
  afterAll(() => host.close());

  it('gives its exit status and both outputs', async () => {
    const result = await host.run(['sh', '-c', 'echo out; echo err >&2; exit 7']);
    expect(result).toEqual({ code: 7, stdout: 'out\n', stderr: 'err\n' });
    expect((await host.run(['sh', '-c', 'kill -TERM $$'])).code).toBe(143);
    expect((await host.run(['no-such-program'])).code).toBe(127);
  });

  it('passes arguments, input, environment and directory as they are', async () => {
    expect(await must(host, ['printf', '%s|', '$HOME; "x"', "it's", ''])).toBe(`$HOME; "x"|it's||`);
    expect(await must(host, ['cat', '/dev/stdin'], { input: 'a\n' })).toBe('a\n');
    expect(await must(host, ['wc', '-c'])).toBe('0\n');
    expect(await sh(host, 'echo "$A $PWD"', [], { env: { A: 'b c' }, cwd: '/usr/lib' })).toBe('b c /usr/lib\n');
    process.env.NETHOOKS_TEST_LEAK = '1';
    expect(await must(host, ['env'])).not.toContain('LEAK');
  });

  it('ends everything that hangs, after its time', async () => {
    const hanging = host.run(['sh', '-c', 'echo begun; sleep 61 & exec sleep 62'], { timeoutMs: 300 });
    await expect(hanging).rejects.toThrow(/still running after 300 ms: sh -c.*\nbegun/);
    await eventually(async () => expect(await must(host, ['ps', '-eo', 'args='])).not.toContain('sleep 6'));
  });

  it('does not wait for a daemon that keeps the pipes longer than its time', async () => {
    const hanging = host.run(['sh', '-c', 'setsid sleep 63 &'], { timeoutMs: 300 });
    await expect(hanging).rejects.toThrow(/still running/);
  });

  it('runs many at once', async () => {
    const results = await Promise.all(Array.from({ length: 50 }, (_, i) => must(host, ['echo', String(i)])));
    expect(results.map(Number)).toEqual(Array.from({ length: 50 }, (_, i) => i));
  });

  it('refuses after the end, and never enters a process that has got the same PID', async () => {
    const other = await labHost();
    const { file, args, env } = other.enter(['touch', '/tmp/nethooks-entered']);
    const impostor = args.map((word) => (word === String(other.pid) ? String(process.pid) : word));
    const child = spawn(file, impostor, { env, stdio: 'ignore' });
    expect(await exitOf(child)).toBe(125);
    expect(existsSync('/tmp/nethooks-entered')).toBe(false);
    await other.close();
    await other.close();
    await expect(other.run(['true'])).rejects.toThrow('closed');
  });
});

/** Starts a host, runs the scripts in it that are its arguments, and waits; with LEAVE set it ends without closing the host. */
const PARENT = `
import { startThrowawayHost } from '#src/demo/throwaway.ts';
async function main() {
  const host = await startThrowawayHost({ dns: true });
  for (const script of process.argv.slice(2)) {
    const { code, stderr } = await host.run(['sh', '-euc', script]);
    if (code !== 0) throw new Error(stderr);
  }
  console.log('running');
  if (process.env.LEAVE) return;
  await host.run(['sleep', '1000'], { timeoutMs: 1e6 });
}
main();
`;

let driver: ReturnType<typeof bundle>;
beforeAll(() => {
  driver = bundle(PARENT);
});
afterAll(() => driver.remove());

const stacked = isOnOverlay('/') ? "the machine's root is an overlay, and only two can be stacked" : undefined;
describeLabUnless(stacked, 'on a machine where nethooks is installed and runs', () => {
  /** A machine like that is a throwaway host, and in it there is another. */
  it('a throwaway host has nothing of it, and the machine keeps it', async () => {
    const machine = await labHost();
    onTestFinished(() => machine.close()); // other tests look for what is left of any
    await sh(machine, 'mkdir -p /etc/network/if-up.d /usr/lib/cni; printf mine >/etc/network/if-up.d/nethooks');
    await installNethooks(machine);
    // systemd, which does not run there, would have enabled the service.
    await sh(
      machine,
      'cd /etc/systemd/system; mkdir -p multi-user.target.wants; ln -s /usr/lib/systemd/system/nethooks.service multi-user.target.wants',
    );
    const files = 'find /etc /usr /var/lib /var/log -xdev -iname "*nethooks*" ! -path "*/install/*" | sort';
    expect(await sh(machine, `${files}; ls /usr/lib/cni`)).toMatch(/usr\/sbin\/nethooks\n[\s\S]*^nethooks-ptp$/m);
    const before = await snapshot(machine);
    const gone = `[ "$(${files})" = /etc/network/if-up.d/nethooks ]; [ "$(cat /etc/network/if-up.d/nethooks)" = mine ]`;
    const rest =
      'if grep -r nethooks /etc/lxc /etc/resolv.conf /usr/sbin || nft list ruleset | grep . || ip link show br0; then exit 1; fi';
    await must(machine, [process.execPath, driver.path, gone, rest], { env: { LEAVE: '1' } });
    expect(await snapshot(machine)).toBe(before);
  });
});

describeLab('what is left of a throwaway host', () => {
  it('is nothing after close(), with containers and daemons running', async () => {
    const before = await machineState();
    const host = await labHost({ uplinks: 2, dns: true });
    await sh(host, BRIDGE);
    await createContainers(host, ['one', 'two']);
    await sh(host, 'lxc-start one; lxc-start two; setsid sleep 1000 >/dev/null 2>&1 &');
    await sh(host, 'lxc-wait -n one -s RUNNING; lxc-wait -n two -s RUNNING');
    expect(await inContainer(host, 'two', ['hostname'])).toBe('two\n');
    expect(await must(host, ['find', '/sys/fs/cgroup', '-name', 'lxc.payload.*'])).toMatch(/payload\.(one|two)\n/);
    await host.close();
    await assertNothingLeft(before);
  });

  it('is nothing when it does not come up', async () => {
    const before = await machineState();
    await expect(labHost({ timeoutMs: 1 })).rejects.toThrow(/not up after 1 ms/);
    await expect(labHost({ hostname: 'a'.repeat(100) })).rejects.toThrow(/did not come up: hostname/);
    await assertNothingLeft(before);
  });

  const container = `${BRIDGE} lxc-create -n one -t busybox; lxc-start one`;
  for (const [runtime, program] of Object.entries(RUNTIMES)) {
    for (const signal of ['SIGKILL', 'SIGINT', 'SIGTERM'] as const) {
      it(`is nothing after ${signal} to a parent under ${runtime}`, async () => {
        const before = await machineState();
        const parent = spawn(program, [driver.path, container], { stdio: ['ignore', 'pipe', 'inherit'] });
        await line(parent, 'running');
        parent.kill(signal);
        await exitOf(parent);
        await assertNothingLeft(before, parent.pid);
      });
    }

    it(`is nothing when a parent under ${runtime} just ends`, async () => {
      const before = await machineState();
      const parent = spawn(program, [driver.path], {
        stdio: ['ignore', 'pipe', 'inherit'],
        env: { ...process.env, LEAVE: '1' },
      });
      expect(await exitOf(parent)).toBe(0);
      await assertNothingLeft(before, parent.pid);
    });
  }

  it('is nothing when its init is killed, and a running command ends', async () => {
    const before = await machineState();
    const host = await labHost();
    const running = host.run(['sleep', '1000']);
    await eventually(async () => must(host, ['pgrep', 'sleep']));
    process.kill(host.pid, 'SIGKILL');
    expect((await running).code).toBe(137);
    await host.close();
    await assertNothingLeft(before);
  });
});

function exitOf(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve) => child.once('exit', resolve));
}

/** Waits until the child has printed this line. */
function line(child: ChildProcess, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    child.stdout?.on('data', (data) => String(data).includes(text) && resolve());
    child.once('exit', (code) => reject(new Error(`ended with ${code}`)));
  });
}
