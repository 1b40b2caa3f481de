/** LXC's containers over install, uninstall and reinstall: each can be started at every stage, and what is not ours is as it was. */
import { beforeEach, describe, expect, it } from 'vitest';
import type { ThrowawayHost } from '../../src/demo/throwaway.ts';
import { copyRelease, difference, installedFiles } from '../lab/installation.ts';
import { changesOf, killed, nodeBuild, prepareKills } from '../lab/kill-at.ts';
import {
  commandsOn,
  createContainers,
  describeLab,
  eventually,
  inContainer,
  labHost,
  must,
  STILL,
  sh,
  writeFile,
} from '../lab/lab.ts';

const LXC_NET = '/usr/libexec/lxc/lxc-net start; ip link add mybr type bridge; ip link set mybr up';
const OUTSIDE = '198.51.100.1';

let host: ThrowawayHost;
const { resolved } = commandsOn(() => host);
const lxcConfig = (name: string) => sh(host, `cat /var/lib/lxc/${name}/config`);
const configs = (...names: string[]) =>
  sh(host, 'cd /var/lib/lxc; for name; do sha256sum $name/config; stat -c "%a %u:%g" $name/config; done', names);
const run = (...args: string[]) => must(host, ['./install.sh', ...args], { cwd: '/root/release', timeoutMs: 60_000 });
const install = () => run('--no-apt');
const uninstall = (...args: string[]) => run('--uninstall', ...args);
/** The bridge that each container's eth0 is on while it runs. */
const START = `for name; do
  lxc-start -n "$name"
  printf '%s ' "$name" $(ip -o link show type veth | sed -n 's/.* master \\([^ ]*\\) .*/\\1/p' | sort -u)
  lxc-stop -k -n "$name"
  lxc-info -n "$name" -sH
done`;
const startEach = (...names: string[]) => sh(host, START, names, { timeoutMs: 60_000 });

/** Everything that is not ours, with the configurations of containers that were there before us. */
const others = async (...names: string[]) =>
  `${(await installedFiles(host))
    .split('\n')
    .filter((line) => !/nethooks|var\/lib\/cni|run\/network|resolv\.conf/.test(line))
    .join('\n')}\n${await configs(...names)}`;

