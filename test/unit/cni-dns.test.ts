import { describe, expect, it } from 'vitest';
import { parseConf } from '../../src/frontend/cni/conf.ts';
import { dnsSaid, parseHostLocalDns } from '../../src/frontend/cni/dns.ts';

const ADDRESSED = { nameservers: ['192.0.2.53'], domain: 'corp.example', search: ['a.example'] };
const IPAM = { type: 'host-local', subnet: '10.1.0.0/16', resolvConf: '/etc/resolv.conf' };
const said = (keys: object, addressed: object = ADDRESSED) =>
  dnsSaid(parseConf({ type: 'nethooks-bridge', name: 'net', ipam: IPAM, ...keys }, {}), addressed);

describe('what is said about name servers', () => {
  it.each(['bridge', 'ptp', 'macvlan', 'ipvlan'])(
    "of %s: the configuration's dns whole, else what came with the addresses",
    (kind) => {
      const of = (dns: unknown) => said({ type: `nethooks-${kind}`, dns }).dns;
      expect(of({ nameservers: ['9.9.9.9'] })).toEqual({ nameservers: ['9.9.9.9'] });
      expect(of({ search: ['x'] })).toEqual({ search: ['x'] });
      expect(of({ domain: 'x' })).toEqual({ domain: 'x' });
      expect(of({ options: [] })).toEqual({});
      for (const nothing of [undefined, null, {}, { domain: '' }, { nameservers: null }])
        expect(of(nothing)).toEqual(ADDRESSED);
    },
  );

  it('the runtime replaces single keys', () => {
    const runtimeConfig = { dns: { servers: ['8.8.8.8'], searches: [] } };
    expect(said({ runtimeConfig }).dns).toEqual({ ...ADDRESSED, nameservers: ['8.8.8.8'] });
    expect(said({ runtimeConfig, dns: { search: ['x'] } }).dns).toEqual({ nameservers: ['8.8.8.8'], search: ['x'] });
  });

  it('on a network of nethooks.ini each key counts by itself', () => {
    const keys = { type: 'nethooks', network: 'br0', ipam: undefined, dns: { search: ['x'], nameservers: [] } };
    expect(said(keys)).toEqual({ dns: { ...ADDRESSED, search: ['x'] }, complete: false });
  });

  it('is complete when the configuration says something, here or with resolvConf', () => {
    expect(said({ dns: { nameservers: [] } }, {})).toEqual({ dns: {}, complete: true });
    expect(said({}, {})).toEqual({ dns: {}, complete: true });
    expect(said({ ipam: { ...IPAM, resolvConf: undefined } }, {})).toEqual({ dns: {}, complete: false });
  });
});

it("host-local's resolvConf: every line counts, and comments do not", () => {
  const text =
    '# x\n; nameserver 1.1.1.1\n nameserver 192.0.2.53 # y\nnameserver\nnameserver\t::1\ndomain a\ndomain b c\nsearch s t\nsearch u\noptions ndots:2\noptions a b\nsortlist z\n';
  expect(parseHostLocalDns(text)).toEqual({
    nameservers: ['192.0.2.53', '::1'],
    domain: 'b',
    search: ['s', 't', 'u'],
    options: ['ndots:2', 'a', 'b'],
  });
  expect(parseHostLocalDns('')).toEqual({});
});
