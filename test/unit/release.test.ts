/** LXC configurations without nethooks, as text. */
import { describe, expect, it } from 'vitest';
import { adopted } from '../../src/frontend/lxc/adopt.ts';
import { type Remaining, released } from '../../src/frontend/lxc/release.ts';
import type { HostFacts } from '../../src/model/facts.ts';
import { LXC_DEFAULT_CONF } from '../../src/model/paths.ts';
import type { FileStep } from '../../src/model/step.ts';
import { planDefaultConf } from '../../src/plan/host/lxc-default.ts';

const HOOKS = '/usr/lib/nethooks/lxc';
const DEBIAN =
  'lxc.net.0.type = veth\nlxc.net.0.link = lxcbr0\nlxc.net.0.flags = up\n\nlxc.apparmor.profile = generated\n';
/** What lxc-create makes of default.conf with our block in it. */
function created(before = DEBIAN, comes = true): string {
  const lxcNet = { bridge: 'lxcbr0', comes };
  const facts = { lxcVersion: '5.0.2', lxcNet, files: { [LXC_DEFAULT_CONF]: before } } as unknown as HostFacts;
  const [step] = planDefaultConf('br0', HOOKS, facts) as [FileStep];
  return `# Template\n${(step.content as string).replace('xx:xx:xx', '12:34:56')}lxc.uts.name = "web"\n`;
}
const plain = (before = DEBIAN): string => `# Template\n${before}lxc.uts.name = "web"\n`;
const adoptedFrom = (text: string): string =>
  adopted(
    text,
    {
      mode: null,
      fallback: 'br0',
      networks: [{ name: 'br0', subnet: '10.0.0.0/24' }],
      nics: {},
      hooks: HOOKS,
      netAdmin: false,
      include: '/var/lib/nethooks/env/web.conf',
    },
    () => null,
  );

const withLxcNet: Remaining = { ours: new Set(['br0']), interfaces: new Set(['eth0', 'lxcbr0']), bridge: 'lxcbr0' };
const without: Remaining = { ours: new Set(['br0']), interfaces: new Set(['eth0']), bridge: null };
const release = (text: string, remaining = withLxcNet, backup: string | null = null, include: string | null = null) =>
  released(text, backup, remaining, () => include);

