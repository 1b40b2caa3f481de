import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import type { NetworkConfig } from '../../src/model/config.ts';

const directory = mkdtempSync(join(tmpdir(), 'nethooks-config-'));
afterAll(() => rmSync(directory, { recursive: true }));

/** Loads text as a file of that name; returns the configuration, or the error's message without the directory. */
function load(text: string, name = 'nethooks.ini') {
  const file = join(directory, name);
  writeFileSync(file, text);
  return loadConfig(file);
}
function errorOf(text: string, name?: string): string {
  try {
    load(text, name);
  } catch (error) {
    return (error as Error).message.replaceAll(`${directory}/`, '');
  }
  return 'no error';
}
const network = (keys: string): string => `[network.br0]\naddress = 10.0.0.1/24\n${keys}`;

describe('a configuration', () => {
  it('needs no more than an address', () => {
    expect(load('[network.br0]\naddress = 10.0.0.1/24\n').networks).toEqual<NetworkConfig[]>([
      {
        name: 'br0',
        address: '10.0.0.1',
        prefix: 24,
        subnet: '10.0.0.0/24',
        uplinks: '*',
        masquerade: true,
        domain: 'lxc',
        dns: true,
        dnsUpstream: [],
        dnsmasqLines: [],
        dhcp: { from: '10.0.0.100', to: '10.0.0.200' },
        lease: 3600,
        dhcpNames: true,
        reserve: { from: '10.0.0.2', to: '10.0.0.99' },
        icc: true,
        antispoof: false,
        source: null,
        routed: false,
        trusted: [],
        reach: [],
        internal: false,
        mtu: 'auto',
        containers: { dns: [], dnsSearch: [], dnsOption: [], extraHost: [] },
      },
    ]);
  });

  it('takes every key, comments behind values, and lists in either form', () => {
    const config = load(`
; a comment
[host]
firewall = nftables   ; behind a value
resolver = file
[network.br0]
address  = 10.0.0.1/24
uplinks  = eth0, wlan0
masquerade = no
domain   = Example.Lan
dns      = yes
dns-upstream[] = 192.0.2.53
dns-upstream[] = 2001:db8::53
dhcp     = 10.0.0.2-10.0.0.150
lease    = infinite
reserve  = 10.0.0.200-10.0.0.254
icc      = true
mtu      = 1400
`);
    expect(config.host).toEqual({ resolver: 'file', hooksAtOnce: 'auto', hookTimeout: 5 });
    expect(config.networks[0]).toMatchObject({
      uplinks: ['eth0', 'wlan0'],
      masquerade: false,
      domain: 'example.lan',
      dnsUpstream: ['192.0.2.53', '2001:db8::53'],
      dhcp: { from: '10.0.0.2', to: '10.0.0.150' },
      lease: 'infinite',
      reserve: { from: '10.0.0.200', to: '10.0.0.254' },
      mtu: 1400,
    });
  });

  it('may be YAML or JSON', () => {
    const yaml = 'network:\n  br0:\n    address: 10.0.0.1/24\n    dhcp: false\n    mtu: 1400\n    uplinks: [eth0]\n';
    expect(load(yaml, 'nethooks.yaml').networks[0]).toMatchObject({ dhcp: null, mtu: 1400, uplinks: ['eth0'] });
    expect(
      load('{"network":{"br1":{"address":"10.1.0.1/16","dns":false}}}', 'nethooks.json').networks[0],
    ).toMatchObject({
      subnet: '10.1.0.0/16',
      dns: false,
    });
  });

  it.each([
    ['10.0.0.1/24', '10.0.0.2-10.0.0.99', '10.0.0.100-10.0.0.200'],
    ['10.0.0.254/24', '10.0.0.1-10.0.0.99', '10.0.0.100-10.0.0.200'],
    ['10.0.0.1/8', '10.128.0.0-10.255.255.254', '10.0.0.100-10.127.255.255'],
    ['10.1.0.1/16', '10.1.128.0-10.1.255.254', '10.1.0.100-10.1.127.255'],
    ['10.1.255.254/16', '10.1.128.0-10.1.255.254', '10.1.0.100-10.1.127.255'],
    ['10.0.2.1/23', '10.0.3.0-10.0.3.254', '10.0.2.100-10.0.2.255'],
    ['10.0.0.1/25', '10.0.0.2-10.0.0.63', '10.0.0.64-10.0.0.126'],
    ['192.168.7.1/29', '192.168.7.2-192.168.7.3', '192.168.7.4-192.168.7.6'],
    ['192.168.7.1/28', '192.168.7.2-192.168.7.7', '192.168.7.8-192.168.7.14'],
    ['192.168.7.1/30', '192.168.7.1-192.168.7.2', 'null'],
  ])('%s is shared out as %s and %s', (address, reserve, dhcp) => {
    const [only] = load(`[network.br0]\naddress = ${address}\n`).networks;
    expect(`${only?.reserve.from}-${only?.reserve.to}`).toBe(reserve);
    expect(only?.dhcp ? `${only.dhcp.from}-${only.dhcp.to}` : 'null').toBe(dhcp);
  });

  it('keeps what the DHCP range leaves free for containers', () => {
    expect(load(network('dhcp = 10.0.0.2-10.0.0.150\n')).networks[0]?.reserve).toEqual({
      from: '10.0.0.151',
      to: '10.0.0.254',
    });
    expect(load(network('reserve = 10.0.0.2-10.0.0.150\n')).networks[0]?.dhcp).toBeNull();
  });
});

