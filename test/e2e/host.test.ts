/** The host's state from the first `up` to `--uninstall`: the same every time, nobody else's touched, nothing left. */
import { beforeAll, describe, expect, it } from 'vitest';
import type { ThrowawayHost } from '../../src/demo/throwaway.ts';
import type { Status } from '../../src/host/status.ts';
import {
  BR0,
  capture,
  commandsOn,
  createContainer,
  describeLab,
  eventually,
  inContainer,
  installNethooks,
  labHost,
  must,
  STILL,
  sh,
  snapshot,
  steady,
  TOUCHED_FILES,
  writeConfig,
  writeFile,
} from '../lab/lab.ts';

const BR1 = '[network.br1]\naddress = 10.1.0.1/24\ndomain = two\n';

let host: ThrowawayHost;
const start = () => must(host, ['lxc-start', '-n', 'test']);
const stop = () =>
  sh(host, 'lxc-stop -k -n test; while [ -e /run/nethooks/attachments/lxc/test.json ]; do sleep 0.05; done');
const { up, resolved, hookLog } = commandsOn(() => host);
const down = (...words: string[]) => must(host, ['nethooks', 'down', ...words]);
/** Runs a nethooks command that may fail. */
const nethooks = (...words: string[]) => host.run(['nethooks', ...words]);
/** ifupdown's call of a script in if-up.d or if-post-down.d: interfaces(5), "HOOK SCRIPTS"; nothing else is in its environment. */
const ifupdown = (iface: string, phase: 'up' | 'post-down', times = '1', how = '') =>
  sh(
    host,
    `for i in $(seq "$3"); do env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin IFACE="$1" LOGICAL="$1" ADDRFAM=inet METHOD=static \\
      MODE="$([ "$2" = up ] && echo start || echo stop)" PHASE="post-$2" "/etc/network/if-$2.d/nethooks" ${how}
    done; wait`,
    [iface, phase, times],
    { timeoutMs: 60_000 },
  );
/** Our rules in iptables' own chains; no rule of anybody's may be there twice. */
const rules = async () => {
  const lines = (await sh(host, 'iptables-save')).split('\n').filter((line) => line.startsWith('-A'));
  const ours = lines.filter((line) => line.includes('--comment nethooks '));
  expect(new Set(ours).size).toBe(ours.length);
  return ours;
};
/** Without the helpers that they have for their dhcp-script. */
const daemons = async () => {
  const { stdout } = await host.run(['ps', '-eo', 'pid=,ppid=,args=']);
  const all = stdout.split('\n').flatMap((line) => {
    const [, pid, parent, args] = /^ *(\d+) +(\d+) (.*\/run\/nethooks\/dnsmasq.*)$/.exec(line) ?? [];
    return args === undefined ? [] : [{ pid, parent, args }];
  });
  return all.flatMap(({ pid, parent, args }) => (all.some((one) => one.pid === parent) ? [] : [`${pid} ${args}`]));
};
/** The container is reached by name, reaches the outside, and resolves outside names. */
const works = async () => {
  await sh(host, 'busybox ping -c 1 -W 2 test.lxc');
  await inContainer(host, 'test', ['ping', '-c', '1', '-W', '2', 'internet.example']);
};
/** Everything that somebody else has on this host, and nethooks must not touch. */
const foreign = () => sh(host, FOREIGN_STATE);
/** Network state and the texts of files, for comparisons over a time in which files are written and written back. */
const traces = async () =>
  (await state([])) + (await sh(host, 'for f; do echo "== $f"; cat "$f" 2>/dev/null || true; done', FILES));
const state = async (files = TOUCHED_FILES) => steady(await snapshot(host, files));
/** Without what is another for a bridge made anew. */
const anyBridge = (text: string) =>
  text
    .replaceAll(/^\d+: br/gm, 'br')
    .replaceAll(/2:6e:[0-9a-f:]+/g, 'MAC')
    .replaceAll('0MAC', 'MAC');
const FILES = TOUCHED_FILES.filter((path) => !path.startsWith('/etc/nethooks'));

