/** Debian's own DNS servers, DHCP clients and managers of networks beside us, before and after. */
import { beforeAll, describe, expect, it } from 'vitest';
import { describeLab, eventually } from '../lab/lab.ts';
import { bootDebian, type DebianHost } from './debian.ts';

const INTERNET = '198.51.100.1';
const PLAIN = `nameserver ${INTERNET}\n`;

describeLab('beside other programs', () => {
  let debian: DebianHost;
  const sh = (script: string, timeoutMs?: number) => debian.sh(script, timeoutMs);
  const run = (script: string) => debian.run(['sh', '-c', script]);
  const succeeds = async (script: string) => (await run(script)).code === 0;
  const apt = (packages: string) =>
    sh(`DEBIAN_FRONTEND=noninteractive apt-get -qq --no-install-recommends install ${packages}`, 120_000);
  /** Whether host and container find the container's name and an outside one. */
  const works = () =>
    eventually(async () => {
      for (const name of ['web.lxc', 'internet.example']) {
        expect(await succeeds(`getent ahostsv4 ${name}`), `${name} on the host`).toBe(true);
        expect(await succeeds(`lxc-attach -n web -- nslookup -type=a ${name}`), `${name} inside`).toBe(true);
      }
      expect(await sh('nethooks plan')).toBe('nothing would change\n');
    }, 15_000);
  /** Who listens on port 53 of the bridge's address, or of all. */
  const holders = async () =>
    [...(await sh("ss -Hlnutp 'sport = :53'")).matchAll(/ (?:0\.0\.0\.0|\*|10\.0\.0\.1):53 .*?\("([^"]+)"/g)].map(
      ([, name]) => name,
    );

  beforeAll(async () => {
    debian = await bootDebian();
    await sh('cd nethooks && ./install.sh', 120_000);
    await sh('lxc-create -n web -t busybox && lxc-start web');
    await works();
  }, 280_000);

  describe("Debian's dnsmasq", () => {
    it('comes later: it starts beside us, and beside lxc-net', async () => {
      await apt('dnsmasq');
      expect(await sh('systemctl is-active dnsmasq')).toBe('active\n');
      expect(await holders()).toEqual(['dnsmasq', 'dnsmasq']);
      await works();
    });

    it('does not become a resolver for strangers', async () => {
      const ask = ['busybox', 'timeout', '2', 'busybox', 'nslookup', '-type=a', 'localhost', '192.0.2.2'];
      expect((await debian.machine.internet(ask)).stdout).not.toMatch(/127\.0\.0\.1\n/);
    });

    it('that programs ask forwards our names by that file: nobody asks himself', async () => {
      await sh(`echo 'nameserver 127.0.0.1' >/etc/resolv.conf
echo 'server=${INTERNET}' >/etc/dnsmasq.d/isp
systemctl restart dnsmasq; nethooks up`);
      await works();
      expect(await sh('cat /etc/resolv.conf')).toBe('nameserver 127.0.0.1\n');
      expect(await sh('nethooks status')).toContain('resolver dnsmasq, upstream 127.0.0.1\n');
      await sh(
        `rm /etc/dnsmasq.d/isp; echo '${PLAIN.trim()}' >/etc/resolv.conf; systemctl restart dnsmasq; nethooks up`,
      );
      await works();
    });

    it('was there first: up restarts it with our file, and works', async () => {
      await sh('nethooks down --files');
      expect(await sh('ls /etc/dnsmasq.d')).toBe('README\n');
      await sh('systemctl stop lxc-net; systemctl restart dnsmasq');
      expect(new Set(await holders())).toEqual(new Set(['dnsmasq']));
      await sh('nethooks up');
      await works();
    });

    it("gets no second binding mode beside somebody else's, which would end it", async () => {
      await sh('echo bind-interfaces >/etc/dnsmasq.d/other; nethooks up');
      expect(await sh('cat /etc/dnsmasq.d/nethooks')).not.toContain('bind-dynamic');
      expect(await sh('systemctl is-active dnsmasq')).toBe('active\n');
      await works();
      await sh('rm /etc/dnsmasq.d/other; nethooks up; apt-get -qq purge dnsmasq', 60_000);
    });
  });

  describe.each([
    {
      program: 'named',
      name: 'bind9',
      prepare: '',
      mend: "sed -i 's/.*listen-on-v6.*/listen-on { !10.0.0.1; any; }; listen-on-v6 { !fe80::\\/10; any; };/' /etc/bind/named.conf.options",
      says: 'listen-on { !10.0.0.1; any; }; and listen-on-v6 { !fe80::/10; any; };',
    },
    {
      program: 'unbound',
      name: 'unbound',
      prepare: "printf 'server:\\n  interface: 0.0.0.0\\n' >/etc/unbound/unbound.conf.d/lan.conf",
      mend: 'sed -i s/0.0.0.0/127.0.0.1/ /etc/unbound/unbound.conf.d/lan.conf',
      says: 'interface: 127.0.0.1',
    },
  ])('$name', ({ program, name, prepare, mend, says }) => {
    it('that takes our port is named with the way out, which leads there', async () => {
      await apt(name);
      await sh(`systemctl stop ${name}; nethooks down; ${prepare}
systemctl start ${name}`);
      const { code, stderr } = await run('nethooks up');
      expect(code).toBe(1);
      expect(stderr).toContain(`port 53 is held by ${program} (pid `);
      expect(stderr).toContain(says);
      const status = await run('nethooks status');
      if (program === 'unbound') expect(status.stdout).toMatch(/missing +unbound .* answers DNS at 10\.0\.0\.1/);
      await sh(`${mend}; systemctl restart ${name}; nethooks up`);
      await works();
      expect(await sh('nethooks status')).not.toContain('missing');
      await sh(`apt-get -qq purge ${name}`, 60_000);
    });
  });

  it("a resolv.conf of systemd-resolved's without systemd-resolved: a plain file", async () => {
    await sh("printf 'nameserver 127.0.0.53\\n' >/etc/resolv.conf; nethooks up");
    expect(await sh('cat /etc/resolv.conf')).toContain('nameserver 10.0.0.1\n');
    expect(await succeeds('getent ahostsv4 web.lxc')).toBe(true);
    await sh(`echo '${PLAIN.trim()}' >/etc/resolv.conf; nethooks up`);
    await works();
  });

  it('without lxc-net nobody waits for its bridge at boot', async () => {
    const links = async () => (await sh("grep '^lxc.net.0.link' /etc/lxc/default.conf")).trim().split('\n');
    await sh('systemctl start lxc-net; nethooks up');
    expect(await links()).toEqual(['lxc.net.0.link = lxcbr0', 'lxc.net.0.link = br0']);
    await sh('systemctl mask --now lxc-net; nethooks up');
    expect(await links()).toEqual(['lxc.net.0.link = br0']);
    await sh('systemctl unmask lxc-net; nethooks up');
    expect(await links()).toHaveLength(2);
  });

  it('systemd-networkd with a file for every interface leaves ours alone, new ones too', async () => {
    await sh(`printf '[Match]\\nName=eth0\\n[Network]\\nAddress=192.0.2.2/24\\nGateway=192.0.2.1\\n' >/etc/systemd/network/10-eth0.network
printf '[Match]\\nName=*\\n[Network]\\nLinkLocalAddressing=no\\n' >/etc/systemd/network/80-all.network
systemctl start systemd-networkd
cp /etc/nethooks/nethooks.ini /root/before.ini
printf '\\n[network.br1]\\naddress = 10.1.0.1/24\\n' >>/etc/nethooks/nethooks.ini; nethooks up
lxc-stop -k web; lxc-start web`);
    await eventually(async () => {
      const list = await sh('networkctl list --no-legend --no-pager');
      expect(list).toMatch(/ eth0 .* configur/);
      for (const name of ['br0', 'br1', 'veth\\S+']) expect(list).toMatch(new RegExp(` ${name} .* unmanaged`));
    });
    await works();
    await sh(`systemctl stop systemd-networkd.socket systemd-networkd; rm /etc/systemd/network/[18]0-*
cp /root/before.ini /etc/nethooks/nethooks.ini; nethooks up`);
  });

  it('dhcpcd writes resolv.conf anew, and our block comes back', async () => {
    await apt('dhcpcd');
    await debian.machine.internet([
      'dnsmasq',
      ...['--conf-file=/dev/null', '--port=0', '--no-ping', '--interface=eth0', '--bind-interfaces', '--user=root'],
      ...['--dhcp-range=192.0.2.100,192.0.2.110,1h', '--dhcp-option=3,192.0.2.1', `--dhcp-option=6,${INTERNET}`],
      ...['--pid-file=/run/far-dhcp.pid', '--dhcp-leasefile=/run/far-dhcp.leases'],
    ]);
    await sh("echo 'nameserver 192.0.2.99' >/etc/resolv.conf; nethooks up; dhcpcd -w eth0 2>&1", 40_000);
    const written = /^# nethooks begin\nnameserver 10\.0\.0\.1\n# nethooks end\n(.*\n)*nameserver 198\.51\.100\.1\n/;
    for (const command of ['true', 'dhcpcd -n eth0', 'dhcpcd -g eth0']) {
      await sh(`${command} 2>&1`);
      await eventually(async () => expect(await sh('cat /etc/resolv.conf')).toMatch(written), 10_000);
      await works();
    }
    await sh('dhcpcd -x eth0 2>&1; ifup --force eth0');
  });
});
