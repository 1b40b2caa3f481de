/** `nethooks setup` and `nethooks teardown` by themselves: killed anywhere, over an installation of 0.1.0's install.sh, as data. */
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { ThrowawayHost } from '../../src/demo/throwaway.ts';
import { contents, copyRelease, difference, wholeState } from '../lab/installation.ts';
import { changesOf, killed, nodeBuild, prepareKills } from '../lab/kill-at.ts';
import { describeLab, labHost, must, sh } from '../lab/lab.ts';

const MANIFEST = '/var/lib/nethooks/install/manifest';

/** Set this to end setup and teardown at every change that they make, not at twenty of them. */
const EVERY_POINT = process.env.NETHOOKS_EVERY_POINT !== undefined;

let host: ThrowawayHost;
let before: string;
const everything = () => wholeState(host);
const setup = (...words: string[]) => must(host, ['/root/release/dist/nethooks', 'setup', ...words]);
const teardown = (...words: string[]) => must(host, ['/root/release/dist/nethooks', 'teardown', ...words]);

describeLab('nethooks setup and teardown', () => {
  beforeAll(async () => {
    host = await labHost();
    await copyRelease(host);
    await prepareKills(host);
    // All that an installation meets: directories that are there, files that it replaces, other programs' networks.
    await sh(
      host,
      `mkdir -p /etc/network/if-up.d /etc/rkt/net.d /usr/lib/cni /usr/lib/rkt
echo mine >/etc/network/if-up.d/nethooks
ln -s /nowhere /usr/sbin/nethooks
echo '{"name":"default","type":"ptp"}' >/etc/rkt/net.d/99-default.conf
# iptables leaves a chain of its own behind.
iptables -t mangle -A POSTROUTING -j ACCEPT; iptables -t mangle -D POSTROUTING -j ACCEPT`,
    );
    before = await everything();
  });
  afterEach(async () => {
    await teardown('--purge');
    const found = difference(before, await everything());
    before = await everything(); // what one test leaves is not the next one's fault
    expect(found).toBe('');
  });

  it('prints its plan as data, and teardown takes back exactly that', async () => {
    const plan = JSON.parse(await setup('--dry-run', '--json'));
    expect(difference(before, await everything())).toBe('');
    const files = plan.steps.filter(({ kind }: { kind: string }) => kind === 'file');
    expect(files[0].path).toBe(MANIFEST); // before anything that it names
    expect(files).toContainEqual({
      kind: 'file',
      path: '/etc/network/if-up.d/nethooks',
      before: null,
      content: {
        from: '/root/release/hooks/if-up.d',
        replace: { text: '/usr/lib/nethooks', by: '/usr/lib/nethooks' },
      },
      mode: 0o755,
      backup: '/var/lib/nethooks/install/backup/etc/network/if-up.d/nethooks',
    });
    expect(JSON.parse(await setup('--json'))).toEqual(plan);
    expect(JSON.parse(await setup('--dry-run', '--json')).steps).toEqual([]);
    const back = JSON.parse(await teardown('--dry-run', '--json')).steps;
    const gone = back
      .filter(({ kind, content }: { kind: string; content: unknown }) => kind === 'file' && content === null)
      .map(({ path }: { path: string }) => path);
    const made = files.filter(({ backup }: { backup?: string }) => backup === undefined);
    expect(gone.sort()).toEqual(made.map(({ path }: { path: string }) => path).sort());
    expect(JSON.parse(await teardown('--json')).steps).toEqual(back);
  });

  it('teardown disconnects what nobody could take back later', async () => {
    await setup();
    await sh(host, 'nethooks up; ip netns add lab; nethooks attach lab --mode ptp --address 10.8.0.2/24');
    expect(await teardown('--dry-run')).toContain('would disconnect lab\n');
    expect(await teardown()).toContain('disconnect lab\n');
    expect(await sh(host, 'ip -n lab -o link show type veth; ls /var/lib/cni/networks 2>&1 || true')).not.toMatch(
      /veth|attach/,
    );
    await sh(host, 'ip netns delete lab');
    expect(difference(before, await everything())).toBe('');
  });

  it('refuses what is no checkout, a prefix that would need quotes, and a directory where a file belongs', async () => {
    for (const [words, code, complaint] of [
      [['--from', '/var/tmp'], 2, /\/var\/tmp is no checkout or release of nethooks/],
      [['--destdir', '/'], 2, /--destdir \/: that is this host/],
      [['--prefix', '/opt/a b'], 2, /--prefix \/opt\/a b: allowed/],
    ] as const) {
      const refused = await host.run(['/root/release/dist/nethooks', 'setup', ...words]);
      expect(refused).toMatchObject({ code, stdout: '' });
      expect(refused.stderr).toMatch(complaint);
    }
    await sh(host, 'mkdir -p /usr/lib/nethooks/nethooks');
    expect(await host.run(['/root/release/dist/nethooks', 'setup'])).toMatchObject({
      code: 1,
      stderr: 'nethooks: /usr/lib/nethooks/nethooks is a directory, but a file belongs there\n',
    });
    await sh(host, 'rmdir /usr/lib/nethooks/nethooks /usr/lib/nethooks');
  });

  it('only one at a time', async () => {
    const argv = ['flock', '/var/lib', '/root/release/dist/nethooks', 'teardown'];
    const { code, stderr } = await host.run(argv);
    expect({ code, stderr }).toMatchObject({ code: 1, stderr: expect.stringContaining('is at work') });
  });

  describe('an installation of the install.sh that was a program of its own', () => {
    /** As it left them: the copies of what it replaced, no word of nethooks-rules.service, files of another version. */
    const OLD = `
state=/var/lib/nethooks/install
mkdir -p "$state/backup/etc/network/if-up.d" "$state/backup/usr/sbin" /usr/lib/nethooks/lxc /etc/nethooks
cp -a /etc/network/if-up.d/nethooks "$state/backup/etc/network/if-up.d"
cp -a /usr/sbin/nethooks "$state/backup/usr/sbin"
rm /usr/sbin/nethooks
for file in /etc/network/if-up.d/nethooks /usr/sbin/nethooks /usr/lib/nethooks/lxc/start-host /usr/lib/nethooks/lxc/gone; do
  printf '#!/bin/sh\\nexit 0 # an older version\\n' >"$file"
done
printf '[network.br7]\\naddress = 10.7.0.1/24\\n' >/etc/nethooks/nethooks.ini
cat >"$state/manifest" <<MANIFEST
prefix /usr
dir /etc/nethooks
dir /usr/lib/nethooks
replaced /usr/sbin/nethooks
dir /usr/lib/nethooks/lxc
made /usr/lib/nethooks/lxc/start-host
made /usr/lib/nethooks/lxc/gone
package nftables
replaced /etc/network/if-up.d/nethooks
unit nethooks.service
config $1 /etc/nethooks/nethooks.ini
MANIFEST
`;
    const SUM = '$(sha256sum /etc/nethooks/nethooks.ini | cut -d" " -f1)';
    const old = (sum: string) => sh(host, OLD.replace('$1', sum));

    it('is taken back', async () => {
      await old(SUM);
      const output = await teardown();
      expect(output).toContain('put back /etc/network/if-up.d/nethooks\n');
      expect(output).toContain('remove /usr/lib/nethooks/lxc/gone\n');
      expect(output).toContain('remove /etc/nethooks/nethooks.ini\n');
      expect(output).toMatch(/stay: apt-get purge nftables\n$/);
      expect(difference(before, await everything())).toBe('');
    });

    it('is upgraded, and keeps the copies that it made and the configuration', async () => {
      await old(SUM);
      const output = await setup();
      expect(output).toContain('write /usr/lib/nethooks/lxc/start-host\n');
      expect(output).toContain('write /etc/network/if-up.d/nethooks\n');
      expect(output).toMatch(/\nbr7 {2}10\.7\.0\.1\/24 {2}up/);
      expect(await sh(host, `cat ${MANIFEST}`)).toMatch(
        /^prefix \/usr\ndir \/etc\/nethooks\n[\s\S]*package nftables\n[\s\S]*made \/usr\/lib\/nethooks\/nethooks\n/,
      );
      expect(await setup()).toMatch(/^nothing changed\n/);
      expect(await teardown()).toContain('remove /etc/nethooks/nethooks.ini\n');
      expect(difference(before, await everything())).toBe('');
    });

    it('whose configuration was written, but not its sum noted', async () => {
      await old('-');
      await setup();
      await sh(host, 'echo "; edited" >>/etc/nethooks/nethooks.ini');
      expect(await teardown()).toContain('keep /etc/nethooks/nethooks.ini: it was edited');
      await sh(host, 'rm -r /etc/nethooks');
    });
  });

  it('killed at any point: the next run completes it, and it can be taken back', { timeout: 1_200_000 }, async () => {
    await must(host, nodeBuild('setup'));
    const complete = await everything();
    await must(host, nodeBuild('teardown'));
    const [there, back] = [await changesOf(host, 'setup'), await changesOf(host, 'teardown')];
    expect(Math.min(there, back)).toBeGreaterThan(60); // or the changes were not counted
    const points = EVERY_POINT ? Math.max(there, back) : 20;
    for (let point = 1; point <= points; point++) {
      // Behind a run that was killed there may be a change or two less to make.
      const [during, after] = [there, back].map((all) => String(Math.max(1, Math.floor((all * point) / points) - 2)));
      await killed(host, 'setup', during as string);
      if (point % 2 === 0) {
        await must(host, nodeBuild('setup'));
        expect(contents(await everything()), `setup ended at change ${during}`).toBe(contents(complete));
        await killed(host, 'teardown', after as string);
      }
      await must(host, nodeBuild('teardown'));
      expect(difference(before, await everything()), `ended at change ${during}, and at ${after}`).toBe('');
    }
  });
});
