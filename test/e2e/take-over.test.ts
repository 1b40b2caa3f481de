/** Debian's lxc-net beside us, taken over and given back, on a real Debian with systemd: one machine's life. */
import { beforeAll, expect, it } from 'vitest';
import { copyRelease } from '../lab/installation.ts';
import { changesOf, killed, nodeBuild, prepareKills } from '../lab/kill-at.ts';
import { createContainers, describeLab, eventually, inContainer, labHost, must, sh as shOn } from '../lab/lab.ts';
import { bootDebian, type DebianHost } from './debian.ts';

const OUTSIDE = '198.51.100.1';
const PACKAGES = 'nftables iptables dnsmasq-base lxc busybox-static iputils-ping conntrack';
const MAC = '00:16:3e:11:22:33';

describeLab("Debian's lxc-net", () => {
  let debian: DebianHost;
  /** What must be as it was once nethooks is gone. */
  let before: string;
  const sh = (script: string, timeoutMs = 60_000) => debian.sh(script, timeoutMs);
  const resolved = async (name: string) => (await debian.run(['getent', 'ahostsv4', name])).stdout.split(/\s/)[0];
  const files = () => sh('sha256sum /var/lib/lxc/*/config /etc/default/lxc /etc/default/lxc-net');
  const state = async () =>
    `${await files()}${await sh('sha256sum /etc/lxc/default.conf; systemctl is-enabled lxc-net; systemctl is-active lxc-net; ls /var/lib/lxc/*')}`;
  /** The address of each container's eth0, as it has it. */
  const addressOf = async (name: string) =>
    (await sh(`lxc-attach -n ${name} -- ip -4 -o address show eth0 || true`)).match(/inet ([\d.]+)/)?.[1];
  const hasAddress = (name: string) =>
    eventually(async () => expect(await addressOf(name)).toMatch(/^10\.0\.3\./), 20_000);
  const reachesOut = (name: string) => sh(`lxc-attach -n ${name} -- ping -c 1 -W 2 ${OUTSIDE}`);
  let web: string | undefined;

  beforeAll(async () => {
    debian = await bootDebian();
    await sh(
      `apt-get -qq -y --no-install-recommends install ${PACKAGES} </dev/null >/dev/null 2>&1
cat >>/etc/default/lxc-net <<'END'
LXC_DOMAIN="boxes"
LXC_DHCP_CONFILE=/etc/lxc/dnsmasq.conf
END
echo 'dhcp-host=${MAC},10.0.3.50 # db' >/etc/lxc/dnsmasq.conf
systemctl restart lxc-net
for name in web db idle; do lxc-create -n $name -t busybox; done >/dev/null 2>&1
echo 'lxc.net.0.hwaddr = ${MAC}' >>/var/lib/lxc/db/config
for name in web db; do lxc-start $name; done`,
      180_000,
    );
    for (const name of ['web', 'db']) await hasAddress(name);
    web = await addressOf('web');
    expect(await addressOf('db')).toBe('10.0.3.50');
    before = await state();
    expect(before).toContain('enabled\nactive\n');
  }, 300_000);

  it('install.sh and status say that there are two bridges, and who is on the other one', async () => {
    const line = 'lxc-net has a bridge of its own beside ours, lxcbr0 with 10.0.3.1/24; on it: db, idle, web';
    const installed = await debian.run(['sh', '-c', 'cd nethooks && ./install.sh'], { timeoutMs: 120_000 });
    expect(installed).toMatchObject({ code: 0, stderr: expect.stringContaining(line) });
    const status = await debian.run(['nethooks', 'status']);
    expect(status).toMatchObject({ code: 0, stderr: expect.stringContaining(line) });
    expect(status.stdout).toContain('`nethooks take-over lxc-net`');
  });

  it('what is nothing for a network of ours is refused by file and line, and changes nothing', async () => {
    const last = Number(await sh('wc -l </etc/default/lxc-net')) + 1;
    for (const [text, words] of [
      ['LXC_IPV6_ADDR="fd42::1"', 'LXC_IPV6_ADDR="fd42::1": networks of nethooks have no IPv6'],
      ['. /etc/default/more', '. /etc/default/more: is no plain assignment'],
      ['LXC_NEW="1"', 'LXC_NEW="1": unknown; allowed: USE_LXC_BRIDGE, LXC_BRIDGE,'],
      ['LXC_DOMAIN="$(touch /root/executed)"', 'is no plain assignment'],
    ]) {
      await sh(`cp -a /etc/default/lxc-net /root/kept; cat >>/etc/default/lxc-net <<'END'\n${text}\nEND`);
      const refused = await debian.run(['nethooks', 'take-over', 'lxc-net']);
      await sh('mv /root/kept /etc/default/lxc-net');
      expect(refused, text).toMatchObject({ code: 1, stderr: expect.stringContaining(words as string) });
      expect(refused.stderr).toContain(`/etc/default/lxc-net:${last}: `);
    }
    await sh('ip link add link eth1 name foreign0 type macvlan; ip link set foreign0 master lxcbr0');
    const port = await debian.run(['nethooks', 'take-over', 'lxc-net']);
    await sh('ip link del foreign0; test ! -e /root/executed; test ! -e /var/lib/nethooks/lxc-net.json');
    expect(port).toMatchObject({ code: 1, stderr: expect.stringContaining('foreign0 is a port of it') });
    expect(await files()).toBe(before.slice(0, (await files()).length));
    expect(await sh('nethooks plan')).toBe('nothing would change\n');
  });

  it('what runs keeps its address, its connections and its way out, and has a name', async () => {
    expect(await sh('nethooks take-over lxc-net --dry-run')).toContain('would stop and disable lxc-net.service\n');
    expect(await files()).toBe(before.slice(0, (await files()).length));
    const ping = debian.run(['lxc-attach', '-n', 'web', '--', 'ping', '-c', '8', OUTSIDE], { timeoutMs: 30_000 });
    const output = await sh('sleep 2; nethooks take-over lxc-net');
    expect(output).toContain(`container web keeps ${web}\n`);
    expect(output).toContain('container db keeps 10.0.3.50\n');
    expect((await ping).stdout).toContain('8 packets transmitted, 8 packets received, 0% packet loss');
    expect((await debian.run(['systemctl', 'is-enabled', 'lxc-net'])).stdout).toBe('disabled\n');
    expect((await debian.run(['systemctl', 'is-active', 'lxc-net', 'nethooks-dnsmasq@lxcbr0'])).stdout).toBe(
      'inactive\nactive\n',
    );
    expect(await sh('nft list tables')).not.toMatch(/lxc$/m);
    expect(await resolved('web.boxes')).toBe(web);
    expect(await resolved('db.boxes')).toBe('10.0.3.50');
    await sh('ping -c 1 -W 2 web.boxes && lxc-attach -n web -- ping -c 1 -W 2 db.boxes');
    expect(await sh('cat /etc/nethooks/containers/db.ini')).toContain('address = 10.0.3.50\n');
    expect(await sh('nethooks plan')).toBe('nothing would change\n');
    expect((await debian.run(['nethooks', 'status'])).stderr).not.toContain('lxc-net');
    expect(await sh('nethooks take-over lxc-net')).toMatch(/nothing to change\n$/);
  });

  it('its DHCP client gets its address again', async () => {
    await sh('lxc-attach -n web -- killall -USR2 udhcpc; sleep 1; lxc-attach -n web -- killall -USR1 udhcpc');
    await hasAddress('web');
    expect(await addressOf('web')).toBe(web);
    expect(await sh('cat /var/lib/nethooks/lxcbr0.leases')).toContain(` ${web} `);
  });

  it('after its next start it is a container of ours, with the same address', async () => {
    await sh('for name in web db; do lxc-stop -k $name; lxc-start $name; done; lxc-start idle');
    for (const name of ['web', 'db', 'idle']) await hasAddress(name);
    expect(await addressOf('web')).toBe(web);
    expect(await addressOf('db')).toBe('10.0.3.50');
    expect(await addressOf('idle')).not.toBe(web);
    expect(await resolved('web.boxes')).toBe(web);
    await reachesOut('web');
    await sh('lxc-stop -k idle; nethooks configure web -p 8080:80; nft list map inet nethooks published | grep 8080');
    await sh('nethooks configure web --no-publish');
    expect((await debian.run(['nethooks', 'logs', '--failed', '--container', 'web'])).stdout).toBe('');
  });

  it('after a reboot, too: the bridge is ours', async () => {
    await sh('cp -a /var/lib/lxc/web/config /root/web.config; echo "lxc.start.auto = 1" >>/var/lib/lxc/web/config');
    await debian.reboot();
    expect(await sh('systemctl --failed --no-legend; systemctl is-system-running')).toBe('running\n');
    await hasAddress('web');
    expect(await addressOf('web')).toBe(web);
    expect(await resolved('web.boxes')).toBe(web);
    await reachesOut('web');
    expect(await sh('ip -d link show lxcbr0')).toContain('alias nethooks');
    expect(await sh('nethooks plan')).toBe('nothing would change\n');
    await sh('cp -a /root/web.config /var/lib/lxc/web/config');
  });

  it('--undo gives it back byte for byte, and what runs goes on', async () => {
    expect(await sh('nethooks take-over --undo')).toContain('start lxc-net\n');
    expect(await files()).toBe(before.slice(0, (await files()).length));
    expect(await sh('systemctl is-enabled lxc-net; systemctl is-active lxc-net')).toBe('enabled\nactive\n');
    await reachesOut('web');
    await sh('lxc-stop -k web; for name in web db; do lxc-start $name; done');
    for (const name of ['web', 'db']) await hasAddress(name);
    expect(await addressOf('db')).toBe('10.0.3.50');
    await reachesOut('db');
    expect(await sh('nethooks take-over --undo')).toBe('nothing to give back: lxc-net is not taken over\n');
    expect(await sh('nethooks plan')).toBe('nothing would change\n');
  });

  it('--move brings its containers to our network; what runs goes on until it stops', async () => {
    const moved = await debian.run(['nethooks', 'take-over', 'lxc-net', '--move']);
    expect(moved).toMatchObject({ code: 0, stderr: expect.stringContaining('lxcbr0 and lxc-net go on for what runs') });
    await reachesOut('web');
    await sh('for name in web db; do lxc-stop -k $name; done; nethooks take-over lxc-net --move');
    expect((await debian.run(['ip', 'link', 'show', 'lxcbr0'])).code).toBe(1);
    await sh('lxc-start web');
    await eventually(async () => expect(await addressOf('web')).toMatch(/^10\.0\.0\./), 20_000);
    expect(await resolved('web.lxc')).toMatch(/^10\.0\.0\./);
    await sh('lxc-stop -k web; nethooks take-over --undo; lxc-start web; lxc-start db');
    for (const name of ['web', 'db']) await hasAddress(name);
    expect(await files()).toBe(before.slice(0, (await files()).length));
  });

  it('an uninstall gives it back', async () => {
    await sh('nethooks take-over lxc-net');
    const output = await sh('cd nethooks && ./install.sh --uninstall', 120_000);
    expect(output).toContain('give lxc-net back: nethooks take-over --undo\n');
    expect(await state()).toBe(before);
    await reachesOut('web');
    await sh('lxc-stop -k web; lxc-start web');
    await hasAddress('web');
    await reachesOut('web');
    expect(await sh('ls -d /etc/nethooks /var/lib/nethooks /var/lib/cni 2>/dev/null || true')).toBe('');
  });
});

