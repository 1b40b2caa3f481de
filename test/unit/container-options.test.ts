import { describe, expect, it } from 'vitest';
import { readFlagFaults, resolveContainer } from '../../src/config/container.ts';
import { parseFlags } from '../../src/config/flags.ts';
import { NO_OPTIONS } from '../../src/model/container-options.ts';

const resolve = (text: string | null, words: string[] = [], name = 'web') => resolveContainer(name, { text, words });
const optionsOf = (text: string | null, words: string[] = []) => {
  const { options, problems } = resolve(text, words);
  expect(problems).toEqual([]);
  return options;
};

describe("a container's file", () => {
  it('may say nothing', () => {
    expect(optionsOf(null)).toEqual(NO_OPTIONS);
    expect(optionsOf('; nothing\n')).toEqual(NO_OPTIONS);
  });

  it('takes every key', () => {
    const text = `
network = br0
address = 10.0.0.7   ; static
mtu = 1400
hostname = shop.example.com
aliases[] = WWW
aliases[] = shop
publish = 8080:80, 127.0.0.1::53/udp
expose[] = 90-92/tcp
publish-all = yes
publish-from = 192.0.2.7/24, 192.0.2.9, 198.51.100.1
egress = 192.0.2.0/24:443, 192.0.2.1:443, 10.0.0.0/8
source = 192.0.2.9
link = db:Database, cache
dns = 192.0.2.1, 2001:db8::1
dns-search = a.example b.example
dns-option[] = ndots:2
extra-host[] = one.example:192.0.2.9
extra-host[] = six=[2001:db8::9]
extra-host[] = me:host-gateway
net-admin = yes
resolv-conf = force
[net.1]
network = br1
address = dhcp
`;
    expect(optionsOf(text)).toEqual({
      nics: {
        0: { network: 'br0', address: '10.0.0.7', mtu: 1400 },
        1: { network: 'br1', address: 'dhcp', mtu: 'auto' },
      },
      hostname: 'shop.example.com',
      aliases: ['www', 'shop'],
      publish: [
        expect.objectContaining({ text: '8080:80', ip: null, host: { from: 8080, to: 8080 }, protocol: 'tcp' }),
        expect.objectContaining({ ip: '127.0.0.1', host: null, container: { from: 53, to: 53 }, protocol: 'udp' }),
      ],
      expose: [90, 91, 92].map((port) => ({ protocol: 'tcp', port })),
      publishAll: true,
      netAdmin: true,
      publishFrom: ['192.0.2.0/24', '198.51.100.1/32'],
      egress: [
        { subnet: '192.0.2.0/24', port: 443 },
        { subnet: '10.0.0.0/8', port: null },
      ],
      source: '192.0.2.9',
      link: [
        { container: 'db', alias: 'database' },
        { container: 'cache', alias: 'cache' },
      ],
      dns: ['192.0.2.1', '2001:db8::1'],
      dnsSearch: ['a.example', 'b.example'],
      dnsOption: ['ndots:2'],
      extraHost: [
        { name: 'one.example', address: '192.0.2.9' },
        { name: 'six', address: '2001:db8::9' },
        { name: 'me', address: 'host-gateway' },
      ],
      resolvConf: 'force',
    });
  });

  it("takes a link's alias from the container's name, as a host name", () => {
    expect(optionsOf('link = my_db\n').link).toEqual([{ container: 'my_db', alias: 'my-db' }]);
  });

  it.each([
    ['[net.0]\nmtu = 1400\n', { 0: { network: null, address: 'auto', mtu: 1400 } }],
    ['mtu = 1300\n[net.0]\naddress = 10.0.0.9\n', { 0: { network: null, address: '10.0.0.9', mtu: 1300 } }],
  ])('%j is about interfaces', (text, nics) => {
    expect(optionsOf(text).nics).toEqual(nics);
  });
});

