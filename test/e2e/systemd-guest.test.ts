/** A container with Debian 13, systemd, networkd and resolved, whose resolv.conf is a link to what resolved writes. */
import { beforeAll, expect, it } from 'vitest';
import type { ThrowawayHost } from '../../src/demo/throwaway.ts';
import { BR0, commandsOn, describeLab, eventually, inContainer, installedHost, must, STILL, sh } from '../lab/lab.ts';
import { bootstrapped } from './debian.ts';

const PACKAGES = 'systemd,systemd-sysv,systemd-resolved,libnss-resolve,dbus,iproute2';
const ROOT = '/var/lib/lxc/guest/rootfs';
const OURS = `find ${ROOT}/etc -path '*nethooks*' -o -name 'resolved.conf.d' -o -name '*networkd.conf.d' -o -name '*.network.d' | sort`;

let host: ThrowawayHost;
const { start, stop, up } = commandsOn(() => host);
const dropIn = (directory: string) => sh(host, `cat ${ROOT}/etc/systemd/${directory}/nethooks.conf`);
const configure = (...words: string[]) => must(host, ['nethooks', 'configure', 'guest', ...words]);
const restart = async () => {
  await stop('guest');
  await eventually(() => sh(host, '! ls /run/nethooks/attachments/lxc/guest.json'));
  await start('guest');
};

describeLab('a container with systemd', () => {
  beforeAll(async () => {
    const tree = await bootstrapped('trixie', ['--variant=minbase', `--include=${PACKAGES}`]);
    host = await installedHost({ dns: true, config: BR0, containers: ['web'], containerConfig: STILL });
    await sh(host, GUEST, [tree], { timeoutMs: 60_000 });
    await start('web');
  });

  it('finds others by name, the bare ones too, when resolved runs, and has its routes all the time', async () => {
    await start('guest');
    const seen = await sh(host, WATCH, [], { timeoutMs: 20_000 });
    expect(seen).toMatch(/ resolved=active web=10\.0\.0\.2$/m);
    expect(seen).not.toMatch(/ resolved=active web=$/m);
    expect(seen).toMatch(/dhcp=yes/);
    expect(seen).not.toMatch(/route=none/);
  });

  it('and without DHCP at all', async () => {
    await up(`${BR0}dhcp = false\n`);
    await restart();
    await eventually(() => inContainer(host, 'guest', ['systemctl', 'is-active', 'systemd-resolved']), 10_000);
    await sh(host, 'sleep 2');
    for (const name of ['web', 'web.lxc', 'internet.example'])
      expect((await inContainer(host, 'guest', ['getent', 'ahostsv4', name])).split(' ')[0]).toMatch(/^[\d.]+$/);
    await inContainer(host, 'guest', ['ip', 'route', 'get', '198.51.100.1']);
    await up(BR0);
  });

  it('its files follow what `configure` says', async () => {
    expect(await dropIn('resolved.conf.d')).toMatch(/^\[Resolve\]\nDNS=10\.0\.0\.1\nDomains=lxc\n$/m);
    await configure('--dns', '198.51.100.1', '--dns-search', 'example');
    expect(await dropIn('resolved.conf.d')).toMatch(/^\[Resolve\]\nDNS=198\.51\.100\.1\nDomains=example\n$/m);
    await configure('--resolv-conf', 'none');
    expect(await sh(host, OURS)).not.toContain('resolved');
    await configure('--unset', 'resolv-conf', '--unset', 'dns', '--unset', 'dns-search');
    expect(await dropIn('resolved.conf.d')).toContain('DNS=10.0.0.1\n');
  });

  it("a file of the admin's in the same place stays, and an own KeepConfiguration counts", async () => {
    const own = `${ROOT}/etc/systemd/resolved.conf.d/nethooks.conf`;
    await sh(
      host,
      `printf '[Resolve]\nDNS=192.0.2.99\n' >${own}; echo KeepConfiguration=no >>${ROOT}/etc/systemd/network/eth0.network`,
    );
    await configure('--dns', '198.51.100.1');
    expect(await dropIn('resolved.conf.d')).toBe('[Resolve]\nDNS=192.0.2.99\n');
    expect(await sh(host, OURS)).not.toContain('eth0.network.d');
    await configure('--remove');
    expect(await dropIn('resolved.conf.d')).toBe('[Resolve]\nDNS=192.0.2.99\n');
    await sh(
      host,
      `rm ${own}; sed -i '$d' ${ROOT}/etc/systemd/network/eth0.network; rmdir ${ROOT}/etc/systemd/resolved.conf.d || true`,
    );
  });

  it.each([
    ['a start without a network', 'nethooks configure guest --net none; lxc-start guest; lxc-stop -k guest'],
    ['`configure --remove`', 'nethooks configure guest --remove'],
    ['an uninstall', './install.sh --uninstall'],
  ])('%s takes them out', async (what, script) => {
    await sh(host, 'lxc-stop -k guest || true; nethooks configure guest --net bridge');
    if (what === 'an uninstall') await configure('--extra-host', 'db:192.0.2.5', '--hostname', 'other');
    await sh(host, 'lxc-start guest; lxc-stop -k guest');
    expect(await sh(host, OURS)).toContain('resolved.conf.d/nethooks.conf');
    await sh(host, script, [], { cwd: process.cwd(), timeoutMs: 60_000 });
    expect(await sh(host, OURS)).toBe('');
    expect(await sh(host, `cat ${ROOT}/etc/hosts* ${ROOT}/etc/hostname`)).not.toMatch(/nethooks|db|other/);
  });
});

