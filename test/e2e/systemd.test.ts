/** install.sh and what it installs on a real Debian with systemd, ifupdown, dhclient and LXC's own units: one machine's life. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { describeLab, eventually, hookLog } from '../lab/lab.ts';
import { bootDebian, type DebianHost } from './debian.ts';

const UPSTREAM = '198.51.100.1';

describeLab('on Debian with systemd', () => {
  let debian: DebianHost;
  const sh = (script: string, timeoutMs?: number) => debian.sh(script, timeoutMs);
  /** What answers to a name, through the host's own resolver path. */
  const resolved = async (name: string) => (await debian.run(['getent', 'ahostsv4', name])).stdout.split(/\s/)[0];
  const answers = (name: string, address: string) =>
    eventually(async () => expect(await resolved(name)).toBe(address), 10_000);
  const active = (unit: string) => sh(`systemctl is-active ${unit}`);
  const uplinks = async () =>
    [...(await sh('nft list set inet nethooks uplinks')).matchAll(/"(.*?)"/g)].map((match) => match[1]).sort();

  beforeAll(async () => {
    debian = await bootDebian();
  });

  it('install.sh brings the missing packages and the network, enabled for the next boot', async () => {
    expect((await debian.run(['sh', '-c', 'command -v nft dnsmasq lxc-start'])).stdout).toBe('');
    const output = await sh('cd nethooks && ./install.sh', 120_000);
    expect(output).toMatch(/install Debian packages for nethooks: nftables iptables dnsmasq-base\n/);
    expect(output).toMatch(/install Debian packages for containers: lxc busybox-static iputils-ping conntrack\n/);
    expect(output).toMatch(/enable nethooks.service\n/);
    expect(output).toMatch(
      /\nNext:\n {2}lxc-create -n test -t busybox\n {2}lxc-start test\n {2}ping -c 3 test\.lxc\n$/,
    );
    expect(await active('nethooks nethooks-dnsmasq@br0')).toBe('active\nactive\n');
    expect(await sh('systemctl is-enabled nethooks')).toBe('enabled\n');
  });

  it('a second install.sh changes nothing', async () => {
    const output = await sh('cd nethooks && ./install.sh');
    expect(output).toMatch(/^nothing changed\n/);
  });

  it('an upgrade enables a unit that is new', async () => {
    // What a version that had no such unit leaves.
    await sh(`systemctl --quiet disable nethooks-check@event.service
systemctl stop nethooks-check.timer
rm /usr/lib/systemd/system/nethooks-check*
sed -i /nethooks-check/d /var/lib/nethooks/install/manifest
systemctl daemon-reload`);
    const output = await sh('cd nethooks && ./install.sh');
    expect(output).toMatch(/^(write \S+\/nethooks-check\S+\n){3}enable nethooks-check@event.service\n/);
    expect(await sh('systemctl is-enabled nethooks nethooks-check@event')).toBe('enabled\nenabled\n');
    expect(await sh('systemctl show --property NeedDaemonReload --value nethooks nethooks-check.timer')).toMatch(
      /^no\s+no\n$/,
    );
    expect(await active('nethooks-check.timer nethooks-check.path nethooks-rules')).toBe('active\nactive\nactive\n');
    expect(await sh('cd nethooks && ./install.sh')).toMatch(/^nothing changed\n/);
  });

  it('the three commands that it names do what they say', async () => {
    await sh('lxc-create -n test -t busybox && lxc-start test && ping -c 1 -W 2 test.lxc');
    expect(await resolved('test.lxc')).toBe('10.0.0.2');
    await sh('lxc-attach -n test -- ping -c 1 -W 2 198.51.100.1');
  });

  it('a container as a service of LXC, whose end takes nothing else with it', async () => {
    await sh('lxc-create -n service -t busybox');
    const pid = await sh('systemctl show --property MainPID nethooks-dnsmasq@br0');
    await sh('systemctl start lxc@service');
    await answers('service.lxc', '10.0.0.3');
    await sh('ping -c 1 -W 2 service.lxc');
    await sh('systemctl stop lxc@service');
    await answers('service.lxc', '');
    expect(await sh('systemctl show --property MainPID nethooks-dnsmasq@br0')).toBe(pid);
    expect(await resolved('test.lxc')).toBe('10.0.0.2');
  });

  it('why it was not started is in the journal of its service', async () => {
    await sh("mkdir -p /etc/nethooks/containers; echo 'publish = 99999' >/etc/nethooks/containers/service.ini");
    await debian.run(['systemctl', 'start', 'lxc@service']);
    const line =
      'nethooks: container service was not started: /etc/nethooks/containers/service.ini:1: publish = 99999: ';
    for (const look of ['journalctl --no-pager -o cat -u lxc@service', 'systemctl status --no-pager lxc@service'])
      await eventually(async () => expect((await debian.run(['sh', '-c', look])).stdout).toContain(line), 10_000);
    await sh('systemctl stop lxc@service; rm /etc/nethooks/containers/service.ini; systemctl start lxc@service');
    await answers('service.lxc', '10.0.0.3');
    await sh('systemctl stop lxc@service; systemctl reset-failed; rm /var/log/nethooks/hooks.log');
  });

  it('ifup and ifdown fire our hooks: an interface becomes an uplink and stops to be one', async () => {
    await sh(`cat >/etc/network/interfaces.d/eth1 <<'END'
iface eth1 inet static
    address 203.0.113.2/24
iface eth1 inet6 manual
END
sed -i 's/^;uplinks.*/uplinks = eth0, eth1/' /etc/nethooks/nethooks.ini
nethooks up`);
    expect(await uplinks()).toEqual(['eth0']);
    await sh('ifup eth1');
    expect(await uplinks()).toEqual(['eth0', 'eth1']);
    await sh('lxc-attach -n test -- ping -c 1 -W 2 203.0.113.1');
    await sh('ifdown eth1');
    expect(await uplinks()).toEqual(['eth0']);
  });

  it('a DHCP client of the host keeps our dnsmasq first in resolv.conf and tells it whom to ask', async () => {
    const { machine } = debian;
    const dhcp = ['--dhcp-range=203.0.113.100,203.0.113.110,1h', '--dhcp-option=3', `--dhcp-option=6,${UPSTREAM}`];
    const options = [
      '--conf-file=/dev/null',
      '--port=0',
      '--no-ping',
      '--interface=eth1',
      '--bind-interfaces',
      '--user=root',
    ];
    const files = ['--pid-file=/run/internet-dhcp.pid', '--dhcp-leasefile=/run/internet-dhcp.leases'];
    const server = await machine.internet(['dnsmasq', ...options, ...dhcp, ...files]);
    expect(server).toMatchObject({ code: 0 });
    await sh(
      "printf 'iface eth1 inet dhcp\\n' >/etc/network/interfaces.d/eth1; echo 'nameserver 192.0.2.99' >/etc/resolv.conf; nethooks up; ifup eth1",
    );
    expect(await sh('grep ^nameserver /etc/resolv.conf')).toBe(`nameserver 10.0.0.1\nnameserver ${UPSTREAM}\n`);
    expect(await sh('cat /run/nethooks/upstreams')).toContain(`nameserver ${UPSTREAM}\n`);
    expect(await resolved('test.lxc')).toBe('10.0.0.2');
    expect(await resolved('internet.example')).toBe(UPSTREAM);
    await sh('ifdown eth1; rm /etc/network/interfaces.d/eth1');
  });

  it('after a reboot all of it is there, and containers that start at boot have their network', async () => {
    await sh(
      `echo 'nameserver ${UPSTREAM}' >/etc/resolv.conf; nethooks up; echo 'lxc.start.auto = 1' >>/var/lib/lxc/test/config`,
    );
    await debian.reboot();
    expect(await sh('systemctl --failed --no-legend; systemctl is-system-running')).toBe('running\n');
    expect(await active('nethooks nethooks-dnsmasq@br0 lxc')).toBe('active\nactive\nactive\n');
    expect(await resolved('test.lxc')).toBe('10.0.0.2');
    await sh('ping -c 1 -W 2 test.lxc && lxc-attach -n test -- ping -c 1 -W 2 198.51.100.1');
    expect(await sh('nethooks plan')).toBe('nothing would change\n');
    expect(await hookLog(debian)).toBe('');
  });

  it('after a reboot with a mistake in the configuration, too', async () => {
    await sh("echo 'adress = 10.0.0.9' >>/etc/nethooks/nethooks.ini");
    await debian.reboot();
    expect(await sh('systemctl --failed --no-legend; systemctl is-system-running')).toBe('running\n');
    expect(await resolved('test.lxc')).toBe('10.0.0.2');
    await sh('lxc-attach -n test -- ping -c 1 -W 2 198.51.100.1');
    const mistake = /nethooks\.ini:\d+: \[network\.br0\] adress = 10\.0\.0\.9: unknown key; allowed: /;
    expect(await sh('journalctl --no-pager -o cat -b -u nethooks')).toMatch(mistake);
    expect(await debian.run(['nethooks', 'status'])).toMatchObject({ code: 3, stdout: expect.stringMatching(mistake) });
    expect(await debian.run(['nethooks', 'up'])).toMatchObject({ code: 1, stderr: expect.stringMatching(mistake) });
    await sh('systemctl restart nftables');
    await eventually(() => sh('nft list table inet nethooks'), 10_000);
    await sh(
      'sed -i /adress/d /etc/nethooks/nethooks.ini; nethooks up; nethooks status; rm /var/log/nethooks/hooks.log',
    );
  });

  it.each(['-9', '-15'])('dnsmasq comes back when it ends: kill %s', async (signal) => {
    await sh(`kill ${signal} "$(systemctl show --property MainPID --value nethooks-dnsmasq@br0)"`);
    await answers('test.lxc', '10.0.0.2');
  });

  it('stopping the service takes the networks down, starting it brings them and the running containers back', async () => {
    await sh('systemctl stop nethooks');
    expect((await debian.run(['systemctl', 'is-active', 'nethooks-dnsmasq@br0'])).stdout).toBe('inactive\n');
    await sh('ifdown eth0; ifup eth0'); // what was stopped on purpose stays so
    expect((await debian.run(['nft', 'list', 'table', 'inet', 'nethooks'])).code).not.toBe(0);
    await sh('systemctl start nethooks');
    expect(await resolved('test.lxc')).toBe('10.0.0.2');
    await sh('lxc-attach -n test -- ping -c 1 -W 2 198.51.100.1');
  });

  it("the rules come back when the machine's own firewall is loaded again, but not where they are to be gone", async () => {
    const rules = () => sh('nft list table inet nethooks; iptables-save | grep "comment nethooks"');
    const before = await rules();
    // What the admin has written and not applied is not ours to apply.
    await sh(
      "cp -p /etc/nethooks/nethooks.ini /root/; printf '[network.br7]\\naddress = 10.7.0.1/24\\n' >>/etc/nethooks/nethooks.ini",
    );
    for (const command of ['restart nftables', 'reload nftables', 'stop nftables; systemctl start nftables']) {
      await sh(`systemctl ${command}`);
      await eventually(async () => expect(await rules()).toBe(before), 10_000);
      await sh('lxc-attach -n test -- ping -c 1 -W 2 198.51.100.1');
    }
    expect(await sh('ls /sys/class/net')).not.toContain('br7');
    await sh('cp -p /root/nethooks.ini /etc/nethooks/; systemctl daemon-reload');
    expect(await active('nethooks nethooks-dnsmasq@br0')).toBe('active\nactive\n');
    await sh('systemctl stop nethooks; systemctl restart nftables; systemctl reload nftables');
    expect((await debian.run(['nft', 'list', 'table', 'inet', 'nethooks'])).code).not.toBe(0);
    await sh('systemctl start nethooks');
    expect(await rules()).toBe(before);
  });

  describe('what raises no event', () => {
    const table = async () => (await debian.run(['nft', 'list', 'table', 'inet', 'nethooks'])).code === 0;
    const back = () => eventually(async () => expect(await table()).toBe(true), 10_000);
    const warnings = async () => (await debian.run(['nethooks', 'status'])).stderr;

    beforeAll(() =>
      sh(`mkdir /run/systemd/system/nethooks-check.timer.d
printf '[Timer]\\nOnCalendar=\\nOnCalendar=*:*:0/2\\nAccuracySec=100ms\\n' >/run/systemd/system/nethooks-check.timer.d/short.conf
systemctl daemon-reload
systemctl restart nethooks-check.timer`),
    );

    it('is healed by the timer', async () => {
      for (const taken of [
        'nft flush ruleset',
        'ip address del 10.0.0.1/24 dev br0',
        'sysctl -qw net.ipv4.ip_forward=0',
      ]) {
        await sh(taken);
        await eventually(async () => expect(await sh('nethooks plan || true')).toBe('nothing would change\n'), 10_000);
      }
      await sh('lxc-attach -n test -- ping -c 1 -W 2 198.51.100.1; nethooks up');
    });

    it('not while it is paused, which ends after its time, by a word, or at a reboot', async () => {
      expect(await sh('nethooks pause --for 8s')).toMatch(/^paused for 8 s more: /);
      expect(await warnings()).toMatch(/paused for \d s more/);
      await sh('nft flush ruleset; systemctl restart nftables; ifdown eth0; ifup eth0; sleep 3');
      expect(await table()).toBe(false);
      await sh('lxc-stop -k test; lxc-start test; ping -c 1 -W 2 test.lxc'); // what does not need the table
      await back();
      await sh('nethooks up; nethooks pause; nft flush ruleset; sleep 3');
      expect(await table()).toBe(false);
      expect(await sh('nethooks resume')).toMatch(/^resumed/);
      await back();
      expect(await sh('nethooks resume')).toBe('it was not paused\n');
      expect(await debian.run(['nethooks', 'pause', '--for', '1x'])).toMatchObject({ code: 2 });
      await sh('nethooks up');
    });

    it('less and less often where it does not hold, which status says, but at once after an event', async () => {
      await sh(
        'nft delete table inet nethooks; (for i in $(seq 30); do nft delete table inet nethooks || :; sleep 0.5; done) >/dev/null 2>&1 &',
      );
      await eventually(
        async () =>
          expect(await warnings()).toMatch(
            /repaired 5 times in a row.*: nft table inet nethooks.*next try is in 1 min/,
          ),
        20_000,
      );
      const said = await sh('wc -l </var/log/nethooks/hooks.log');
      await sh('sleep 10');
      expect(await table()).toBe(false);
      expect(await sh('wc -l </var/log/nethooks/hooks.log')).toBe(said);
      await sh('systemctl restart nftables');
      await back();
      await sh('nethooks up');
      expect(await warnings()).not.toMatch(/in a row/);
    });

    afterAll(() =>
      sh(`rm -r /run/systemd/system/nethooks-check.timer.d; systemctl daemon-reload
systemctl restart nethooks-check.timer; rm /var/log/nethooks/hooks.log`),
    );
  });

  it('resolvconf installed later: the host goes on resolving names, also after a reboot', async () => {
    await sh(
      'DEBIAN_FRONTEND=noninteractive apt-get -qq --no-install-recommends install resolvconf && nethooks up',
      60_000,
    );
    expect(await sh('readlink /etc/resolv.conf')).toMatch(/resolvconf/);
    expect(await resolved('test.lxc')).toBe('10.0.0.2');
    await debian.reboot();
    expect(await resolved('test.lxc')).toBe('10.0.0.2');
    await sh(
      'apt-get -qq purge resolvconf && rm -f /etc/resolv.conf && echo "nameserver 198.51.100.1" >/etc/resolv.conf',
    );
  });

  it('systemd-resolved installed later: its stub answers for containers, also after a reboot', async () => {
    await sh(
      'mkdir /etc/systemd/resolved.conf.d && echo "[Resolve]\nDNS=198.51.100.1" >/etc/systemd/resolved.conf.d/own.conf',
    );
    await sh('DEBIAN_FRONTEND=noninteractive apt-get -qq --no-install-recommends install systemd-resolved', 60_000);
    // dbus-daemon learns of its user only after the package has started it, and it cannot take its name until then.
    await sh('systemctl restart systemd-resolved && nethooks up');
    expect(await sh('readlink /etc/resolv.conf')).toMatch(/systemd\/resolve/);
    expect(await sh('resolvectl query --legend=no test.lxc')).toMatch(/^test\.lxc: 10\.0\.0\.2\b/);
    expect(await resolved('test.lxc')).toBe('10.0.0.2');
    await sh('lxc-attach -n test -- nslookup internet.example');
    await debian.reboot();
    expect(await sh('systemctl --failed --no-legend; systemctl is-system-running')).toBe('running\n');
    expect(await sh('resolvectl query --legend=no test.lxc')).toMatch(/^test\.lxc: 10\.0\.0\.2\b/);
    expect(await sh('nethooks plan')).toBe('nothing would change\n');
  });

  it('an uninstall leaves containers on the bridge of lxc-net, and a reinstall has those back that run', async () => {
    await sh('lxc-stop -k -n test; systemctl start lxc@service');
    const address = '10.0.0.3';
    await answers('service.lxc', address);
    expect(await active('lxc-net')).toBe('active\n');
    const output = await sh('cd nethooks && ./install.sh --uninstall');
    expect(output).toContain(`container service runs: it keeps ${address}/24 on br0 until it stops`);
    expect(output).toMatch(/apt-get purge .*dnsmasq-base/);
    expect(await sh('lxc-start test; ip -o link show master lxcbr0; lxc-stop -k test')).toMatch(/veth/);
    expect(await sh('cd nethooks && ./install.sh', 120_000)).toMatch(/\nbr0 {2}10\.0\.0\.1\/24 {2}up/);
    await answers('service.lxc', address);
    await sh('lxc-attach -n service -- ping -c 1 -W 2 198.51.100.1');
    await sh('systemctl stop lxc@service; nethooks configure test; lxc-start test');
    await eventually(() => sh('ping -c 1 -W 2 test.lxc'), 10_000);
  });

  it('install.sh --uninstall leaves what was there before, and no failed unit', async () => {
    await sh('lxc-stop -k -n test && lxc-destroy test && lxc-destroy service');
    const output = await sh('cd nethooks && ./install.sh --uninstall --purge');
    expect(output).not.toContain('warning');
    expect(
      await sh(
        'systemctl --failed --no-legend; systemctl list-unit-files --no-legend "nethooks*" || systemctl is-system-running',
      ),
    ).toBe('running\n');
    expect(
      await sh('find / -xdev -iname "*nethooks*" ! -path "/root/*" ! -path "/proc/*"; grep -rl nethooks /etc || true'),
    ).toBe('');
    expect((await debian.run(['ip', 'link', 'show', 'br0'])).code).not.toBe(0);
    expect(await resolved('internet.example')).toBe(UPSTREAM);
    await debian.reboot();
    expect(await sh('systemctl --failed --no-legend; systemctl is-system-running')).toBe('running\n');
  });
});