describeLab('killed while it takes lxc-net over, or gives it back', () => {
  it('at any point: the next run completes it', { timeout: 280_000 }, async () => {
    const host = await labHost();
    await copyRelease(host);
    await prepareKills(host);
    await shOn(host, '/usr/libexec/lxc/lxc-net start');
    await createContainers(host, ['web', 'idle']);
    await shOn(host, `echo 'lxc.net.0.hwaddr = ${MAC}' >>/var/lib/lxc/idle/config; lxc-start web`);
    const address = () => shOn(host, 'lxc-attach -n web -- ip -4 -o address show eth0 | grep -o "inet [^ ]*"');
    await eventually(address, 20_000);
    const had = await address();
    await must(host, ['./install.sh', '--no-apt'], { cwd: '/root/release', timeoutMs: 60_000 });
    const state = () =>
      shOn(
        host,
        `sha256sum /etc/default/lxc-net /etc/nethooks/nethooks.ini /var/lib/lxc/*/config
nft list tables | sort; ip -o link show lxcbr0 | grep -o "alias.*" || true; ls /var/lib/lxc/* /etc/default; find /var/lib/nethooks /var/lib/cni -type f ! -name 'last*' ! -name '.*.nethooks' | sort
cat /var/lib/nethooks/lxc-net.json 2>/dev/null || true; ps -C dnsmasq -o args= | sort`,
      );
    const works = async () => {
      expect(await address()).toBe(had);
      await inContainer(host, 'web', ['ping', '-c', '1', '-W', '2', '198.51.100.1']);
      expect(await must(host, ['nethooks', 'plan'])).toBe('nothing would change\n');
    };
    const [there, back] = [
      ['take-over', 'lxc-net'],
      ['take-over', '--undo'],
    ];
    const before = await state();
    const changes = await changesOf(host, ...there);
    const taken = await state();
    expect(taken).not.toMatch(/table (inet|ip) lxc$/m);
    await works();
    const changesBack = await changesOf(host, ...back);
    expect(await state()).toBe(before);
    await works();
    // How many there are differs by a few from run to run.
    const some = (all: number, count: number) =>
      Array.from({ length: count }, (_, index) => 1 + Math.floor((index * (all - 11)) / (count - 1)));
    for (const at of some(changes, 14)) {
      await killed(host, there, String(at));
      await must(host, nodeBuild(...there));
      expect(await state(), `killed at change ${at} of ${changes}`).toBe(taken);
      await works();
      await must(host, nodeBuild(...back));
      expect(await state(), `given back after a kill at ${at}`).toBe(before);
    }
    for (const at of some(changesBack, 10)) {
      await must(host, nodeBuild(...there));
      await killed(host, back, String(at));
      await must(host, nodeBuild(...back));
      expect(await state(), `killed at change ${at} of ${changesBack} on the way back`).toBe(before);
      await works();
    }
  });
});