describe('a wrong configuration names file, line, key, value and what is allowed', () => {
  it.each([
    ['no equals sign', '[network.br0]\naddress\n', 'nethooks.ini:2: `address`: is neither [section] nor key = value'],
    ['an unclosed section', '[network.br0\n', 'nethooks.ini:1: `[network.br0`: is neither [section] nor key = value'],
    [
      'a key outside',
      'a = 1\n[network.br0]\naddress = 10.0.0.1/24\n',
      'nethooks.ini:1: `a = 1`: stands before the first [section]',
    ],
    ['a key twice', network('lease = 1h\nlease = 2h\n'), 'nethooks.ini:4: `lease = 2h`: key lease is set twice'],
    [
      'a section twice',
      `${network('')}[network.br0]\n`,
      'nethooks.ini:3: `[network.br0]`: section [network.br0] is there twice',
    ],
    [
      'an unknown key',
      network('adress = 1\n'),
      'nethooks.ini:3: [network.br0] adress = 1: unknown key; allowed: address, uplinks,',
    ],
    [
      'an unknown section',
      '[netwrk.br0]\n',
      'nethooks.ini: [netwrk]: unknown section; allowed: [host], [network.NAME]',
    ],
    ['no network', '[host]\n', 'no network; at least one [network.NAME] section'],
    ['no address', '[network.br0]\ndns = true\n', 'nethooks.ini:1: [network.br0] address: missing'],
    [
      'no prefix',
      '[network.br0]\naddress = 10.0.0.1\n',
      'nethooks.ini:2: [network.br0] address = 10.0.0.1: allowed: an IPv4 address and prefix length',
    ],
    ['a bad octet', '[network.br0]\naddress = 10.0.0.256/24\n', 'address = 10.0.0.256/24: allowed: an IPv4 address'],
    ['an octal prefix', '[network.br0]\naddress = 10.0.0.1/024\n', 'address = 10.0.0.1/024: allowed: an IPv4 address'],
    ['octal', '[network.br0]\naddress = 010.0.0.1/24\n', 'address = 010.0.0.1/24: allowed: an IPv4 address'],
    [
      'a wide prefix',
      '[network.br0]\naddress = 10.0.0.1/31\n',
      'address = 10.0.0.1/31: allowed: an IPv4 address and prefix length from 8 to 30',
    ],
    [
      'the network itself',
      '[network.br0]\naddress = 10.0.0.0/24\n',
      "address = 10.0.0.0/24: not a host's address in 10.0.0.0/24",
    ],
    [
      'a range outside',
      network('dhcp = 10.0.1.2-10.0.1.9\n'),
      'nethooks.ini:3: [network.br0] dhcp = 10.0.1.2-10.0.1.9: lies outside 10.0.0.0/24; allowed: FIRST-LAST within 10.0.0.1-10.0.0.254',
    ],
    ['a range backwards', network('dhcp = 10.0.0.9-10.0.0.2\n'), 'dhcp = 10.0.0.9-10.0.0.2: no address lies in it'],
    ['a range that is none', network('reserve = 10.0.0.9\n'), 'reserve = 10.0.0.9: allowed: FIRST-LAST'],
    [
      'overlapping ranges',
      network('dhcp = 10.0.0.50-10.0.0.80\nreserve = 10.0.0.2-10.0.0.60\n'),
      'nethooks.ini:4: [network.br0] reserve = 10.0.0.2-10.0.0.60: overlaps dhcp = 10.0.0.50-10.0.0.80',
    ],
    [
      'overlapping networks',
      `${network('')}[network.br1]\naddress = 10.0.0.129/25\n`,
      'nethooks.ini:4: [network.br1] address = 10.0.0.129/25: its subnet overlaps 10.0.0.0/24 of network br0',
    ],
    [
      'a long bridge name',
      '[network.br0123456789abcdef]\naddress = 10.0.0.1/24\n',
      '[network.br0123456789abcdef]: not a bridge name; allowed: up to 15 characters',
    ],
    ['loopback as bridge', '[network.lo]\naddress = 10.0.0.1/24\n', '[network.lo]: not a bridge name'],
    ['a bad domain', network('domain = my_lan\n'), 'domain = my_lan: allowed: a domain name'],
    ['a short lease', network('lease = 30s\n'), 'lease = 30s: allowed: a time of at least 2m'],
    [
      'a bad server',
      network('dns-upstream[] = dns.example\n'),
      'dns-upstream = ["dns.example"]: allowed: IP addresses of DNS servers',
    ],
    ...['0.0.0.0', '::', '224.0.0.251', 'ff02::fb', '255.255.255.255', '::ffff:0.0.0.0'].flatMap((server) => [
      [
        `a forwarder at ${server}`,
        network(`dns-upstream = 192.0.2.1, ${server}\n`),
        `dns-upstream = 192.0.2.1, ${server}: allowed: IP addresses of DNS servers, none of them 0.0.0.0, ::, multicast or broadcast`,
      ],
      [
        `a server at ${server}`,
        network(`dns = ${server}\n`),
        'allowed: true, false, or, for containers to ask instead, up to 3 IP',
      ],
      [
        `the host's at ${server}`,
        `[host]\ndns = ${server}\n${network('')}`,
        'none of them 0.0.0.0, ::, multicast or broadcast',
      ],
    ]),
    ['a bad uplink', network('uplinks = eth0/x\n'), 'uplinks = eth0/x: allowed: *, or names'],
    ['a bad truth', network('dns = maybe\n'), 'dns = maybe: allowed: true, false'],
    ['a bad mtu', network('mtu = 70000\n'), 'mtu = 70000: allowed: auto, or bytes from 576 to 65535'],
    ['a switch that is no switch', network('icc = maybe\n'), 'icc = maybe: allowed: true, false'],
    [
      'a firewall that is none of ours',
      `[host]\nfirewall = iptables\n${network('')}`,
      'nethooks.ini:2: [host] firewall = iptables: unknown key; allowed: resolver, ',
    ],
    [
      'a resolver that comes later',
      `[host]\nresolver = networkmanager\n${network('')}`,
      'networkmanager is not supported by this version',
    ],
  ])('%s', (_what, text, message) => {
    expect(errorOf(text)).toContain(message);
  });

  it('all at once', () => {
    expect(errorOf(network('mtu = 1\nlease = 1\nfoo = 1\n')).split('\n')).toHaveLength(3);
  });

  it('never runs code', () => {
    for (const name of ['nethooks.js', 'nethooks.cjs', 'nethooks.mjs', 'nethooks.ts', 'nethooks'])
      expect(errorOf('throw new Error("ran")', name)).toContain(
        `${name}: not a configuration file; allowed: .ini, .json, .yaml, .yml`,
      );
  });

  it('is not there, or no data', () => {
    expect(() => loadConfig(join(directory, 'absent.ini'))).toThrow(
      'absent.ini: cannot be read: no such file or directory',
    );
    expect(errorOf('{', 'nethooks.json')).toContain('nethooks.json: cannot be read');
    expect(errorOf('[]', 'nethooks.json')).toContain('no network');
    expect(errorOf('[network]\nbr0 = 1\n')).toContain('[network.br0] = 1: not a section with keys');
  });
});
