/** Machines that are on a network by DHCP alone, such as virtual machines: they get the names they ask for, and take none from anybody. */
import { beforeAll, describe, expect, it } from 'vitest';
import type { ThrowawayHost } from '../../src/demo/throwaway.ts';
import type { AttachmentStatus } from '../../src/host/attachments.ts';
import {
  BR0,
  commandsOn,
  createContainer,
  describeLab,
  eventually,
  inContainer,
  installedHost,
  must,
  STILL,
  sh,
  writeFile,
} from '../lab/lab.ts';

let host: ThrowawayHost;
const { start, resolved, up, hookLog } = commandsOn(() => host);

/** Asks for a lease from the network namespace of a machine; its address. `name` is sent as option 12. */
async function ask(machine: string, name: string | null, ...options: string[]): Promise<string> {
  const client = ['busybox', 'udhcpc', '-i', 'eth0', '-n', '-q', '-f', '-t', '5', '-T', '1', '-s', '/run/configure'];
  const said = name === null ? [] : ['-x', `hostname:${name}`];
  const address = await must(host, ['ip', 'netns', 'exec', machine, ...client, ...said, ...options]);
  await settled();
  return address.trim();
}
/** When dnsmasq has told of everything, and nobody is at work on it any more. */
async function settled(): Promise<void> {
  await eventually(async () =>
    expect((await host.run(['pgrep', '-f', '/usr/lib/nethooks/(dhcp-script|nethooks hook lease)'])).stdout).toBe(''),
  );
}
/** Asks once more, and gives the lease back. */
async function release(machine: string, name: string): Promise<void> {
  await sh(
    host,
    `ip netns exec "$1" timeout 5 busybox udhcpc -i eth0 -f -R -s /run/configure -x "hostname:$2" >/run/released 2>&1 &
    client=$!
    until grep -q obtained /run/released; do sleep 0.05; done
    sleep 0.2
    kill $client # timeout(1) passes it on
    wait $client || true`,
    [machine, name],
  );
  await settled();
}
/** What dnsmasq calls when a lease has expired, which takes two minutes at least. */
const expire = (machine: string, address: string) =>
  sh(
    host,
    '/usr/lib/nethooks/dhcp-script del "$(ip -n "$1" -o link show eth0 | grep -o "ether [^ ]*" | cut -c 7-)" "$2"',
    [machine, address],
  );
const byDhcp = async (): Promise<AttachmentStatus[]> =>
  (JSON.parse(await must(host, ['nethooks', 'ps', '--json'])) as AttachmentStatus[]).filter(({ id }) =>
    id.startsWith('dhcp/'),
  );
const namesByDhcp = async () => (await byDhcp()).flatMap(({ names }) => names).sort();
/** Everything that speaks of such machines, in files. */
const traces = () =>
  sh(
    host,
    `cd /; find run/nethooks/names run/nethooks/attachments/dhcp var/lib/nethooks/dhcp-names -name '*10.0.0.*' 2>/dev/null || true
    grep -rl dhcp/ run/nethooks/claims || true`,
  );

