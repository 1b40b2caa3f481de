import { describe, expect, it } from 'vitest';
import { parseConf } from '../../src/frontend/cni/conf.ts';
import { isConmon, isConmonOf } from '../../src/frontend/cni/conmon.ts';
import { CniError, renderError } from '../../src/frontend/cni/error.ts';
import { leftoverOf } from '../../src/frontend/cni/leftover.ts';
import { parseHostLocal, wantedIn } from '../../src/frontend/cni/ranges.ts';
import { parseArgs, parseCommand, parseRequest, validAttachments } from '../../src/frontend/cni/request.ts';
import { parseResult, type Result, renderResult } from '../../src/frontend/cni/result.ts';
import { VERSIONS, versionReport } from '../../src/frontend/cni/versions.ts';

const ENV = {
  CNI_CONTAINERID: 'pod-1',
  CNI_NETNS: '/run/netns/x',
  CNI_IFNAME: 'eth0',
  CNI_PATH: '/usr/lib/cni',
};
const CONF = '{"cniVersion":"1.0.0","name":"net","type":"nethooks","network":"br0"}';

/** The code and message of the error that `action` throws. */
function failureOf(action: () => unknown): [number, string] {
  try {
    action();
  } catch (error) {
    if (error instanceof CniError) return [error.code, error.message];
    throw error;
  }
  throw new Error('no error');
}