describe('what is wrong is said with file, line, key, value and what is allowed', () => {
  it.each([
    ['adress = 1\n', true, 'web.ini:1: adress: unknown; allowed: network, address, mtu, hostname, aliases, publish'],
    ['[network]\nx = 1\n', true, '[network] network: unknown'],
    ['[net.x]\nmtu = 1400\n', true, '[net.x]: not a section of an interface; allowed: [net.N] for lxc.net.N'],
    ['[net.1]\npublish = 80\n', true, 'web.ini:2: [net.1] publish: unknown; allowed: network, address, mtu'],
    ['address = 10.0.0\n', true, 'web.ini:1: address = 10.0.0: allowed: auto, dhcp, or an IPv4 address'],
    ['network = a b\n', true, 'network = a b: allowed: the name of a network'],
    ['publish = 80:\n', true, 'publish = 80:: publish 80:: the container port is missing'],
    ['publish = 80:80/icmp\n', true, 'unknown protocol "icmp"; allowed: tcp, udp, sctp'],
    ['publish = 80:80, 80:90\n', true, 'host port 80/tcp is asked for twice'],
    ['publish-all = maybe\n', true, 'publish-all = maybe: allowed: true, false'],
    ['expose = 0\n', true, 'port 0: no port'],
    ['source = 127.0.0.1\n', true, "source = 127.0.0.1: allowed: an IPv4 address of the host's, none of 127.0.0.0/8"],
    ['source = eth0\n', true, "source = eth0: allowed: an IPv4 address of the host's"],
    ['link = web\n', true, 'link web: the container itself'],
    ['link = ../x:y\n', true, 'link = ../x:y: allowed: CONTAINER or CONTAINER:ALIAS'],
    ['link = a:b:c\n', true, 'allowed: CONTAINER or CONTAINER:ALIAS'],
    ['link = a:x, b:x\n', true, 'two links have one alias'],
    ['hostname = -x\n', false, 'hostname = -x: allowed: a host name (RFC 1123) of up to 64 characters'],
    ['aliases = a..b\n', false, 'aliases = a..b: allowed: host names (RFC 1123)'],
    [
      'dns = 0.0.0.0\n',
      false,
      'dns = 0.0.0.0: allowed: up to 3 IP addresses of DNS servers, none of them 0.0.0.0, ::, multicast',
    ],
    ['dns = one.example\n', false, 'dns = one.example: allowed: up to 3 IP addresses of DNS servers'],
    ['dns = 1.1.1.1 1.1.1.2 1.1.1.3 1.1.1.4\n', false, 'allowed: up to 3 IP addresses'],
    ['dns-search = a b c d e f g\n', false, 'allowed: up to 6 domains of together 256 characters'],
    [`dns-search = ${`${'a'.repeat(60)}.${'b'.repeat(60)} `.repeat(3)}\n`, false, 'together 256 characters'],
    ['dns-option = ndots: 2\n', false, 'allowed: options of resolv.conf(5)'],
    ['extra-host = a_b:192.0.2.1\n', false, 'allowed: NAME:ADDRESS'],
    ['extra-host = name:300.1.1.1\n', false, 'allowed: NAME:ADDRESS'],
    ['resolv-conf = maybe\n', false, 'resolv-conf = maybe: allowed: auto, force, none'],
    ['mtu = 100\n', false, 'mtu = 100: allowed: auto, or bytes from 576 to 65535'],
    ['mtu = 1400\nmtu = 1500\n', true, 'web.ini:2: `mtu = 1500`: key mtu is set twice'],
    ['what\n', true, 'web.ini:1: `what`: is neither [section] nor key = value'],
  ])('%j', (text, refuses, message) => {
    const { problems } = resolve(text);
    expect(problems.map((problem) => problem.message).join('\n')).toContain(message);
    expect(problems.some((problem) => problem.refuses)).toBe(refuses);
  });

  it('and one bad key does not take the others with it', () => {
    const { options, problems } = resolve('mtu = 1\nhostname = good\naliases = -\n');
    expect(problems).toHaveLength(2);
    expect(options.hostname).toBe('good');
  });
});

describe('flags', () => {
  const net = {};
  it.each([
    [['-p', '80:80', '--publish=81:81', '-p82:82'], { publish: ['80:80', '81:81', '82:82'], net }],
    [['-P'], { 'publish-all': 'true', net }],
    [['--publish-all=false'], { 'publish-all': 'false', net }],
    [['-h', 'shop'], { hostname: 'shop', net }],
    [
      ['--dns', '192.0.2.1', '--dns-opt', 'rotate', '--add-host', 'a:192.0.2.2'],
      { dns: ['192.0.2.1'], 'dns-option': ['rotate'], 'extra-host': ['a:192.0.2.2'], net },
    ],
    [
      ['--ip', '10.0.0.7', '--nic', '1', '--address', '10.1.0.7'],
      { net: { 0: { address: '10.0.0.7' }, 1: { address: '10.1.0.7' } } },
    ],
    [['--network-alias', 'a', '--alias=b'], { aliases: ['a', 'b'], net }],
  ])('%j', (words, data) => {
    const refused: string[] = [];
    expect(parseFlags(words, (message) => refused.push(message))).toEqual(data);
    expect(refused).toEqual([]);
  });

  it.each([
    [['--publsh', '80'], '--publsh: unknown; allowed: --network, --address'],
    [['word'], 'word: unknown'],
    [['--__proto__', 'x'], '--__proto__: unknown'],
    [['--publish'], '--publish: its value is missing'],
    [['--publish', '--dns', '192.0.2.1'], '--publish: its value is missing'],
    [['--publish', '80:'], '--publish 80:: publish 80:: the container port is missing'],
    [['--nic', 'x', '--mtu', '1400'], '--nic x: not a section of an interface'],
  ])('%j are refused', (words, message) => {
    expect(() => readFlagFaults(words)).toThrow(message);
    expect(resolve(null, words).problems[0]?.refuses).toBe(true);
  });

  it('go before the file, key by key', () => {
    const options = optionsOf('hostname = filed\naliases = one, two\nmtu = 1400\n', [
      '--hostname',
      'flagged',
      '--alias',
      'three',
    ]);
    expect(options).toMatchObject({ hostname: 'flagged', aliases: ['three'], nics: { 0: { mtu: 1400 } } });
  });
});