/**
 * As images of LXC's have it. resolved's sandbox cannot be made within the lab's namespaces, and does not matter here; the container sees the
 * cgroup that it is in.
 */
const GUEST = `
lxc-create -n guest -t none
mkdir ${ROOT}
cp -a "$1/." ${ROOT}
cd ${ROOT}
echo guest >etc/hostname
echo '127.0.0.1 localhost' >etc/hosts
: >etc/machine-id
rm -f etc/resolv.conf
ln -s ../run/systemd/resolve/stub-resolv.conf etc/resolv.conf
printf '[Match]\nName=eth0\n[Network]\nDHCP=ipv4\n' >etc/systemd/network/eth0.network
ln -s /dev/null etc/systemd/system/console-getty.service
systemctl --quiet --root . enable systemd-networkd systemd-resolved
mkdir -p etc/systemd/system/systemd-resolved.service.d
{
  echo '[Service]'
  for key in PrivateDevices PrivateTmp ProtectSystem ProtectHome ProtectControlGroups ProtectKernelTunables ProtectKernelModules \
    ProtectKernelLogs ProtectClock ProtectHostname RestrictNamespaces; do echo $key=no; done
} >etc/systemd/system/systemd-resolved.service.d/lab.conf
cat >>/var/lib/lxc/guest/config <<'END'
lxc.rootfs.path = dir:${ROOT}
lxc.uts.name = guest
lxc.mount.auto = proc:mixed sys:mixed
lxc.mount.entry = cgroup2 sys/fs/cgroup cgroup2 rw,create=dir 0 0
lxc.apparmor.profile = unconfined
END
# What the test asks, every few ms from the first moment, until DHCP is done and a bit longer.
cat >root/watch <<'END'
end=40
while [ $end -gt 0 ]; do
  route=none
  [ -z "$(ip -4 route show default)" ] || route=yes
  dhcp=no
  case $(ip -4 route show default) in *'proto dhcp'*) dhcp=yes end=$((end - 1)) ;; esac
  resolved=$(systemctl is-active systemd-resolved)
  echo "route=$route dhcp=$dhcp"
  [ "$resolved" != active ] || echo "resolved=active web=$(getent ahostsv4 web | sed -n 's/ .*//p;q')"
done
END
`;

const WATCH = `lxc-attach -n guest -- timeout 15 sh /root/watch 2>/dev/null | sort | uniq -c`;