describe('a request', () => {
  it('is read from the environment and standard input', () => {
    const request = parseRequest('ADD', { ...ENV, CNI_ARGS: 'IgnoreUnknown=1;K8S_POD_NAME=web' }, CONF);
    expect(request).toMatchObject({
      containerId: 'pod-1',
      netns: '/run/netns/x',
      ifname: 'eth0',
      path: ['/usr/lib/cni'],
      args: { K8S_POD_NAME: 'web' },
      version: '1.0.0',
      name: 'net',
    });
  });

  const bad: [string, Record<string, string | undefined>, string, number, RegExp][] = [
    ['no container id', { CNI_CONTAINERID: undefined }, CONF, 4, /\[CNI_CONTAINERID\] missing/],
    [
      'nothing at all',
      { CNI_CONTAINERID: '', CNI_NETNS: '', CNI_IFNAME: '', CNI_PATH: '' },
      CONF,
      4,
      /CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME,CNI_PATH/,
    ],
    ['a container id with a slash', { CNI_CONTAINERID: '../x' }, CONF, 4, /containerID/],
    ['a container id of 300 characters', { CNI_CONTAINERID: 'x'.repeat(300) }, CONF, 4, /containerID/],
    ['an interface name of 16 characters', { CNI_IFNAME: 'a234567890123456' }, CONF, 4, /too long/],
    ['an interface name ..', { CNI_IFNAME: '..' }, CONF, 4, /interface name is \.\./],
    ['an interface name with a colon', { CNI_IFNAME: 'eth0:1' }, CONF, 4, /contains/],
    ['an interface name with a line break', { CNI_IFNAME: 'eth0\nx' }, CONF, 4, /contains/],
    ['a relative namespace', { CNI_NETNS: 'x' }, CONF, 4, /absolute/],
    ['no JSON', {}, 'garbage', 6, /unmarshalling/],
    ['nothing on standard input', {}, '', 6, /unmarshalling/],
    ['a list', {}, '[]', 6, /not a JSON object/],
    ['no name', {}, '{"cniVersion":"1.0.0"}', 7, /missing network name/],
    ['a name with a slash', {}, '{"cniVersion":"1.0.0","name":"a/b"}', 7, /network name/],
    ['a version of the future', {}, '{"cniVersion":"9.9.9","name":"a"}', 1, /incompatible/],
    ['a version that is a number', {}, '{"cniVersion":1,"name":"a"}', 1, /incompatible/],
    ['an argument without value', { CNI_ARGS: 'IP' }, CONF, 4, /invalid pair/],
    ['an argument that nobody knows', { CNI_ARGS: 'FOO=1' }, CONF, 4, /unknown args/],
  ];
  it.each(bad)('is refused with %s', (_what, env, text, code, message) => {
    const [found, words] = failureOf(() => parseRequest('ADD', { ...ENV, ...env }, text));
    expect(found).toBe(code);
    expect(words).toMatch(message);
  });

  it('may come for DEL without a namespace and without a path', () => {
    expect(parseRequest('DEL', { CNI_CONTAINERID: 'a', CNI_IFNAME: 'eth0' }, CONF)).toMatchObject({
      netns: '',
      path: [],
    });
  });

  it('is for CHECK since 0.4.0, for GC and STATUS since 1.1.0', () => {
    for (const version of VERSIONS) {
      const conf = JSON.stringify({ cniVersion: version, name: 'net', type: 'nethooks' });
      const allowed = (['CHECK', 'GC', 'STATUS'] as const).filter((command) => {
        try {
          parseRequest(command, ENV, conf);
          return true;
        } catch (error) {
          expect((error as CniError).code).toBe(1);
          return false;
        }
      });
      const expected =
        { '1.1.0': ['CHECK', 'GC', 'STATUS'], '1.0.0': ['CHECK'], '0.4.0': ['CHECK'] }[version as string] ?? [];
      expect(allowed, version).toEqual(expected);
    }
  });

  it('for GC names what is to stay; null is an empty list, as libcni sends it', () => {
    const named = (value: unknown) => validAttachments({ 'cni.dev/valid-attachments': value });
    expect(named(null)).toEqual([]);
    expect(named([])).toEqual([]);
    expect(named([{ containerID: 'a', ifname: 'eth0' }])).toEqual([{ containerID: 'a', ifname: 'eth0' }]);
    for (const value of [undefined, {}, 'x', [null], [{ ifname: 'eth0' }]])
      expect(failureOf(() => named(value))[0]).toBe(7);
  });

  it('names a command that there is', () => {
    expect(failureOf(() => parseCommand({}))).toEqual([4, 'required env variables [CNI_COMMAND] missing']);
    expect(failureOf(() => parseCommand({ CNI_COMMAND: 'add' }))[0]).toBe(4);
  });

  it('keeps every value of CNI_ARGS, and drops none that is known', () => {
    expect(parseArgs('IgnoreUnknown=true;FOO=a=b;;MAC=02:00:00:00:00:01')).toEqual({
      IgnoreUnknown: 'true',
      FOO: 'a=b',
      MAC: '02:00:00:00:00:01',
    });
    expect(parseArgs('IP=10.0.0.5')).toEqual({ IP: '10.0.0.5' });
  });
});