describeLab('LXC containers over an uninstall', () => {
  beforeEach(async () => {
    await host?.close();
    host = await labHost();
    await copyRelease(host);
  });

  it('install, uninstall, reinstall, uninstall: containers of all kinds', { timeout: 180_000 }, async () => {
    await sh(host, LXC_NET);
    await createContainers(host, ['old', 'own']);
    await sh(host, "sed -i 's/= lxcbr0/= mybr/' /var/lib/lxc/own/config; chown 1000:1000 /var/lib/lxc/old/config");
    const before = await others('old', 'own');
    const resolver = await sh(host, 'cat /etc/resolv.conf');
    expect(await startEach('old', 'own')).toBe('old lxcbr0 STOPPED\nown mybr STOPPED\n');

    await install();
    await createContainers(host, ['made', 'runs', 'by-hand']);
    await sh(
      host,
      `printf 'lxc.hook.start-host = /usr/lib/nethooks/lxc/start-host -p 9090:90\\n' >>/var/lib/lxc/by-hand/config
nethooks configure old -p 8080:80 --link made:database
lxc-start made; lxc-start old; lxc-stop -k old; lxc-stop -k made
nethooks configure runs -p 8081:80
lxc-snapshot -n made`,
    );
    expect(await startEach('old', 'own', 'made')).toBe('old br0 STOPPED\nown mybr STOPPED\nmade br0 STOPPED\n');
    await must(host, ['lxc-start', 'runs']);
    const address = await resolved('runs.lxc');

    const first = await uninstall();
    expect(first).toContain(`container runs runs: it keeps ${address}/24 on br0 until it stops`);
    expect(first).toContain('its hook line goes, with what it says: lxc.hook.start-host');
    expect(difference(before, await others('old', 'own'))).toBe('');
    expect(await sh(host, 'cat /etc/resolv.conf')).toBe(resolver);
    expect(await sh(host, 'grep -rl --exclude-dir=.model nethooks /var/lib/lxc --include="config*" || true')).toBe('');
    expect(await startEach('old', 'own')).toMatch(/^old br0 lxcbr0 STOPPED\nown br0 mybr STOPPED\n$/);
    for (const name of ['made', 'by-hand']) expect(await startEach(name)).toBe(`${name} br0 lxcbr0 STOPPED\n`); // br0 is that of the one that runs
    expect(await sh(host, 'lxc-ls -1 | xargs')).toBe('by-hand made old own runs\n');

    const again = await install();
    expect(again).toContain('/etc/nethooks/nethooks.ini: written, subnet 10.0.0.0/24\n');
    expect(again).toContain('\nA container from before is on its network again after: nethooks configure NAME\n');
    expect(again).toMatch(/\nbr0 {2}10\.0\.0\.1\/24 {2}up/);
    // The one that has run all the time has everything back.
    expect(await resolved('runs.lxc')).toBe(address);
    await inContainer(host, 'runs', ['ping', '-c', '1', '-W', '2', OUTSIDE]);
    expect(await sh(host, 'nft list map inet nethooks published')).toContain(`8081 : ${address} . 80`);
    await must(host, ['lxc-stop', '-k', '-n', 'runs']);
    await eventually(async () => expect(await resolved('runs.lxc')).toBe(''));
    expect(await startEach('old', 'own', 'made', 'runs', 'by-hand')).toBe(
      'old lxcbr0 STOPPED\nown mybr STOPPED\nmade lxcbr0 STOPPED\nruns lxcbr0 STOPPED\nby-hand lxcbr0 STOPPED\n',
    );
    // Options and addresses have outlived it as well.
    await sh(host, 'for name in old runs; do nethooks configure "$name"; done; lxc-start runs; lxc-start old');
    expect(await resolved('runs.lxc')).toBe(address);
    expect(await sh(host, 'nft list map inet nethooks published')).toMatch(/8080 : [\s\S]*8081 : /);
    await sh(host, 'lxc-stop -k old; lxc-stop -k runs');

    await uninstall('--purge');
    expect(difference(before, await others('old', 'own'))).toBe('');
    expect(await sh(host, 'ls -d /etc/nethooks /run/nethooks /var/lib/nethooks /var/lib/cni 2>/dev/null || true')).toBe(
      '',
    );
    expect(await startEach('old', 'own', 'made', 'runs', 'by-hand')).toBe(
      'old lxcbr0 STOPPED\nown mybr STOPPED\nmade lxcbr0 STOPPED\nruns lxcbr0 STOPPED\nby-hand lxcbr0 STOPPED\n',
    );
    // Nothing of ours comes back with a snapshot.
    await sh(host, 'lxc-snapshot -n made -r snap0 && lxc-destroy old && lxc-destroy runs');
    expect(await startEach('made')).toBe('made lxcbr0 STOPPED\n');
  });

  it('where lxc-net does not run: they start, without a network', async () => {
    await install();
    await createContainers(host, ['made']);
    await sh(host, 'lxc-start made; lxc-stop -k made');
    const data = JSON.parse(await must(host, ['nethooks', 'teardown', '--dry-run', '--json']));
    const [step] = data.steps.filter(({ path }: { path?: string }) => path === '/var/lib/lxc/made/config');
    expect(step).toMatchObject({ kind: 'file', before: await lxcConfig('made') });
    expect(await uninstall('--dry-run')).toContain('would take our lines out of /var/lib/lxc/made/config\n');
    expect(await uninstall()).toContain('container made: no bridge is left for it, so it starts without a network');
    expect(await lxcConfig('made')).toBe(step.content);
    expect(await startEach('made')).toBe('made STOPPED\n');
    // It is on a network again as soon as it is asked for, with the address that it had.
    await install();
    await sh(host, 'nethooks configure made; lxc-start made');
    expect(await resolved('made.lxc')).toBe('10.0.0.2');
  });

  it('what is ours in their files goes, but for those that run', async () => {
    await install();
    await createContainers(host, ['made', 'own', 'runs'], STILL);
    const all = ['made', 'own', 'runs'];
    const files = (name: string) =>
      sh(host, 'cd /var/lib/lxc/$1/rootfs/etc; tail -n +1 hosts hostname resolv.conf', [name]);
    const WRITE = `for name; do
  cd /var/lib/lxc/$name/rootfs/etc
  echo '127.0.0.1 localhost' >hosts; echo box >hostname; echo 'nameserver 192.0.2.1' >resolv.conf
  nethooks configure $name --add-host api:192.0.2.7 -h shop >/dev/null
  lxc-start $name
done`;
    await sh(host, WRITE, all);
    for (const name of all)
      expect(await files(name)).toMatch(/192\.0\.2\.7 api[\s\S]*shop[\s\S]*nameserver 10\.0\.0\.1/);
    // Twice, as a second start replaces what is ours.
    await sh(host, 'for name in made own; do lxc-stop -k $name; lxc-start $name; lxc-stop -k $name; done');
    await sh(host, 'echo "nameserver 192.0.2.53" >/var/lib/lxc/own/rootfs/etc/resolv.conf');
    expect(await uninstall('--dry-run')).toContain('would take what is ours out of the files of container made\n');
    const said = await uninstall();
    expect(said).toContain('take what is ours out of the files of container own\n');
    expect(said).not.toContain('the files of container runs');
    const before = (server: string) =>
      `==> hosts <==\n127.0.0.1 localhost\n\n==> hostname <==\nbox\n\n==> resolv.conf <==\nnameserver ${server}\n`;
    expect(await files('made')).toBe(before('192.0.2.1'));
    expect(await files('own')).toBe(before('192.0.2.53'));
    expect(await files('runs')).toContain('nameserver 10.0.0.1');
    await sh(host, 'lxc-stop -k runs');
  });

  it('below another path, in a file of its own, with an include and a damaged block', async () => {
    await sh(host, LXC_NET);
    await install();
    await createContainers(host, ['bad', 'included', 'model']);
    const block = '/nethooks begin/,/nethooks end/d';
    await sh(
      host,
      `sed -i '/nethooks end/d' /var/lib/lxc/bad/config
sed -n '${block.slice(0, -1)}p' /var/lib/lxc/included/config >/etc/lxc/mine.conf
sed -i '${block}' /var/lib/lxc/included/config
printf 'lxc.include = /etc/lxc/mine.conf\\n' >>/var/lib/lxc/included/config
mkdir -p /var/lib/far/there /var/lib/away
mount -t tmpfs away /var/lib/away
sed 's|lxc/model|far/there|; s/model/there/' /var/lib/lxc/model/config >/var/lib/far/there/config
cp -a /var/lib/lxc/model/rootfs /var/lib/far/there
cp -a /var/lib/far/there /var/lib/away/lost; sed -i 's/"there"/"lost"/' /var/lib/away/lost/config
cp /var/lib/far/there/config /root/single.conf
cp -a /var/lib/far/there /var/lib/far/gone
for path in far/there far/gone away/lost; do
  lxc-start -P "/var/lib/\${path%/*}" "\${path#*/}"
  lxc-stop -P "/var/lib/\${path%/*}" -k "\${path#*/}"
done
lxc-start -n single -f /root/single.conf; lxc-stop -k single
rm -r /var/lib/far/gone; umount /var/lib/away`,
    );
    const output = await uninstall();
    expect(output).toContain('warning: container lost: /var/lib/away/lost/config is on a file system');
    expect(output).not.toContain('container gone');
    expect(
      await sh(
        host,
        'grep -rl --exclude-dir=.model nethooks /var/lib/lxc /var/lib/far /root/single.conf /etc/lxc || true',
      ),
    ).toBe('');
    expect(await startEach('bad', 'included')).toBe('bad lxcbr0 STOPPED\nincluded lxcbr0 STOPPED\n');
    await sh(host, 'lxc-start -P /var/lib/far there && lxc-stop -P /var/lib/far -k there');
    await sh(host, 'lxc-start -n single -f /root/single.conf && lxc-stop -k single');
  });

  it('configure --all --remove does the same, and takes options back at once', async () => {
    await sh(host, LXC_NET);
    await createContainers(host, ['old']);
    const before = await configs('old');
    await install();
    await createContainers(host, ['made', 'runs']);
    await sh(host, 'nethooks configure old -p 8080:80; lxc-start runs; nethooks configure runs -p 8081:80');
    const output = await host.run(['nethooks', 'configure', '--all', '--remove']);
    expect(output.code, output.stderr).toBe(0);
    expect(output.stderr).toContain('runs: its network takes effect at its next start');
    expect(await sh(host, 'grep -rl --exclude-dir=.model nethooks /var/lib/lxc || ls /etc/nethooks/containers')).toBe(
      '',
    );
    expect(await configs('old')).toBe(before);
    expect(await sh(host, 'nft list map inet nethooks published')).not.toContain('8081');
    expect(await resolved('runs.lxc')).toMatch(/^10\.0\.0\./);
    expect(await must(host, ['nethooks', 'configure', '--all', '--remove'])).toMatch(/^(\S+:\nnothing to change\n)+$/);
    await must(host, ['lxc-stop', '-k', '-n', 'runs']);
    expect(await startEach('old', 'made', 'runs')).toBe(
      'old lxcbr0 STOPPED\nmade lxcbr0 STOPPED\nruns lxcbr0 STOPPED\n',
    );
  });

  it('a reinstall finds all networks that containers run on, and says where a subnet is gone', async () => {
    await writeFile(
      host,
      '/etc/nethooks/nethooks.ini',
      '[network.br0]\naddress = 10.4.0.1/16\n[network.lan]\naddress = 172.20.1.1/24\n',
    );
    await install();
    await createContainers(host, ['a', 'b']);
    await sh(host, 'nethooks configure b --network lan; lxc-start a; lxc-start b');
    await uninstall('--purge');
    expect(await install()).toContain('written, subnet 10.4.0.0/16, subnet 172.20.1.0/24\n');
    for (const name of ['a', 'b']) await inContainer(host, name, ['ping', '-c', '1', '-W', '2', OUTSIDE]);
    expect(await sh(host, 'nethooks config check')).toContain('ok, 2 networks: br0, lan');
    await sh(
      host,
      `lxc-stop -k a; lxc-stop -k b
nethooks configure a; nethooks configure b --network lan
lxc-start a; lxc-start b; lxc-stop -k a; lxc-stop -k b`,
    );
    await uninstall();
    await sh(host, 'ip route add 172.20.0.0/16 via 192.0.2.1');
    const { stdout, stderr } = await host.run(['./install.sh', '--no-apt'], { cwd: '/root/release' });
    expect(stdout).toContain('written, subnet 10.4.0.0/16, subnet 10.0.0.0/24\n');
    expect(stderr).toContain('network lan: its subnet 172.20.1.0/24 is in use elsewhere by now');
  });

  describe('killed', () => {
    it('at any point: the next run completes it', { timeout: 240_000 }, async () => {
      await prepareKills(host);
      await createContainers(host, ['old', 'made']);
      const before = await others('old');
      const prepare = async () => {
        await must(host, nodeBuild('setup'));
        await sh(host, 'nethooks configure old; nethooks configure made --net bridge');
      };
      await prepare();
      const all = await changesOf(host, 'teardown');
      const released = await configs('old', 'made');
      const killedAt = async (at: number): Promise<string> => {
        await prepare();
        await killed(host, 'teardown', String(at));
        const then = await configs('old', 'made');
        await must(host, nodeBuild('teardown'));
        expect(difference(before, await others('old')), `killed at change ${at}`).toBe('');
        expect(await configs('old', 'made'), `killed at change ${at}`).toBe(released);
        expect(await sh(host, 'ls -A /var/lib/lxc/old /var/lib/lxc/made')).not.toMatch(/backup|\.nethooks/);
        return then;
      };
      // Where the containers' turn comes, each change; elsewhere a few.
      let [first, last] = [1, all];
      while (first < last) {
        const middle = Math.floor((first + last) / 2);
        if ((await killedAt(middle)) === released) last = middle;
        else first = middle + 1;
      }
      for (let at = first - 6; at < first + 3; at++) await killedAt(at);
    });
  });
});
