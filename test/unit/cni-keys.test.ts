import { describe, expect, it } from 'vitest';
import { parseConf } from '../../src/frontend/cni/conf.ts';
import { canonicalConf } from '../../src/frontend/cni/keys.ts';
import { guessVersion, parseRequest } from '../../src/frontend/cni/request.ts';
import { parseResult } from '../../src/frontend/cni/result.ts';

const ENV = { CNI_CONTAINERID: 'pod', CNI_NETNS: '/run/netns/x', CNI_IFNAME: 'eth0', CNI_PATH: '/usr/lib/cni' };

describe('keys in any case', () => {
  it('are those of a configuration, however deep', () => {
    const conf = {
      CNIVERSION: '1.0.0',
      Name: 'net',
      isgateway: true,
      IPMasq: true,
      Ipam: {
        TYPE: 'host-local',
        Ranges: [[{ Subnet: '10.1.0.0/16', rangestart: '10.1.0.9' }]],
        routes: [{ DST: '0.0.0.0/0' }],
      },
      Args: { CNI: { IPs: ['10.1.0.9'], MAC: '02:00:00:00:00:01' } },
      RuntimeConfig: {
        PortMappings: [{ HostPort: 1, containerport: 2, hostIp: '192.0.2.2' }],
        DNS: { Servers: ['x'] },
      },
      prevresult: { IPs: [{ Address: '10.1.0.5/16' }], Routes: [{ Dst: '::/0', GW: 'fd00::1' }] },
    };
    expect(canonicalConf(conf)).toEqual({
      cniVersion: '1.0.0',
      name: 'net',
      isGateway: true,
      ipMasq: true,
      ipam: {
        type: 'host-local',
        ranges: [[{ subnet: '10.1.0.0/16', rangeStart: '10.1.0.9' }]],
        routes: [{ dst: '0.0.0.0/0' }],
      },
      args: { cni: { ips: ['10.1.0.9'], mac: '02:00:00:00:00:01' } },
      runtimeConfig: {
        portMappings: [{ hostPort: 1, containerPort: 2, hostIP: '192.0.2.2' }],
        dns: { servers: ['x'] },
      },
      prevResult: { ips: [{ address: '10.1.0.5/16' }], routes: [{ dst: '::/0', gw: 'fd00::1' }] },
    });
  });

  it('that nobody knows stay, and names of networks are no keys', () => {
    const conf = { Custom: { A: 1 }, runtimeConfig: { aliases: { Net: ['a'] } }, capabilities: { DNS: true } };
    expect(canonicalConf(conf)).toEqual(conf);
    const hostile = JSON.parse('{"__proto__": {"bridge": "x"}, "constructor": 1, "IPAM": {"toString": 2}}');
    const found = canonicalConf(hostile);
    expect(Object.getPrototypeOf(found)).toBe(Object.prototype);
    expect(JSON.stringify(found)).toBe('{"__proto__":{"bridge":"x"},"constructor":1,"ipam":{"toString":2}}');
  });

  // The stock host-local 1.1.1 does the same with keys of its own.
  it('fold as in Go: the last one counts, objects are merged, null changes nothing', () => {
    expect(canonicalConf({ isGateway: true, isgateway: false })).toEqual({ isGateway: false });
    expect(canonicalConf({ isgateway: false, isGateway: true })).toEqual({ isGateway: true });
    expect(canonicalConf({ isGateway: true, ISGATEWAY: null })).toEqual({ isGateway: true });
    expect(canonicalConf({ Ipam: { type: 'x' }, ipam: { subnet: 'y' } })).toEqual({ ipam: { type: 'x', subnet: 'y' } });
    expect(canonicalConf({ ipam: { '\u017fubnet': 'y' }, networ\u212A: 'br0' })).toEqual({
      ipam: { subnet: 'y' },
      network: 'br0',
    });
    expect(canonicalConf({ 'cni.dev/valid-attachments': null })).toEqual({ 'cni.dev/valid-attachments': null });
  });

  it('make the same request, and the text stays as it came for plugins that are called in turn', () => {
    const text = '{"CniVersion":"0.4.0","NAME":"net","Type":"nethooks","Bridge":"b","IsDefaultGateway":true}';
    const request = parseRequest('ADD', ENV, text);
    expect(request).toMatchObject({ version: '0.4.0', name: 'net', text });
    expect(parseConf(request.conf, {})).toMatchObject({ kind: 'bridge', bridge: 'b', isGateway: true });
    expect(guessVersion(text)).toBe('0.4.0');
  });

  it('null is as good as nothing', () => {
    const conf = {
      type: 'nethooks',
      name: 'net',
      network: 'br0',
      mtu: null,
      vlan: null,
      bridge: null,
      dns: null,
      isGateway: null,
    };
    expect(parseConf(conf, {})).toMatchObject({ kind: 'network', mtu: null, isGateway: false });
  });

  it('are those of a result', () => {
    expect(
      parseResult({ IP4: { IP: '10.1.0.5/16', Routes: [{ Dst: '0.0.0.0/0' }] }, Dns: { NameServers: ['10.1.0.1'] } }),
    ).toEqual({
      interfaces: [],
      ips: [{ address: '10.1.0.5/16' }],
      routes: [{ dst: '0.0.0.0/0' }],
      dns: { nameservers: ['10.1.0.1'] },
    });
  });
});