describeLab('the host', () => {
  let before: string;
  let others: string;

  beforeAll(async () => {
    host = await labHost({ uplinks: 2, dns: true });
    await sh(host, FOREIGN);
    others = await foreign();
    before = await traces();
    await installNethooks(host, { config: BR0 });
    await createContainer(host, 'test', STILL);
  });

  it('down --files leaves it as it was before the first up', async () => {
    expect(await traces()).not.toBe(before);
    await down('--files');
    expect(await traces()).toBe(before);
    expect(await down('--files')).toBe('nothing to change\n');
    expect(await traces()).toBe(before);
  });

  it('plan, status and up --dry-run on a fresh host tell everything and change nothing', async () => {
    const fresh = await state();
    const plan = await nethooks('plan');
    expect(plan.code).toBe(3);
    for (const line of [
      /^ip link add name br0 address 02:6e:0a:00:00:01 mtu 1500 type bridge$/m,
      /^ip addr add 10\.0\.0\.1\/24 broadcast \+ dev br0$/m,
      /^sysctl net\/ipv4\/ip_forward: 0 -> 1$/m,
      /^write \/etc\/sysctl\.d\/60-nethooks\.conf:\n( {2}\+ .*\n)* {2}\+ net\.ipv4\.ip_forward = 1$/m,
      /^nft table inet nethooks:$/m,
      /^iptables -t mangle -A POSTROUTING -o br0 .*-j CHECKSUM --checksum-fill$/m,
      /^write \/run\/nethooks\/dnsmasq\/br0\/dnsmasq\.conf:$/m,
      /^start dnsmasq for br0$/m,
      /^change \/etc\/resolv\.conf:\n( {2}\+ .*\n)* {2}\+ nameserver 10\.0\.0\.1$/m,
      /^change \/etc\/lxc\/default\.conf:\n( {2}\+ .*\n)* {2}\+ lxc\.net\.0\.link = br0$/m,
    ]) {
      expect(plan.stdout).toMatch(line);
    }
    const json = await nethooks('plan', '--json');
    expect(json.code).toBe(3);
    expect(JSON.parse(json.stdout)).toMatchObject({ warnings: [], refusals: [], steps: expect.any(Array) });
    expect(await nethooks('up', '--dry-run')).toMatchObject({ code: 0, stdout: plan.stdout });

    const status = await nethooks('status');
    expect(status.code).toBe(3);
    expect(status.stdout).toMatch(/^br0 {2}10\.0\.0\.1\/24 {2}down {2}domain lxc$/m);
    expect(status.stdout).toMatch(/^ {2}dnsmasq +not running$/m);
    expect(status.stdout).toMatch(/^ {2}host +forwarding off, resolver file, upstream 198\.51\.100\.1$/m);
    expect(status.stdout).toMatch(/^ {2}missing +start dnsmasq for br0$/m);
    expect(status.stdout).toMatch(/`nethooks up` brings it back\n$/);
    expect(await state()).toBe(fresh);
  });

  it('status shows networks, uplinks, containers and leases once it is up', async () => {
    await up();
    await start();
    const { code, stdout } = await nethooks('status');
    expect(stdout.replaceAll(/pid \d+/g, 'pid N')).toBe(`br0  10.0.0.1/24  up  domain lxc
  uplinks     any (default route: eth0)
  masquerade  present
  checksum    present
  dnsmasq     running (pid N)
  icc         on: containers reach each other
  addresses   1 of 98 held, 0 DHCP leases
  container   10.0.0.2        test = test.lxc  pid N
  host        forwarding on, resolver file, upstream 198.51.100.1
`);
    expect(code).toBe(0);
    const json: Status = JSON.parse(await must(host, ['nethooks', 'status', '--json']));
    expect(json).toMatchObject({ forwarding: true, findings: [] });
    expect(json.networks[0]?.containers).toMatchObject([{ name: 'test', address: '10.0.0.2', dnsName: 'test.lxc' }]);
    await stop();
    expect(await must(host, ['nethooks', 'status'])).toMatch(/^ {2}container +10\.0\.0\.2 +test {2}not running$/m);
  });

  describe('however often', () => {
    it('a second up changes nothing', async () => {
      const once = await state();
      expect(await up()).toBe('nothing to change\n');
      expect(JSON.parse(await must(host, ['nethooks', 'up', '--json']))).toEqual({
        faults: [],
        steps: [],
        warnings: [],
        refusals: [],
      });
      expect(await state()).toBe(once);
    });

    it('nor does if-up ten times in a row and twenty at once, also for other interfaces and families', async () => {
      const once = await state();
      const before = await daemons();
      await ifupdown('eth0', 'up', '10');
      await ifupdown('eth0', 'up', '20', '&');
      await ifupdown('eth1', 'up');
      await ifupdown('lo', 'up');
      await ifupdown('eth1', 'post-down');
      await sh(host, 'IFACE=--all ADDRFAM=meta METHOD=none MODE=start PHASE=post-up /etc/network/if-up.d/nethooks');
      await sh(host, 'IFACE=eth0 ADDRFAM=inet6 METHOD=auto MODE=start PHASE=post-up /etc/network/if-up.d/nethooks');
      expect(await state()).toBe(once);
      expect(await daemons()).toEqual(before);
      expect(await hookLog()).toBe('');
    });

    it('twenty if-up at once on a host that is down bring it up once', async () => {
      const wanted = await traces();
      await down();
      await ifupdown('eth0', 'up', '20', '&');
      expect(anyBridge(await traces())).toBe(anyBridge(wanted));
      expect(await daemons()).toHaveLength(1);
      expect(await rules()).toHaveLength(1);
      expect(await hookLog()).toBe('');
      await start();
      await works();
      await stop();
    });
  });

  it('tables, chains, rules, bridges and settings of others are as they were', async () => {
    expect(await foreign()).toBe(others);
    await down();
    expect(await foreign()).toBe(others);
    await up();
    expect(await foreign()).toBe(others);
  });

  describe('with a firewall that drops', () => {
    const drop = 'iptables -P FORWARD DROP; iptables -P INPUT DROP';
    const rejects = 'iptables -A FORWARD -j REJECT; iptables -A INPUT -j DROP';
    const docker = 'iptables -N DOCKER-USER; iptables -A DOCKER-USER -j RETURN; iptables -I FORWARD -j DOCKER-USER';
    const undo = (script: string) => script.replaceAll(/-P (\w+) DROP/g, '-P $1 ACCEPT').replaceAll(/ -[AI] /g, ' -D ');

    it.each([
      ['by policy, as ufw does', drop],
      ['by its last rule', rejects],
    ])('%s: containers work all the same, and down takes our rules out of it', async (_what, script) => {
      await sh(host, script);
      const alone = await foreign();
      expect(await nethooks('plan')).toMatchObject({ code: 3 });
      await up();
      expect((await rules()).filter((rule) => /^-A (INPUT|FORWARD) /.test(rule))).toHaveLength(5);
      await start();
      await works();
      expect(await up()).toBe('nothing to change\n');
      await stop();
      await down();
      expect(await rules()).toEqual([]);
      expect(await foreign()).toBe(alone);
      await sh(host, undo(script));
      await up();
      expect(await rules()).toHaveLength(1);
      expect(await foreign()).toBe(others);
    });

    it('as Docker does, before or after us: what the admin refuses in DOCKER-USER stands in front of ours', async () => {
      await sh(host, drop);
      await up();
      await sh(host, docker);
      await up();
      expect((await rules()).filter((rule) => / (FORWARD|DOCKER-USER) /.test(rule))).toEqual([
        expect.stringContaining('-A FORWARD -i br0'),
        expect.stringContaining('-A FORWARD -o br0'),
      ]);
      const forward = await sh(host, 'iptables -S FORWARD');
      expect(forward.indexOf('DOCKER-USER')).toBeLessThan(forward.indexOf('nethooks'));
      await start();
      await works();
      await sh(host, 'iptables -I DOCKER-USER -s 10.0.0.0/24 -d 198.51.100.1 -j DROP');
      expect(await up()).toBe('nothing to change\n');
      expect((await host.run(['lxc-attach', '-n', 'test', '--', 'ping', '-c1', '-W1', '198.51.100.1'])).code).not.toBe(
        0,
      );
      await sh(host, 'iptables -D DOCKER-USER 1');
      await stop();
      await down();
      expect(await rules()).toEqual([]);
      expect(await sh(host, 'iptables -S DOCKER-USER')).toBe('-N DOCKER-USER\n-A DOCKER-USER -j RETURN\n');
      await sh(
        host,
        `iptables -D FORWARD -j DOCKER-USER; iptables -F DOCKER-USER; iptables -X DOCKER-USER; ${undo(drop)}`,
      );
      await up();
      expect(await foreign()).toBe(others);
    });
  });

  describe('uplinks = eth1', () => {
    const uplinks = async () => [...(await sh(host, 'nft list set inet nethooks uplinks')).matchAll(/"(.*?)"/g)].length;

    it('masquerades behind it alone', async () => {
      await up(`${BR0}uplinks = eth1\n`);
      await start();
      const arrives = async (iface: string, target: string) => {
        const packets = await capture(host, ['-i', iface, 'icmp'], { internet: true });
        await host.run(['lxc-attach', '-n', 'test', '--', 'ping', '-c', '1', '-W', '1', target]);
        return packets.stop();
      };
      expect(await arrives('eth1', '203.0.113.1')).toContain('IP 203.0.113.2 > 203.0.113.1: ICMP echo request');
      expect(await arrives('eth0', '192.0.2.1')).toContain('IP 10.0.0.2 > 192.0.2.1: ICMP echo request');
      await stop();
      expect(await must(host, ['nethooks', 'status'])).toMatch(/^ {2}uplinks +eth1$/m);
    });

    it('if-post-down takes it out, if-up puts it in again', async () => {
      expect(await uplinks()).toBe(1);
      await must(host, ['ip', 'link', 'set', 'eth1', 'down']);
      await ifupdown('eth1', 'post-down');
      expect(await uplinks()).toBe(0);
      const status = await must(host, ['nethooks', 'status']);
      expect(status).toMatch(/^ {2}uplinks +none is up\n {2}masquerade +not needed$/m);
      await must(host, ['ip', 'link', 'set', 'eth1', 'up']);
      await ifupdown('eth1', 'up');
      expect(await uplinks()).toBe(1);
      expect(await must(host, ['nethooks', 'plan'])).toBe('nothing would change\n');
      await sh(host, 'ip route replace default via 203.0.113.1 dev eth1 metric 101'); // went with the link
      await up(BR0);
      expect(await uplinks()).toBe(0);
    });
  });

  describe('with a configuration that was edited meanwhile, nothing of the old one stays:', () => {
    /** Up with one text, an edit, `up` or `down`; all that is found then is that of a host that never knew the first. */
    const leaves = async (ini: string) => {
      await up(ini);
      expect(await must(host, ['nethooks', 'plan'])).toBe('nothing would change\n');
      const found = await traces();
      const served = (await daemons()).length;
      await down();
      await up();
      expect(anyBridge(found)).toBe(anyBridge(await traces()));
      expect(await daemons()).toHaveLength(served);
    };

    it.each([
      ['another address', BR0.replace('10.0.0.1', '10.7.0.1')],
      ['another prefix length', BR0.replace('/24', '/20')],
      ['another domain', `${BR0}domain = other\n`],
      ['another MTU', `${BR0}mtu = 1400\n`],
      ['no masquerading', `${BR0}masquerade = false\n`],
      ['a second network', BR0 + BR1],
      ['one network less', BR1],
      ['another name for the same subnet', BR1.replace('br1', 'br2')],
      ['all of it anew', BR0],
    ])('%s', async (_what, ini) => {
      await leaves(ini);
    });

    it('edited before down', async () => {
      await up(BR0 + BR1);
      await writeConfig(host, BR0.replace('10.0.0.1', '10.9.0.1').replace('br0', 'br9'));
      await down('--files');
      expect(await traces()).toBe(before);
      await up(BR0);
    });

    it('broken before down', async () => {
      await writeConfig(host, '[network.br0\n');
      await down('--files');
      expect(await traces()).toBe(before);
      await up(BR0);
    });

    it('a container takes a new address at its next start, and up says that it should have one', async () => {
      await start();
      await writeConfig(host, BR0.replace('10.0.0.1', '10.7.0.1'));
      expect((await nethooks('up')).stderr).toBe(
        'nethooks: container test runs with 10.0.0.2, but br0 is 10.7.0.0/24 now: restart it\n',
      );
      await stop();
      await start();
      expect((await nethooks('up')).stderr).toBe('');
      expect(await resolved('test.lxc')).toMatch(/^10\.7\.0\.\d+$/);
      await works();
      const kept = 'ls /var/lib/cni/networks/br0; cat /run/nethooks/dnsmasq/br0/dhcp-hosts/*';
      expect(await sh(host, kept)).not.toMatch(/10\.0\.0\./);
      await stop();
      await up(BR0);
    });

    it('and a container that is moved to another network gives its address back', async () => {
      await up(BR0 + BR1);
      await sh(host, "sed -i 's/link = br0/link = br1/' /var/lib/lxc/test/config");
      await start();
      expect(await resolved('test.two')).toMatch(/^10\.1\.0\.\d+$/);
      expect(await resolved('test.lxc')).toBe('');
      expect(await sh(host, 'find /var/lib/cni/networks/br0 /run/nethooks/dnsmasq/br0/dhcp-hosts -type f')).not.toMatch(
        /10\.0\.0\.|test/,
      );
      await stop();
      await sh(host, "sed -i 's/link = br1/link = br0/' /var/lib/lxc/test/config");
      await up(BR0);
    });

    it('a network is not renamed under its running containers', async () => {
      await start();
      const running = await state(FILES);
      await writeConfig(host, BR0.replace('br0', 'br5'));
      const { code, stderr } = await nethooks('up');
      expect(code).toBe(1);
      expect(stderr).toMatch(
        /network br5: subnet 10\.0\.0\.0\/24 overlaps .* over br0; allowed: the containers on br0 stopped/,
      );
      expect(await state(FILES)).toBe(running);
      await stop();
      await up(BR0);
    });
  });

  it('one network alone can be taken down', async () => {
    await up(BR0 + BR1);
    await down('br1');
    expect((await host.run(['ip', 'link', 'show', 'br1'])).code).toBe(1);
    expect(await daemons()).toHaveLength(1);
    expect(await nethooks('down', 'br1')).toMatchObject({
      code: 2,
      stderr: 'nethooks: no network br1 is up; up: br0\n',
    });
    await up(BR0);
  });

  it('what somebody flushed is missed by status and brought back by up', async () => {
    await start();
    const intact = await traces();
    await must(host, ['nft', 'flush', 'ruleset']);
    const { code, stdout } = await nethooks('status');
    expect(code).toBe(3);
    expect(stdout).toMatch(/^ {2}masquerade +missing\n {2}checksum +missing$/m);
    expect(stdout).toMatch(/^ {2}missing +nft table inet nethooks$/m);
    await up();
    await works();
    // With the others' rules, which nobody else brings back, in the order in which they were.
    await sh(host, `nft flush ruleset; ${FOREIGN_RULES}`);
    await up();
    expect(await traces()).toBe(intact);
    await sh(
      host,
      'kill "$(cat /run/nethooks/dnsmasq/br0/dnsmasq.pid)"; ip link set br0 down; ip address flush dev br0',
    );
    expect((await nethooks('status')).stdout).toMatch(/^br0 .* down .*\n(.*\n)* {2}dnsmasq +not running$/m);
    await up();
    await works();
    await stop();
  });

  describe('a bridge that an admin made', () => {
    const bridge = () => sh(host, 'ip -4 -o address show br0; cd /sys/class/net/br0; cat mtu ifalias bridge/stp_state');

    it('is used with a warning, and stays without our address', async () => {
      await down();
      await sh(host, 'ip link add br0 type bridge; ip address add 192.168.7.1/24 dev br0; ip link set br0 up');
      const admins = await bridge();
      const { code, stderr } = await nethooks('up');
      expect(code).toBe(0);
      expect(stderr).toBe('nethooks: bridge br0 was here before nethooks: it is used and left in place\n');
      await start();
      await works();
      await down();
      expect(await sh(host, 'ip -4 -o address show br0')).toMatch(/^\S+ br0 +inet 192\.168\.7\.1\/24 [^\n]*\n$/);
      await stop();
      expect(await bridge()).toBe(admins);
    });

    it('keeps the address that it had', async () => {
      await sh(host, 'ip address add 10.0.0.1/24 brd + dev br0');
      const admins = await bridge();
      await up();
      await down();
      expect(await bridge()).toBe(admins);
    });

    it('that leads to a LAN is not used for DHCP', async () => {
      await sh(host, 'ip route add default via 192.168.7.9 dev br0 metric 1');
      const untouched = await traces();
      const { code, stderr } = await nethooks('up');
      expect(code).toBe(1);
      expect(stderr).toMatch(/^nethooks: network br0: bridge br0 leads to a network of others .* or dhcp = false\n$/);
      expect(await traces()).toBe(untouched);
      await sh(host, 'ip link del br0');
      await up();
    });
  });

  describe('down while a container runs', () => {
    it('keeps the bridge, says so, and a later up has all of it work again', async () => {
      await start();
      const { code, stderr } = await nethooks('down');
      expect(code).toBe(0);
      expect(stderr).toMatch(/^nethooks: bridge br0 stays, with its address: 1 port is still on it \(veth\w+\)\n$/);
      expect(await rules()).toEqual([]);
      expect((await host.run(['nft', 'list', 'table', 'inet', 'nethooks'])).code).toBe(1);
      await up();
      await works();
    });

    it('another down after its end removes the bridge', async () => {
      await down();
      await stop();
      await down('--files');
      expect(await traces()).toBe(before);
      await up();
    });
  });

  describe('a step that fails takes everything back:', () => {
    /** A program in front of the real one, which fails at what writes. */
    const failing = (name: string, when: string) =>
      writeFile(
        host,
        `/usr/local/sbin/${name}`,
        `#!/bin/sh\ncase "$*" in ${when}) echo "$0: broken" >&2; exit 1 ;; esac\nexec /usr/sbin/${name} "$@"\n`,
        '755',
      );
    const mended = (name: string) => must(host, ['rm', `/usr/local/sbin/${name}`]);
    const changed = BR0.replace('10.0.0.1', '10.7.0.1') + BR1;

    it.each([
      ['dnsmasq', '-C*'],
      ['nft', '*-f*'],
      ['iptables-restore', '*'],
      ['ip', '*-batch*'],
    ])('%s, on a host that is down', async (name, when) => {
      await writeConfig(host, BR0);
      await down();
      const untouched = await traces();
      await failing(name, when);
      const { code, stderr } = await nethooks('up');
      expect(code).toBe(1);
      expect(stderr).toMatch(new RegExp(`^nethooks: ${name} .*broken\n$`));
      await mended(name);
      expect(await traces()).toBe(untouched);
      expect(await daemons()).toEqual([]);
      expect((await host.run(['cat', '/run/nethooks/record.json'])).code).toBe(1);
    });

    it.each([
      ['dnsmasq', '*br1*'],
      ['nft', '*-f*'],
      ['iptables-restore', '*'],
    ])('%s, in a change of a host that is up', async (name, when) => {
      await up(BR0);
      await start();
      const untouched = await traces();
      await writeConfig(host, changed);
      await failing(name, when);
      expect((await nethooks('up')).code).toBe(1);
      await mended(name);
      expect(await traces()).toBe(untouched);
      await works();
      await writeConfig(host, BR0);
      expect(await up()).toBe('nothing to change\n');
      await stop();
    });

    it('ip, in the middle of what it was to do', async () => {
      await up(BR0);
      const state = await traces();
      await writeConfig(host, BR0.replace('10.0.0.1', '10.7.0.1'));
      const script = 'case "$*" in "-batch -") head -n 1 | /usr/bin/ip -batch -; exit 1 ;; esac; exec /usr/bin/ip "$@"';
      await writeFile(host, '/usr/local/sbin/ip', `#!/bin/sh\n${script}\n`, '755');
      expect((await nethooks('up')).code).toBe(1);
      await mended('ip');
      expect(await traces()).toBe(state);
      await up(BR0);
    });

    it('ip, in a down of several bridges: all of them are there', async () => {
      await up(`${BR0}${BR1}[network.br2]\naddress = 10.2.0.1/24\ndomain = three\n`);
      await start();
      const bridges = () => sh(host, 'ip -4 address show type bridge');
      const state = await bridges();
      const script =
        'case "$*" in "-batch -") { sed "/del/d"; echo link del group 1; } | /usr/bin/ip -batch -; exit 1 ;; esac; exec /usr/bin/ip "$@"';
      await writeFile(host, '/usr/local/sbin/ip', `#!/bin/sh\n${script}\n`, '755');
      expect((await nethooks('down')).code).toBe(1);
      await mended('ip');
      expect(await bridges()).toBe(state);
      expect(await daemons()).toHaveLength(3);
      await works();
      expect(await up()).toBe('nothing to change\n');
      await stop();
      await down();
      expect(await sh(host, 'ip -brief link show type bridge')).not.toMatch(/^br/m);
      expect(await foreign()).toBe(others);
      await up(BR0);
    });

    it('nft, in a down', async () => {
      await sh(host, 'iptables -P FORWARD DROP; nethooks up');
      await start();
      const state = await traces();
      await failing('nft', '*-f*');
      expect((await nethooks('down')).code).toBe(1);
      await mended('nft');
      expect(await traces()).toBe(state);
      await works();
      await stop();
      await sh(host, 'iptables -P FORWARD ACCEPT; nethooks up');
    });

    it('the next up is as if nothing had been', async () => {
      await up(changed);
      await down('--files');
      expect(await traces()).toBe(before);
      await up(BR0);
    });
  });

  it('install.sh --uninstall leaves what was there', async () => {
    await sh(host, 'lxc-destroy -n test; cd "$1"; ./install.sh --uninstall --purge', [process.cwd()]);
    await eventually(async () => expect(await traces()).toBe(before));
    expect(await foreign()).toBe(others);
    expect(await sh(host, 'find /etc /run /var/lib /var/log /usr/lib /usr/sbin -xdev -name "*nethooks*"')).toBe('');
  });
});

