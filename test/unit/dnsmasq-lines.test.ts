import { describe, expect, it } from 'vitest';
import { type Attempt, unusableLines } from '../../src/config/dnsmasq-lines.ts';
import { lineOf } from '../../src/config/ini.ts';
import { resolve } from '../../src/config/resolve.ts';

const resolved = (dnsmasq: string | string[], more: object = {}) =>
  resolve({ network: { br0: { address: '10.0.0.1/24', dnsmasq, ...more } } });

describe('dnsmasq[]', () => {
  it.each([
    'log-queries',
    'log-dhcp',
    'cname=a.lxc,b.lxc',
    'address=/x.example/10.0.0.9',
    'server=/corp.example/192.0.2.53',
    'dhcp-host=02:00:00:00:00:01,10.0.0.101',
    'dhcp-option = option:ntp-server, 192.0.2.1',
    'dhcp-range=::,constructor:br0,ra-only',
  ])('takes %s as it is', (line) => {
    const { networks, faults } = resolved([line]);
    expect(faults).toEqual([]);
    expect(networks[0]?.dnsmasqLines).toEqual([line]);
  });

  it.each([
    ['interface=eth0', 'interface: nethooks says where dnsmasq listens'],
    ['bind-interfaces', 'bind-interfaces: nethooks says where dnsmasq listens'],
    ['port = 5353', 'port: whether it answers DNS is the key dns; allowed: dns = false'],
    ['dhcp-range=10.0.0.5,10.0.0.9', 'dhcp-range: the range is the key dhcp'],
    ['dhcp-range=set:x,10.0.0.5,static', 'dhcp-range: the range is the key dhcp'],
    ['server=192.0.2.1', 'server: the servers to ask are the key dns-upstream; allowed: server=/DOMAIN/ADDRESS'],
    ['no-resolv', 'no-resolv: the servers to ask are the key dns-upstream'],
    ['domain=x', 'domain: the domain is the key domain'],
    ['conf-dir=/etc/dnsmasq.d', 'conf-dir: nethooks says what dnsmasq reads'],
    ['dhcp-script=/bin/sh', 'dhcp-script: dnsmasq runs no program'],
    ['user=root', 'user: dnsmasq runs no program and is no other user'],
    ['pid-file=/x', 'pid-file: nethooks says what dnsmasq remembers where'],
    [
      'dhcp-host=02:00:00:00:00:01,10.0.0.50',
      "10.0.0.50 may be a container's; allowed: addresses that are not in reserve",
    ],
    ['--log-queries', 'allowed: a line of dnsmasq.conf'],
    ['constructor', ''],
    ['log-queries\nuser=root', 'allowed: lines of dnsmasq.conf, each without a line break'],
  ])('refuses %j by name', (line, message) => {
    const { faults } = resolved(['log-dhcp', line]);
    if (message === '')
      expect(faults).toEqual([]); // dnsmasq says so
    else expect(faults.map(({ key, message: said }) => `${key}: ${said}`).join()).toContain(message);
  });

  it('is refused where no dnsmasq would read it', () => {
    expect(resolved('log-dhcp', { dns: false, dhcp: false }).faults[0]?.message).toContain(
      'the network has no dnsmasq',
    );
  });
});

describe('what dnsmasq does not start with', () => {
  const { networks } = resolved(['log-dhcp', 'dhcp-option=option:nosuch,1', 'tftp-root=/nosuch']);
  const tried: string[] = [];
  const faults = (attempt: Attempt) => {
    tried.length = 0;
    return unusableLines(networks, (conf) => {
      tried.push(conf);
      return attempt(conf);
    }).map(({ value, message }) => `${value}: ${message}`);
  };
  const failing =
    (...parts: string[]) =>
    (conf: string) =>
      parts.every((part) => conf.includes(part)) ? { words: 'bad', line: null } : null;

  it('costs one attempt where all is well, and none without such lines', () => {
    expect(faults(() => null)).toEqual([]);
    expect(tried).toHaveLength(1);
    expect(tried[0]).toContain('\nlog-dhcp\ndhcp-option=option:nosuch,1\ntftp-root=/nosuch\n');
    expect(unusableLines(resolved([]).networks, () => expect.fail())).toEqual([]);
  });

  it('is the line that dnsmasq names', () => {
    const line = (conf: string) => conf.split('\n').indexOf('dhcp-option=option:nosuch,1') + 1;
    expect(faults((conf) => ({ words: 'bad dhcp-option', line: line(conf) }))).toEqual([
      'dhcp-option=option:nosuch,1: dnsmasq does not start with it: bad dhcp-option',
    ]);
  });

  it('is each line with which alone it does not, or all of them', () => {
    expect(faults(failing('tftp-root'))).toEqual(['tftp-root=/nosuch: dnsmasq does not start with it: bad']);
    expect(faults(failing('tftp-root', 'log-dhcp'))).toEqual([
      'log-dhcp; dhcp-option=option:nosuch,1; tftp-root=/nosuch: dnsmasq does not start with it: all together: bad',
    ]);
  });

  it('is nobody’s fault where it does not start without them either', () => {
    expect(faults(failing())).toEqual([]);
  });
});

it('a key that is there several times has the line of its value', () => {
  const text = '[network.br0]\naddress = 10.0.0.1/24\ndnsmasq[] = log-dhcp\n; x\ndnsmasq[] = cname=a,b\n';
  expect(lineOf(text, 'network.br0', 'dnsmasq', 'cname=a,b')).toBe(5);
  expect(lineOf(text, 'network.br0', 'dnsmasq', 'log-dhcp')).toBe(3);
  expect(lineOf(text, 'network.br0', 'dnsmasq')).toBe(3);
  expect(lineOf(text, 'network.br0', 'mtu', 1)).toBe(1);
});