describe('an LXC configuration without nethooks', () => {
  it.each([
    ['has nothing of ours', plain()],
    ["is on a bridge of the user's", plain(DEBIAN.replace('lxcbr0', 'mybr'))],
    ['is empty', ''],
    ['shares a network', plain('lxc.namespace.share.net = db\n')],
    ['has no network', plain('lxc.net.0.type = empty\n')],
    ['has CRLF and no newline at its end', 'lxc.net.0.type = veth\r\nlxc.net.0.link = mybr\r\nlxc.tty.max = 1'],
  ])('stays as it is where it %s', (_what, text) => {
    for (const remaining of [withLxcNet, without]) expect(release(text, remaining)).toBe(text);
  });

  it.each([DEBIAN, DEBIAN.replace('lxcbr0', 'mybr'), 'lxc.uts.name = x', '', 'lxc.net.0.type = veth\r\n'])(
    'that configure had changed is %j again, whatever bridges there are',
    (text) => {
      for (const remaining of [withLxcNet, without]) expect(release(adoptedFrom(text), remaining, text)).toBe(text);
    },
  );

  it('that lxc-create made from default.conf without lxc-net has its line again', () => {
    expect(created(DEBIAN, false)).toContain('\n# nethooks: lxc.net.0.link = lxcbr0\n');
    expect(release(created(DEBIAN, false))).toBe(plain());
  });

  it('that lxc-create made from default.conf is as if our block had not been there', () => {
    expect(release(created())).toBe(plain());
    expect(release(created('lxc.net.0.type = empty\n'), without)).toBe(plain('lxc.net.0.type = empty\n'));
  });

  it('that lxc-create made, and configure changed, loses both, and keeps what somebody else added', () => {
    const mine = 'lxc.environment = A=1\n';
    expect(release(`${adoptedFrom(created())}${mine}`, withLxcNet, created())).toBe(`${plain()}${mine}`);
    // lxc-copy and lxc-snapshot copy no backup.
    expect(release(adoptedFrom(created()))).toBe(plain());
  });

  it.each([
    ['where default.conf leads nowhere', created(), plain()],
    ['where default.conf has an interface, but no link', created('lxc.net.0.type = veth\n'), null],
  ])('can be started without lxc-net, too: %s', (_what, text, before) => {
    expect(release(text, without)).toBe(
      before === null ? plain('lxc.net.0.type = veth\n') : `${before}lxc.net.0.link =\n`,
    );
  });

  it('goes to lxc-net from a bridge of ours that the user has named, and back to an earlier link', () => {
    const onOurs = DEBIAN.replace('lxcbr0', 'br0');
    expect(release(plain(onOurs))).toBe(
      `${plain(DEBIAN.replace('lxc.net.0.link = lxcbr0\n', ''))}lxc.net.0.link = lxcbr0\n`,
    );
    expect(release(`${plain()}lxc.net.0.link = br0\n`)).toBe(plain());
    const second = 'lxc.net.1.type = veth\nlxc.net.1.link = "br0"\n';
    expect(release(`${plain()}${second}`)).toBe(`${plain()}lxc.net.1.type = veth\nlxc.net.1.link = lxcbr0\n`);
  });

  it('drops addresses of the subnet that it leaves', () => {
    const static1 = 'lxc.net.0.ipv4.address = 10.0.0.9/24\nlxc.net.0.ipv4.gateway = 10.0.0.1\n';
    const dropped = 'lxc.net.0.ipv4.address =\nlxc.net.0.ipv4.gateway =\n';
    expect(release(`${created()}${static1}`)).toBe(`${plain()}${static1}${dropped}`);
    expect(release(`${plain()}${static1}`)).toBe(`${plain()}${static1}`);
  });

  it('is on a bridge that stays when an include names ours', () => {
    const text = 'lxc.include = /etc/lxc/mine.conf\n';
    const included = 'lxc.net.0.type = veth\nlxc.net.0.link = br0\n';
    expect(release(text, withLxcNet, null, included)).toBe(`${text}lxc.net.0.link = lxcbr0\n`);
  });

  it.each([
    `lxc.hook.start-host = ${HOOKS}/start-host -p 80:80\n`,
    `\tlxc.hook.post-stop="${HOOKS}/post-stop"\r\n`,
    `lxc.hook.clone = '/opt/x/lib/nethooks/lxc/clone'\n`,
    `lxc.hook.start-host = env A=1 ${HOOKS}/start-host\n`,
    'lxc.include = /var/lib/nethooks/env/web.conf\n',
    '# nethooks end\n',
  ])('has no line %j', (line) => {
    expect(release(`lxc.uts.name = a\n${line}lxc.tty.max = 1\n`)).toBe('lxc.uts.name = a\nlxc.tty.max = 1\n');
    expect(release(`lxc.uts.name = a\n${line.trimEnd()}`)).toBe('lxc.uts.name = a\n');
  });

  it.each([
    '# lxc.hook.start-host = /usr/lib/nethooks/lxc/start-host\n',
    'lxc.hook.start-host = /home/me/start-host\n',
    'lxc.include = /usr/share/lxc/config/common.conf\n',
    'lxc.environment = HOOK=/usr/lib/nethooks/lxc/start-host\n',
  ])('keeps %j', (line) => {
    expect(release(line)).toBe(line);
  });

  it('loses a damaged block line by line', () => {
    const damaged = created().replace('# nethooks end\n', '');
    const clean = release(damaged);
    expect(clean).not.toContain('nethooks');
    expect(clean).toMatch(/lxc\.net\.0\.link = lxcbr0\n$/);
    expect(clean).toContain('lxc.uts.name = "web"\n');
  });

  it.each([
    created(),
    adoptedFrom(DEBIAN),
    plain(DEBIAN.replace('lxcbr0', 'br0')),
    `${created()}lxc.net.0.link = br0\n`,
  ])('stays as it is the second time', (text) => {
    for (const remaining of [withLxcNet, without]) {
      const once = release(text, remaining);
      expect(release(once, remaining)).toBe(once);
      // A run that was killed leaves the backup.
      expect(release(once, remaining, text)).toBe(once);
    }
  });
});