/** Rules, chains and sets of an admin, of Docker and of other programs. */
const FOREIGN_RULES = `
nft -f - <<'END'
table inet admin {
  set trusted { type ipv4_addr; flags interval; elements = { 192.0.2.0/24, 10.9.0.0/16 } }
  chain input { type filter hook input priority filter; policy accept; ip saddr @trusted counter accept; }
  chain postrouting { type nat hook postrouting priority srcnat; policy accept; ip saddr 172.31.0.0/16 masquerade; }
}
table ip nethooks_not {
  chain forward { type filter hook forward priority 0; policy accept; }
}
END
iptables -t nat -A POSTROUTING -s 172.30.0.0/16 -o eth0 -j MASQUERADE
iptables -t nat -A PREROUTING -p tcp --dport 8080 -j DNAT --to-destination 172.30.0.2:80
iptables -N ADMIN
iptables -A ADMIN -s 172.30.0.0/16 -m comment --comment "not nethooks" -j ACCEPT
iptables -A ADMIN -s 172.29.0.0/16 -m comment --comment nethooks-like -j ACCEPT
iptables -A FORWARD -j ADMIN
iptables -A INPUT -i lo -j ACCEPT
iptables -A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT
iptables -t mangle -A POSTROUTING -o admin0 -p udp --dport 68 -j CHECKSUM --checksum-fill
`;

/** With a bridge and a sysctl of theirs. */
const FOREIGN = `${FOREIGN_RULES}
ip link add admin0 type bridge
ip address add 172.30.0.1/16 dev admin0
ip link set admin0 up
printf 'net.ipv4.ip_forward = 0\\n' >/etc/sysctl.d/90-admin.conf
`;

const FOREIGN_STATE = `
{
  nft list table inet admin
  nft list table ip nethooks_not
  iptables-save | grep -v '^#\\|--comment nethooks ' | sed 's/\\[[0-9:]*\\]//'
  ip -d address show admin0 | sed 's/_timer *[0-9.]*//g; s/ tentative//'
  ls /etc/sysctl.d | grep -v nethooks
  cat /etc/sysctl.d/90-admin.conf
} | sed 's/counter packets [0-9]* bytes [0-9]*/counter/'
`;