describe('a result', () => {
  const result: Result = {
    interfaces: [
      { name: 'cni0', mac: '02:00:00:00:00:01' },
      { name: 'eth0', mac: '02:00:00:00:00:02', mtu: 1400, sandbox: '/run/netns/x' },
    ],
    ips: [
      { address: '10.1.0.5/16', gateway: '10.1.0.1', interface: 1 },
      { address: 'fd00::5/64', gateway: 'fd00::1', interface: 1 },
    ],
    routes: [
      { dst: '0.0.0.0/0', mtu: 1400 },
      { dst: '::/0', gw: 'fd00::1' },
    ],
    dns: { nameservers: ['10.1.0.1'], search: ['lxc'] },
  };

  it.each(['0.1.0', '0.2.0'] as const)('has an address per family in %s', (version) => {
    expect(JSON.parse(renderResult(result, version))).toEqual({
      cniVersion: version,
      ip4: { ip: '10.1.0.5/16', gateway: '10.1.0.1', routes: [{ dst: '0.0.0.0/0' }] },
      ip6: { ip: 'fd00::5/64', gateway: 'fd00::1', routes: [{ dst: '::/0', gw: 'fd00::1' }] },
      dns: result.dns,
    });
  });

  it.each(['0.3.0', '0.3.1', '0.4.0'] as const)('has addresses with their version in %s', (version) => {
    const rendered = JSON.parse(renderResult(result, version));
    expect(rendered.ips[0]).toEqual({ version: '4', address: '10.1.0.5/16', gateway: '10.1.0.1', interface: 1 });
    expect(rendered.ips[1].version).toBe('6');
    expect(rendered.interfaces[1]).toEqual({ name: 'eth0', mac: '02:00:00:00:00:02', sandbox: '/run/netns/x' });
    expect(rendered.routes[0]).toEqual({ dst: '0.0.0.0/0' });
  });

  it('has no version in 1.0.0, and everything in 1.1.0', () => {
    expect(JSON.parse(renderResult(result, '1.0.0')).ips[0]).not.toHaveProperty('version');
    expect(JSON.parse(renderResult(result, '1.1.0'))).toEqual({ cniVersion: '1.1.0', ...result });
  });

  it.each(VERSIONS)('comes back from %s', (version) => {
    const back = parseResult(JSON.parse(renderResult(result, version)));
    expect(back.ips.map(({ address }) => address)).toEqual(['10.1.0.5/16', 'fd00::5/64']);
    expect(back.routes.map(({ dst }) => dst)).toEqual(['0.0.0.0/0', '::/0']);
    expect(back.dns).toEqual(result.dns);
  });

  it('always says dns, also when there is nothing to say', () => {
    for (const version of VERSIONS)
      expect(JSON.parse(renderResult({ interfaces: [], ips: [], routes: [], dns: {} }, version)).dns).toEqual({});
  });

  it('of garbage is an error', () => {
    for (const value of [null, [], 'x', { ips: 1 }, { ips: [{}] }, { ip4: {} }, { routes: [{}] }])
      expect(failureOf(() => parseResult(value))[0]).toBe(6);
  });
});

it('an error is JSON with code, msg and, if any, details', () => {
  expect(JSON.parse(renderError(new CniError(7, 'wrong', 'why'), '0.4.0'))).toEqual({
    cniVersion: '0.4.0',
    code: 7,
    msg: 'wrong',
    details: 'why',
  });
  expect(JSON.parse(renderError(new Error('x'), '1.0.0'))).toEqual({ cniVersion: '1.0.0', code: 100, msg: 'x' });
});

it('VERSION lists every version', () => {
  expect(JSON.parse(versionReport('0.4.0'))).toEqual({ cniVersion: '0.4.0', supportedVersions: [...VERSIONS] });
});

