/** What single containers are told by DHCP: the text for dnsmasq, and when it has to forget. */
import { describe, expect, it } from 'vitest';
import { resolve } from '../../src/config/resolve.ts';
import type { AttachmentRecord, Interface } from '../../src/model/attachment.ts';
import type { NetworkConfig } from '../../src/model/config.ts';
import { NO_OPTIONS } from '../../src/model/container-options.ts';
import { dhcpOptionsText, macTags, optionNumbers } from '../../src/model/dhcp-options.ts';
import { MAC_TAGS, UPSTREAMS } from '../../src/model/paths.ts';
import { parseResolvConf, showResolvConf } from '../../src/model/resolv-conf.ts';
import { describe as describeStep } from '../../src/model/step.ts';
import { planNames, withDhcpOptions } from '../../src/plan/attachment/attach.ts';
import { dhcpOptions } from '../../src/plan/attachment/container-files.ts';
import type { FileFacts } from '../../src/plan/attachment/facts.ts';
import { planDnsmasq } from '../../src/plan/host/dnsmasq.ts';
import { facts, link } from './host-facts.ts';

const MAC = '02:6e:0a:00:00:05';
const TAGS = 'tag:mac0-02,tag:mac1-6e,tag:mac2-0a,tag:mac3-00,tag:mac4-00,tag:mac5-05';
const DIRECTORY = '/run/nethooks/dnsmasq/br0';

const network = (values: object = {}): NetworkConfig =>
  resolve({ network: { br0: { address: '10.0.0.1/24', ...values } } }).networks[0] as NetworkConfig;

const iface = (values: Partial<Interface> = {}): Interface => ({
  driver: 'none',
  network: 'br0',
  domain: null,
  ifname: 'eth0',
  addresses: ['10.0.0.5/24'],
  gateways: ['10.0.0.1'],
  mac: MAC,
  hostLink: null,
  store: null,
  ...values,
});

describe('the text', () => {
  const lines = (values: Partial<Interface>) =>
    dhcpOptionsText(iface(values))
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => line.replace(`${TAGS},`, ''));

  it('has a line for each option, for one MAC alone', () => {
    expect(dhcpOptionsText(iface({ mtu: 1300 }))).toBe(`${TAGS},26,1300\n`);
    expect(
      lines({ mtu: 1300, dhcpOptions: { dns: ['9.9.9.9', '1.1.1.1'], search: ['a', 'b.c.'], hostname: 'web' } }),
    ).toEqual(['6,9.9.9.9,1.1.1.1', '119,a,b.c', '15', '26,1300', '12,web']);
    expect(lines({})).toEqual([]);
  });

  it('sends nothing in place of nothing: no search list, no server but over IPv6', () => {
    expect(lines({ dhcpOptions: { search: [] } })).toEqual(['119', '15']);
    expect(lines({ dhcpOptions: { dns: ['fd00::53'] } })).toEqual(['6']);
    expect(lines({ dhcpOptions: { dns: ['fd00::53', '9.9.9.9'] } })).toEqual(['6,9.9.9.9']);
  });

  it.each(['a\nb', 'a,b', 'a b', '', 'tag:x', '#', '"'])('takes no %j', (word) => {
    expect(() => dhcpOptionsText(iface({ dhcpOptions: { hostname: word } }))).toThrow(TypeError);
    expect(() => dhcpOptionsText(iface({ dhcpOptions: { search: ['a', word] } }))).toThrow(TypeError);
    expect(() => dhcpOptionsText(iface({ mac: `02:${word}`, mtu: 1300 }))).toThrow(TypeError);
  });

  it('is read back by its numbers', () => {
    expect(optionNumbers(dhcpOptionsText(iface({ mtu: 1, dhcpOptions: { dns: [], search: ['6'] } })))).toEqual([
      '6',
      '119',
      '15',
      '26',
    ]);
    expect(optionNumbers('')).toEqual([]);
  });

  it('names tags that there are', () => {
    const made = new Set(macTags().match(/(?<=set:)[^,]+/g));
    expect(made.size).toBe(6 * 256);
    for (const tag of TAGS.split(',')) expect(made).toContain(tag.replace('tag:', ''));
    expect(macTags()).toContain('\ndhcp-mac=set:mac2-0a,*:*:0a:*:*:*\n');
  });
});