describeLab('machines that are there by DHCP alone', () => {
  beforeAll(async () => {
    host = await installedHost({ dns: true, config: BR0, containers: ['web', 'stopped'], containerConfig: STILL });
    await writeFile(host, '/run/configure', CONFIGURE, '755');
    await sh(host, MACHINES);
    await sh(host, 'nethooks configure stopped --alias once; lxc-start stopped; lxc-stop -k stopped');
    await start('web');
  });

  it('have the name they ask for, on the host and in containers, and in reverse', async () => {
    const address = await ask('one', 'vm');
    expect(await resolved('vm.lxc')).toBe(address);
    expect(await must(host, ['getent', 'hosts', address])).toMatch(/\svm\.lxc$/m);
    expect(await inContainer(host, 'web', ['nslookup', 'vm.lxc'])).toContain(address);
    await inContainer(host, 'web', ['ping', '-c', '1', '-W', '2', 'vm']);
    expect(await must(host, ['nethooks', 'ps'])).toMatch(
      new RegExp(`^vm +dhcp +running +${address.replaceAll('.', '\\.')} +br0 `, 'm'),
    );
    expect(await must(host, ['nethooks', 'status'])).toMatch(/^ +lease .* vm\.lxc /m);
    expect(await must(host, ['nethooks', 'plan'])).toBe('nothing would change\n');
    expect(await must(host, ['nethooks', 'gc'])).toBe('nothing is left behind\n');
  });

  it('keep it: a second one that wants it gets none, until the first has given its lease back', async () => {
    const first = await resolved('vm.lxc');
    const second = await ask('two', 'vm');
    expect(second).not.toBe(first);
    expect(await resolved('vm.lxc')).toBe(first);
    expect((await host.run(['getent', 'hosts', second])).stdout).toBe('');
    expect(await hookLog()).toMatch(/lease .*the name vm\.lxc is held by the DHCP client at \S+: .* does not get it/);
    await release('one', 'vm');
    expect(await resolved('vm.lxc')).toBe('');
    expect(await ask('two', 'vm')).toBe(second);
    expect(await resolved('vm.lxc')).toBe(second);
  });

  it('may call themselves otherwise later', async () => {
    const address = await ask('two', 'other');
    expect([await resolved('vm.lxc'), await resolved('other.lxc')]).toEqual(['', address]);
    await ask('two', 'vm');
    expect(await namesByDhcp()).toEqual(['vm.lxc']);
  });

  it('are known by their MAC: who asks with another client id takes the name along', async () => {
    const first = await ask('one', 'moved', '-C');
    const second = await ask('one', 'moved', '-x', '0x3d:00aabbccddeeff');
    expect(await resolved('moved.lxc')).toBe(second);
    if (first !== second) expect((await host.run(['getent', 'hosts', first])).stdout).toBe('');
    await expire('one', second);
    expect(await traces()).not.toContain(second);
    expect(await namesByDhcp()).toEqual(['vm.lxc']);
  });

  it.each([
    ...['wpad', 'WPAD.lxc', 'localhost', 'isatap', 'gateway', 'throwaway-host-name'],
    ...['web', 'WEB', 'stopped', 'once', '-vm', '$(reboot)', '../../etc/passwd', `${'a'.repeat(64)}`],
  ])('never get the name %s', async (name) => {
    await sh(host, 'hostname throwaway-host-name');
    const before = await sh(host, 'cat /run/nethooks/names/lxc/web');
    const address = await ask('one', name);
    expect((await host.run(['getent', 'hosts', address])).stdout).toBe('');
    expect(await namesByDhcp()).toEqual(['vm.lxc']);
    expect(await sh(host, 'cat /run/nethooks/names/lxc/web')).toBe(before);
  });

  it("a container's own client changes nothing about its names", async () => {
    const client = ['udhcpc', '-i', 'eth0', '-n', '-q', '-f', '-s', '/bin/true', '-x', 'hostname:evil'];
    await inContainer(host, 'web', client);
    await settled();
    expect(await resolved('evil.lxc')).toBe('');
    expect(await resolved('web.lxc')).toBe('10.0.0.3');
    expect(await namesByDhcp()).toEqual(['vm.lxc']);
  });

  describe('their names', () => {
    const address = () => resolved('vm.lxc');
    let before: string;
    beforeAll(async () => {
      before = await address();
    });

    it('outlast `up`, and a dnsmasq that is restarted', async () => {
      await up();
      expect(await address()).toBe(before);
      await sh(host, 'kill "$(cat /run/nethooks/dnsmasq/br0/dnsmasq.pid)"; sleep 0.3');
      await up();
      await settled();
      expect(await address()).toBe(before);
      expect(await must(host, ['nethooks', 'gc'])).toBe('nothing is left behind\n');
    });

    it('go with `down`, and come back with `up`, also after a reboot', async () => {
      await sh(host, 'lxc-stop -k web; nethooks down');
      expect(await traces()).toBe(`var/lib/nethooks/dhcp-names/${before}\n`);
      await up();
      await eventually(async () => expect(await address()).toBe(before));
      await sh(host, 'nethooks down; rm -r /run/nethooks');
      await up();
      await eventually(async () => expect(await address()).toBe(before));
      await start('web');
    });

    it('go with `dhcp-names = false`, and by default where containers are kept apart', async () => {
      for (const key of ['dhcp-names = false', 'icc = false']) {
        await up(`${BR0}${key}\n`);
        expect([await address(), await namesByDhcp()]).toEqual(['', []]);
        await ask('one', 'evil');
        expect(await resolved('evil.lxc')).toBe('');
      }
      await up(BR0);
      await eventually(async () => expect(await address()).toBe(before));
    });

    it('go with gc, where dnsmasq was killed and the lease is in no file any more', async () => {
      await sh(
        host,
        `kill -KILL "$(cat /run/nethooks/dnsmasq/br0/dnsmasq.pid)"; sed -i '/ ${before} /d' /var/lib/nethooks/br0.leases`,
      );
      expect(await must(host, ['nethooks', 'gc'])).toMatch(`the DHCP client at ${before} is no more`);
      expect(await traces()).not.toContain(before);
      await up();
      expect(await address()).toBe('');
      await ask('two', 'vm');
      expect(await address()).toBe(before);
    });

    it('give way to a container that starts, are its own when it is stopped, and free when it is destroyed', async () => {
      await createContainer(host, 'vm', STILL);
      await start('vm');
      const own = (await inContainer(host, 'vm', ['ip', '-4', 'address', 'show', 'eth0'])).match(/inet ([\d.]+)/)?.[1];
      expect(await must(host, ['busybox', 'nslookup', 'vm.lxc', '10.0.0.1'])).not.toContain(before);
      expect(await address()).toBe(own);
      expect((await host.run(['getent', 'hosts', before])).stdout).toBe('');
      expect(await hookLog()).not.toMatch(/start-host vm/);
      await sh(host, 'lxc-stop -k vm');
      await ask('two', 'vm');
      await eventually(async () => expect(await address()).toBe(''));
      await sh(host, 'lxc-destroy vm');
      await ask('two', 'vm');
      expect(await address()).toBe(before);
    });
  });

  it('a container of LXC without our hooks has its own name, by its MAC; nobody else gets that', async () => {
    await createContainer(host, 'plain', STILL);
    await sh(host, "sed -i '/nethooks/d; /start-host\\|post-stop\\|hook/d' /var/lib/lxc/plain/config");
    await ask('one', 'plain');
    expect(await resolved('plain.lxc')).toBe('');
    await start('plain');
    await inContainer(host, 'plain', [
      'udhcpc',
      '-i',
      'eth0',
      '-n',
      '-q',
      '-f',
      '-s',
      '/bin/true',
      '-x',
      'hostname:plain',
    ]);
    await settled();
    const [only] = (await byDhcp()).filter(({ name }) => name === 'plain');
    expect(await resolved('plain.lxc')).toBe(only?.interfaces[0]?.addresses[0]?.split('/')[0]);
    await sh(host, 'lxc-stop -k plain; lxc-destroy plain');
  });

  it('an uninstall leaves nothing of them', async () => {
    await sh(host, 'lxc-stop -k web || true; ./install.sh --uninstall', [], { cwd: process.cwd(), timeoutMs: 60_000 });
    expect(await traces()).toBe('');
  });
});

/** udhcpc's script: an address is needed to give the lease back. */
const CONFIGURE = `#!/bin/sh
case $1 in
bound) ip address replace "$ip/24" dev eth0; echo "$ip" ;;
deconfig) ip address flush dev eth0 2>/dev/null; ip link set eth0 up ;;
esac
`;

/** Two network namespaces with a port of br0 each, as taps of virtual machines are. */
const MACHINES = `
for name in one two; do
  ip netns add $name
  ip link add tap-$name type veth peer name eth0 netns $name
  ip link set tap-$name master br0 up
  ip -n $name link set lo up
  ip -n $name link set eth0 up
done
`;