describe('the kind', () => {
  const ipam = { type: 'host-local', subnet: '10.1.0.0/16' };
  const table: [string, Record<string, unknown>][] = [
    ['network', { type: 'nethooks', network: 'br0' }],
    ['bridge', { type: 'nethooks', bridge: 'cni0', isGateway: true, ipMasq: true, ipam }],
    ['bridge', { type: 'nethooks-bridge', ipam }],
    ['bridge', { type: 'nethooks', isDefaultGateway: true, ipam }],
    ['ptp', { type: 'nethooks', ipMasq: true, ipam }],
    ['ptp', { type: 'nethooks', ipMasq: false, ipam }],
    ['ptp', { type: 'nethooks-ptp', ipam }],
    ['ptp', { type: 'nethooks', mode: 'ptp', ipam }],
    ['macvlan', { type: 'nethooks', master: 'ens32', ipam: { type: 'dhcp' } }],
    ['macvlan', { type: 'nethooks', mode: 'private', ipam: { type: 'dhcp' } }],
    ['macvlan', { type: 'nethooks-macvlan' }],
    ['ipvlan', { type: 'nethooks', master: 'eth0', mode: 'l3', ipam }],
    ['ipvlan', { type: 'nethooks-ipvlan', ipam }],
    ['dns', { type: 'nethooks-dns' }],
    ['dns', { type: 'nethooks', prevResult: {} }],
  ];
  it.each(table)('%s is told from %o', (kind, conf) => {
    expect(parseConf({ name: 'net', ...conf }, {}).kind).toBe(kind);
  });

  const wrong: [string, Record<string, unknown>, number][] = [
    ['nothing to go by', {}, 7],
    ['network and ipam', { network: 'br0', ipam }, 7],
    ['an mtu of 10', { network: 'br0', mtu: 10 }, 7],
    ['an mtu that is text', { network: 'br0', mtu: '1500' }, 7],
    ['a bridge that is no name', { bridge: 'a b', ipam }, 7],
    ['a flag that is text', { bridge: 'b', isGateway: 'yes', ipam }, 7],
    ['hairpin and promiscuous mode', { bridge: 'b', hairpinMode: true, promiscMode: true }, 7],
    ['macvlan in a mode that is none', { type: 'nethooks-macvlan', mode: 'x' }, 7],
    ['a vlan', { bridge: 'b', vlan: 5 }, 2],
    ['macspoofchk', { bridge: 'b', macspoofchk: true }, 2],
    ['a MAC that is none', { network: 'br0', runtimeConfig: { mac: '1:2' } }, 7],
    ['an address that is none', { network: 'br0', runtimeConfig: { ips: ['10.0.0.x'] } }, 7],
    [
      'ports where we publish none',
      { bridge: 'b', ipam, runtimeConfig: { portMappings: [{ hostPort: 80, containerPort: 80 }] } },
      2,
    ],
    [
      'a port that is none',
      { network: 'br0', runtimeConfig: { portMappings: [{ hostPort: 70000, containerPort: 1 }] } },
      7,
    ],
  ];
  it.each(wrong)('is refused with %s', (_what, conf, code) => {
    expect(failureOf(() => parseConf({ type: 'nethooks', name: 'net', ...conf }, {}))[0]).toBe(code);
  });

  it('comes with what the runtime asks for', () => {
    const conf = parseConf(
      {
        type: 'nethooks',
        name: 'net',
        network: 'br0',
        args: { cni: { ips: ['10.0.0.7/24'] } },
        runtimeConfig: {
          mac: '02:00:00:00:00:AA',
          ips: ['10.0.0.7'],
          aliases: { net: ['db'], other: ['no'] },
          dns: { servers: ['10.0.0.3'], searches: ['x'], options: ['ndots:1'] },
          portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'TCP' }],
        },
      },
      { IP: '10.0.0.7' },
    );
    expect(conf).toMatchObject({
      wantedIps: ['10.0.0.7'],
      wantedMac: '02:00:00:00:00:aa',
      aliases: ['db'],
      dns: null,
      runtimeDns: { nameservers: ['10.0.0.3'], search: ['x'], options: ['ndots:1'] },
      publish: [{ protocol: 'tcp', hostAddress: null, hostPorts: [8080], containerPort: 80, text: '8080:80/tcp' }],
    });
  });
});

describe('a conmon', () => {
  it("is a container's by the words that it was started with", () => {
    const id = 'a'.repeat(64);
    for (const words of [['-c', id], ['--cid', id], [`--cid=${id}`]])
      expect(isConmon(['/usr/bin/conmon', '--api-version', '1', ...words, '-u', id], id)).toBe(true);
    for (const line of [[], ['conmon'], ['conmon', '-u', id], ['conmon', '-c', `${id}b`], ['/bin/sleep', '-c', id]])
      expect(isConmon(line, id)).toBe(false);
    expect(isConmonOf(id)(process.pid)).toBe(false);
    expect(isConmonOf(id)(2 ** 22 + 1)).toBe(false);
  });
});