describe('what is told', () => {
  const told = (options: Partial<typeof NO_OPTIONS>, on = network(), linked = false) =>
    dhcpOptions(
      { name: 'web', pid: 1, options: { ...NO_OPTIONS, ...options }, network: on },
      linked ? [{ alias: 'db', container: 'database', to: '10.0.0.6' }] : [],
    );

  it('is only what the container asks for itself', () => {
    expect(told({})).toBeNull();
    expect(told({}, network({ dns: '192.0.2.1', 'dns-search': 'corp' }))).toBeNull();
    expect(told({ dnsOption: ['ndots:3'] })).toBeNull();
    expect(told({ dns: ['192.0.2.1'], hostname: 'shop' })).toEqual({ dns: ['192.0.2.1'], hostname: 'shop' });
    expect(told({ dnsSearch: ['.'] })).toEqual({ search: [] });
  });

  it("has the domain of its links' aliases, as its resolv.conf has", () => {
    expect(told({}, network(), true)).toEqual({ search: ['web.lxc', 'lxc'] });
    expect(told({ dnsSearch: ['a'] }, network(), true)).toEqual({ search: ['a'] });
  });

  it('is that of LXC containers on networks of ours', () => {
    const files = { name: 'web', pid: 1, options: { ...NO_OPTIONS, hostname: 'shop' }, network: network() };
    const [ours, other] = withDhcpOptions(
      [iface(), iface({ network: null })],
      { files, owner: { kind: 'lxc', name: 'web' } },
      [],
    );
    expect([ours?.dhcpOptions, other?.dhcpOptions]).toEqual([{ hostname: 'shop' }, undefined]);
    expect(
      withDhcpOptions([iface({ dhcpOptions: {} })], { files: null, owner: { kind: 'lxc', name: 'web' } }, []),
    ).toEqual([iface()]);
  });
});

describe('a start writes', () => {
  const FILE = `${DIRECTORY}/dhcp-options/web.eth0`;
  const TOLD = `${DIRECTORY}/told/${MAC}`;
  const steps = (one: Interface, files: FileFacts['files']) => {
    const record = {
      owner: { kind: 'lxc', name: 'web' },
      interfaces: [one],
      names: { own: [], linked: [] },
    } as unknown as AttachmentRecord;
    const facts = { files, hostResolver: null, written: undefined, reloads: false };
    return planNames(record, {}, facts)
      .filter((step) => step.kind !== 'file' || [FILE, TOLD].includes(step.path))
      .map((step) => (step.kind === 'file' ? [step.path, step.content] : step.kind));
  };
  const own = iface({ mtu: 1300, dhcpOptions: { dns: ['9.9.9.9'] } });
  const text = dhcpOptionsText(own);

  it('what is told, and notes it; the next one nothing', () => {
    expect(steps(own, {})).toEqual([
      [FILE, text],
      [TOLD, '6 26'],
    ]);
    expect(steps(own, { [FILE]: text, [TOLD]: '6 26' })).toEqual([]);
    expect(steps(iface(), {})).toEqual([]);
  });

  it('what is different, which dnsmasq notices; but what is no more, it is told to forget', () => {
    const other = iface({ mtu: 1400, dhcpOptions: { dns: ['1.1.1.1'] } });
    expect(steps(other, { [FILE]: text, [TOLD]: '6 26' })).toEqual([[FILE, dhcpOptionsText(other)]]);
    const fewer = iface({ mtu: 1300 });
    expect(steps(fewer, { [FILE]: text, [TOLD]: '6 26' })).toEqual([
      [FILE, dhcpOptionsText(fewer)],
      [TOLD, '26'],
      'reload-dnsmasq',
    ]);
    expect(steps(iface(), { [FILE]: text, [TOLD]: '6 26' })).toEqual([[FILE, null], [TOLD, null], 'reload-dnsmasq']);
  });

  it('nothing where somebody else had the MAC, but has dnsmasq forget that', () => {
    expect(steps(iface(), { [TOLD]: '6' })).toEqual([[TOLD, null], 'reload-dnsmasq']);
  });
});

describe('`up`', () => {
  it('restarts dnsmasq for tags of another version', () => {
    const base = facts({ dnsmasqVersion: '2.90', links: [link('br0')] });
    const conf = planDnsmasq([network()], base).flatMap((step) =>
      step.kind === 'file' && step.path.endsWith('dnsmasq.conf') ? [String(step.content)] : [],
    )[0];
    const kinds = (tags: string) =>
      planDnsmasq([network()], {
        ...base,
        files: { [MAC_TAGS]: tags, [UPSTREAMS]: '' },
        dnsmasq: { br0: { conf: conf ?? '', pid: 7, noted: true, outdated: null, hung: false } },
      }).map(({ kind }) => kind);
    expect(kinds(macTags())).toEqual([]);
    expect(kinds('tags of another version')).toEqual(['file', 'dnsmasq']);
  });

  it('shows of a long file how it begins', () => {
    const shown = describeStep({ kind: 'file', path: '/x', before: null, content: macTags() });
    expect(shown.length).toBe(5);
    expect(shown.at(-1)).toBe('  … 1534 more lines');
  });
});

it('resolv.conf is compared by what it comes to', () => {
  const show = (text: string) => showResolvConf(parseResolvConf(text));
  expect(show('search LXC. a\nnameserver 10.0.0.1\noptions rotate ndots:2\n')).toBe(
    show('# mine\noptions ndots:2\nnameserver 10.0.0.1\noptions rotate\nsearch lxc a\n'),
  );
  expect(show('nameserver 10.0.0.1\n')).not.toBe(show('search lxc\nnameserver 10.0.0.1\n'));
  expect(show('nameserver 1.1.1.1\nnameserver 2.2.2.2\n')).not.toBe(show('nameserver 2.2.2.2\nnameserver 1.1.1.1\n'));
});
