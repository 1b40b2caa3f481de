/** Debian's firewalls beside us, before and after: what containers need passes, and what the admin refuses is refused. */
import { beforeAll, describe, expect, it } from 'vitest';
import { describeLab, eventually } from '../lab/lab.ts';
import { bootDebian, type DebianHost } from './debian.ts';

const INTERNET = '198.51.100.1';

describeLab('a firewall of Debian', () => {
  let debian: DebianHost;
  const sh = (script: string, timeoutMs?: number) => debian.sh(script, timeoutMs);
  const succeeds = async (script: string) => (await debian.run(['sh', '-c', script])).code === 0;
  const get = async (url: string) =>
    (
      await debian.machine.internet(['busybox', 'timeout', '2', 'busybox', 'wget', '-qO-', `http://${url}/`])
    ).stdout.trim();
  const apt = (packages: string) =>
    sh(`DEBIAN_FRONTEND=noninteractive apt-get -qq --no-install-recommends install ${packages}`, 120_000);
  /** Whether the host answers DHCP. */
  const leases = () => succeeds('lxc-attach -n web -- udhcpc -n -q -t 2 -T 1 -f -i eth0 -s /bin/true');
  /** What containers, the host and somebody outside get; `web` publishes 8080:80, `far` is on a network that is routed. */
  const seen = async () => ({
    dhcp: await leases(),
    name: await succeeds('lxc-attach -n web -- nslookup far.lxc'),
    out: await succeeds(`lxc-attach -n web -- ping -c 1 -W 2 ${INTERNET}`),
    host: await succeeds('ping -c 1 -W 2 web.lxc'),
    published: await get('192.0.2.2:8080'),
    closed: await get('10.0.0.2'),
    routed: await get('10.1.0.2'),
  });
  const ALL = { dhcp: true, name: true, out: true, host: true, published: 'web', closed: '', routed: 'far' };
  const works = () => eventually(async () => expect(await seen()).toEqual(ALL), 15_000);
  const ours = async () =>
    (await sh('iptables-save; ip6tables-save')).split('\n').filter((line) => line.includes('nethooks'));
  const CHECKSUMS = [expect.stringContaining('br0'), expect.stringContaining('br1')];

  beforeAll(async () => {
    debian = await bootDebian();
    await sh('cd nethooks && ./install.sh', 120_000);
    await sh(`printf '\\n[network.br1]\\naddress = 10.1.0.1/24\\nrouted = true\\n' >>/etc/nethooks/nethooks.ini
nethooks up
for name in web far; do lxc-create -n $name -t busybox; done
sed -i s/br0/br1/ /var/lib/lxc/far/config
nethooks configure web -p 8080:80
for name in web far; do
  lxc-start $name
  lxc-attach -n $name -- sh -c "mkdir /w; echo $name >/w/index.html; httpd -h /w"
done`);
    await debian.machine.internet(['ip', 'route', 'add', '10.0.0.0/15', 'via', '192.0.2.2']);
    await works();
  }, 280_000);

  describe('ufw', () => {
    beforeAll(() => apt('ufw'), 130_000);

    it('enabled later: rules come where it refuses, and its own stand in front of them', async () => {
      await sh('nethooks pause; ufw --force enable');
      expect(await leases()).toBe(false);
      // Its lock tells us of the next command.
      await sh('nethooks resume; ufw status');
      await works();
      expect(await sh('nethooks plan')).toBe('nothing would change\n');
      const rules = await sh('iptables -S FORWARD');
      expect(rules.indexOf('ufw-reject-forward')).toBeLessThan(rules.indexOf('nethooks'));
    });

    it("the admin's refusals hold, of a host port for published ones too", async () => {
      await sh(`ufw route deny in on br0 to ${INTERNET} && ufw deny 8080 && nethooks up`);
      expect(await succeeds(`lxc-attach -n web -- nc -w 1 ${INTERNET} 53 </dev/null`)).toBe(false);
      expect(await get('192.0.2.2:8080')).toBe('');
      await sh(`ufw route delete deny in on br0 to ${INTERNET} && ufw delete deny 8080 && nethooks up`);
      await works();
    });

    it('its reload keeps ours; what its own settings let through needs no rules', async () => {
      await sh('ufw reload');
      expect(await sh('nethooks plan')).toBe('nothing would change\n');
      await sh(`ufw allow in on br0 to any port 53; ufw allow in on br0 to any port 67 proto udp
ufw route allow in on br0; ufw route allow in on eth0 out on br0 to 10.0.0.0/24; nethooks up`);
      expect((await ours()).filter((rule) => / br0 .*-j ACCEPT/.test(rule))).toEqual([]);
      await works();
    });

    it('whatever it is told, nobody has to call us', async () => {
      // In the way of ours, without a unit of theirs.
      for (const command of [
        'ufw reload',
        'systemctl restart ufw',
        'ufw route delete allow in on br0',
        'ufw default deny routed',
      ]) {
        await sh(`iptables -t mangle -F POSTROUTING; ${command}`);
        await eventually(async () => expect(await ours()).toEqual(expect.arrayContaining(CHECKSUMS)), 10_000);
        await works();
      }
    });

    it('disabled: none of our rules is left in it', async () => {
      await sh('ufw --force disable && nethooks up');
      expect(await ours()).toEqual(CHECKSUMS);
      await works();
      await sh('apt-get -qq purge ufw', 60_000);
    });
  });

  describe("a table with policy drop in the admin's nftables.conf", () => {
    const TABLE = `table inet filter {
  chain input { type filter hook input priority 0; policy drop; ct state established,related accept; iif lo accept; tcp dport 22 accept
  }
  chain forward { type filter hook forward priority 0; policy drop
  }
}
`;

    it('is named, with lines that make it right', async () => {
      await sh(`nft -f - <<'END'\n${TABLE}END`);
      expect(await leases()).toBe(false);
      const { code, stdout } = await debian.run(['nethooks', 'status']);
      expect(code).toBe(3);
      const faults = [...stdout.matchAll(/missing +table inet filter, chain (\w+) drops .* Add to that chain: (.*)/g)];
      expect(faults.map(([, chain]) => chain)).toEqual(['input', 'forward']);
      for (const [, chain, lines = ''] of faults)
        for (const line of lines.split('; ')) await sh(`nft 'add rule inet filter ${chain} ${line}'`);
      expect(await sh('nethooks status')).not.toMatch(/missing/);
      await works();
      await sh('nft delete table inet filter');
    });
  });

  describe('firewalld', () => {
    it('installed and started later: its zone for our bridges is there already', async () => {
      await apt('firewalld');
      await sh('systemctl restart firewalld; nethooks up');
      await eventually(
        async () => expect(await sh('firewall-cmd --get-zone-of-interface=br0')).toBe('nethooks\n'),
        20_000,
      );
      await works();
      expect(await sh('nethooks plan')).toBe('nothing would change\n');
    });

    it.each(['firewall-cmd --reload', 'systemctl restart firewalld'])('%s keeps all of it', async (command) => {
      await sh(command);
      await eventually(async () => expect(await ours()).toEqual(CHECKSUMS), 10_000);
      await works();
      expect(await sh('nethooks plan')).toBe('nothing would change\n');
    });

    it.each(['restart', 'reload', 'stop', 'start'])(
      'systemctl %s firewalld takes nothing for long',
      async (verb) => {
        await sh(`iptables -t mangle -F POSTROUTING; systemctl ${verb} firewalld`);
        // A stop is found by the timer.
        await eventually(async () => expect(await ours()).toEqual(CHECKSUMS), verb === 'stop' ? 70_000 : 10_000);
        await works();
      },
      90_000,
    );

    it('nor does the restart of a unit called docker', async () => {
      await sh(`printf '[Service]\\nType=oneshot\\nRemainAfterExit=yes\\nExecStart=/usr/sbin/nft delete table inet nethooks\\n' >/etc/systemd/system/docker.service
systemctl daemon-reload; systemctl start docker`);
      await works();
      await sh('systemctl restart docker');
      await works();
      await sh('systemctl stop docker; rm /etc/systemd/system/docker.service; systemctl daemon-reload');
    });

    it('an interface that was taken out of the zone comes back', async () => {
      await sh('nethooks pause; firewall-cmd --zone=nethooks --remove-interface=br0');
      expect(await leases()).toBe(false);
      await sh('nethooks resume; nethooks up');
      await works();
    });

    it('without our networks its files are as they were', async () => {
      const files = 'find /etc/firewalld -type f | sort | xargs md5sum';
      await sh('firewall-cmd --permanent --direct --add-rule ipv4 filter INPUT 0 -p tcp --dport 4 -j ACCEPT');
      const [, mine] = /(<rule [^\n]*--dport 4[^\n]*)/.exec(await sh('cat /etc/firewalld/direct.xml')) ?? [];
      await sh('for name in web far; do lxc-stop -k $name; done; nethooks down --files');
      expect(await sh('cat /etc/firewalld/direct.xml')).toBe(
        `<?xml version="1.0" encoding="utf-8"?>\n<direct>\n  ${mine}\n</direct>\n`,
      );
      expect(await sh(files)).not.toMatch(/nethooks/);
      expect(await sh('firewall-cmd --state')).toBe('running\n');
    });
  });
});