describe('the MAC', () => {
  const mac = (last: number) => `02:00:00:00:00:0${last}`;
  const conf = { type: 'nethooks', name: 'net', network: 'br0' };
  const wanted = (more: object, args: Record<string, string> = {}) => parseConf({ ...conf, ...more }, args).wantedMac;
  const cni = { args: { cni: { mac: mac(2) } } };

  it("is the capability's, else that of args.cni, of CNI_ARGS, of the configuration", () => {
    const all = { mac: mac(4), ...cni, runtimeConfig: { mac: mac(1) } };
    expect(wanted(all, { MAC: mac(3) })).toBe(mac(1));
    expect(wanted({ ...all, runtimeConfig: { mac: '' } }, { MAC: mac(3) })).toBe(mac(2));
    expect(wanted({ ...all, runtimeConfig: {}, args: { cni: { mac: '' } } }, { MAC: mac(3) })).toBe(mac(3));
    expect(wanted({ ...all, runtimeConfig: {}, args: null }, { MAC: '' })).toBe(mac(4));
    expect(wanted({})).toBeNull();
  });

  it('is refused when it is none', () => {
    for (const bad of ['02:00:00:00:00', '02:00:00:00:00:0g', 5])
      expect(failureOf(() => wanted({ args: { cni: { mac: bad } } }))[0]).toBe(7);
  });
});

describe('what a DEL without a record goes by', () => {
  const dataDir = '/var/lib/cni/networks';
  const store = { dataDir, network: 'net' };
  const table: [string, Record<string, unknown>, object][] = [
    ['a network', { network: 'br0', mtu: 1 }, { kind: 'network', store: { dataDir, network: 'br0' }, plugin: null }],
    ['a network that is no name', { network: '../x' }, { kind: 'network', store: null, plugin: null }],
    [
      'host-local without a subnet',
      { bridge: 'b', vlan: 5, ipam: { type: 'host-local' } },
      { kind: 'bridge', store, plugin: null },
    ],
    [
      'another directory',
      { ipam: { type: 'nethooks', dataDir: '/srv' } },
      { kind: 'ptp', store: { ...store, dataDir: '/srv' }, plugin: null },
    ],
    ['a directory that is none', { ipam: { type: 'host-local', dataDir: 5 } }, { kind: 'ptp', store, plugin: null }],
    ['another plugin', { bridge: 'b', ipam: { type: '../x' } }, { kind: 'bridge', store: null, plugin: '../x' }],
    ['ipam that is text', { bridge: 'b', ipam: 'host-local' }, { kind: 'bridge', store: null, plugin: null }],
    ['nothing', {}, { kind: null, store: null, plugin: null }],
  ];
  it.each(table)('%s', (_what, conf, expected) => {
    expect(leftoverOf({ type: 'nethooks', ...conf }, 'net')).toEqual(expected);
  });

  it('no CNI_ARGS, whatever is wrong with them', () => {
    for (const CNI_ARGS of ['FOO=1', 'FOO', 'IP=x'])
      expect(parseRequest('DEL', { ...ENV, CNI_ARGS }, CONF).args).toEqual({});
  });
});

describe("host-local's options", () => {
  it('have its defaults', () => {
    expect(parseHostLocal({ subnet: '10.1.0.0/16' }, undefined).sets).toEqual([
      [{ prefix: 16, from: '10.1.0.1', to: '10.1.255.254', gateway: '10.1.0.1' }],
    ]);
    // IPv6 has no broadcast address.
    expect(parseHostLocal({ subnet: 'fd00::/64' }, undefined).sets).toEqual([
      [{ prefix: 64, from: 'fd00::1', to: 'fd00::ffff:ffff:ffff:ffff', gateway: 'fd00::1' }],
    ]);
    expect(
      parseHostLocal(
        { ranges: [[{ subnet: '10.1.2.0/24', rangeStart: '10.1.2.9', rangeEnd: '10.1.2.20', gateway: '10.1.2.254' }]] },
        undefined,
      ).sets,
    ).toEqual([[{ prefix: 24, from: '10.1.2.9', to: '10.1.2.20', gateway: '10.1.2.254' }]]);
  });

  it('leave the network and the broadcast address out, also of ranges that reach over them', () => {
    const bounds = (ipam: Record<string, unknown>) =>
      parseHostLocal(ipam, undefined).sets.map(([set]) => [set?.from, set?.to])[0];
    expect(bounds({ subnet: '10.1.0.0/24', rangeStart: '10.1.0.0', rangeEnd: '10.1.0.255' })).toEqual([
      '10.1.0.1',
      '10.1.0.254',
    ]);
    expect(bounds({ subnet: 'fd00::/120', rangeStart: 'fd00::', rangeEnd: 'fd00::ff' })).toEqual([
      'fd00::1',
      'fd00::ff',
    ]);
    const only = { subnet: '10.1.0.0/24', rangeStart: '10.1.0.255', rangeEnd: '10.1.0.255' };
    expect(failureOf(() => bounds(only))[0]).toBe(7);
  });

  it('find each address that is asked for a range set, or refuse it', () => {
    const { sets } = parseHostLocal(
      { ranges: [[{ subnet: '10.1.0.0/24', rangeEnd: '10.1.0.99' }], [{ subnet: 'fd00::/64' }]] },
      undefined,
    );
    expect(wantedIn(sets, [])).toEqual([undefined, undefined]);
    expect(wantedIn(sets, ['fd00::5', '10.1.0.200'])).toEqual(['10.1.0.200', 'fd00::5']);
    expect(wantedIn(sets, ['fd00::ffff:ffff:ffff:ffff'])).toEqual([undefined, 'fd00::ffff:ffff:ffff:ffff']);
    for (const bad of ['10.1.0.0', '10.1.0.255', 'fd00::', '10.2.0.5', 'fd01::5'])
      expect(failureOf(() => wantedIn(sets, [bad]))).toEqual([7, `failed to allocate all requested IPs: ${bad}`]);
    expect(failureOf(() => wantedIn(sets, ['10.1.0.5', '10.1.0.6']))[1]).toContain('10.1.0.6');
  });

  it('name sets: those of the runtime, the subnet, then the ranges', () => {
    const subnets = (ipam: Record<string, unknown>, runtime?: unknown) =>
      parseHostLocal(ipam, runtime).sets.map((set) => set.map(({ gateway }) => gateway));
    const ranges = [[{ subnet: 'fd00::/64' }], [{ subnet: '10.3.0.0/24' }, { subnet: '10.3.1.0/24' }]];
    expect(subnets({ subnet: '10.1.0.0/16', ranges })).toEqual([['10.1.0.1'], ['fd00::1'], ['10.3.0.1', '10.3.1.1']]);
    expect(subnets({ subnet: '10.1.0.0/16' }, [[{ subnet: '10.2.0.0/16' }]])).toEqual([['10.2.0.1'], ['10.1.0.1']]);
  });

  const wrong: Record<string, unknown>[] = [
    {},
    { subnet: '10.1.0.1/16' },
    { subnet: '10.1.0.0/31' },
    { subnet: '10.1.0.0' },
    { subnet: '10.1.0.0/16', rangeStart: '10.2.0.1' },
    { subnet: '10.1.0.0/16', rangeStart: '10.1.0.9', rangeEnd: '10.1.0.5' },
    { subnet: '10.1.0.0/16', routes: [{ dst: 'default' }] },
    { subnet: '10.1.0.0/16', routes: [{ dst: '0.0.0.0/0', gw: 'x\ny' }] },
    { subnet: '10.1.0.0/16', dataDir: 'x' },
    { subnet: 'fd00::/127' },
    { subnet: 'fd00::1/64' },
    { subnet: 'fd00::/64', rangeStart: '10.1.0.1' },
    { ranges: [[]] },
    { ranges: [[{ subnet: '10.1.0.0/16' }, { subnet: 'fd00::/64' }]] },
    { ranges: [[{ subnet: '10.1.0.0/16' }, { subnet: '10.1.2.0/24' }]] },
    { ranges: [[{ subnet: '10.1.0.0/16' }], [{ subnet: '10.1.2.0/24' }]] },
  ];
  it.each(wrong)('are refused: %o', (ipam) => {
    expect(failureOf(() => parseHostLocal(ipam, undefined))[0]).toBe(7);
  });
});
