import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseResolvConf, renderResolvConf, upstreams } from '../../src/model/resolv-conf.ts';

const empty = { nameservers: [], search: [], options: [] };

describe('parseResolvConf', () => {
  it('reads what resolv.conf(5) describes', () => {
    const text = [
      '# made by hand',
      '; also a comment',
      'nameserver 192.0.2.1',
      'nameserver\tfe80::1%eth0  # the router',
      'search old.example',
      'domain example.org',
      'search example.com   lab.example.com',
      'options ndots:2 edns0',
      'options rotate',
      'sortlist 130.155.160.0/255.255.240.0',
    ].join('\n');
    expect(parseResolvConf(text)).toEqual({
      nameservers: ['192.0.2.1', 'fe80::1%eth0'],
      search: ['example.com', 'lab.example.com'],
      options: ['ndots:2', 'edns0', 'rotate'],
    });
  });

  it('takes a domain after a search list as the whole list', () => {
    expect(parseResolvConf('search a b\ndomain c d\n').search).toEqual(['c']);
  });

  it.each([
    '',
    'nameserver',
    'nameserver ',
    ' nameserver 192.0.2.1',
    'nameserver192.0.2.1',
    'NAMESERVER 192.0.2.1',
    'nameserver example.org',
    'nameserver # 192.0.2.1',
    '#nameserver 192.0.2.1',
    'search',
    'options\t',
    '<html>',
    '\0\0\0',
  ])('makes nothing of %j', (text) => expect(parseResolvConf(text)).toEqual(empty));

  it('takes CRLF and any garbage', () => {
    expect(parseResolvConf('nameserver 192.0.2.1\r\nsearch a\r\n')).toEqual({
      ...empty,
      nameservers: ['192.0.2.1'],
      search: ['a'],
    });
    const line = fc.tuple(fc.constantFrom('', 'nameserver ', 'search ', 'options '), fc.string({ unit: 'binary' }));
    fc.assert(
      fc.property(fc.array(line), (lines) => {
        const parsed = parseResolvConf(lines.map((words) => words.join('')).join('\n'));
        expect(parseResolvConf(renderResolvConf(parsed))).toEqual(parsed);
      }),
    );
  });
});

describe('renderResolvConf', () => {
  it('writes what was parsed', () => {
    const text = 'search lxc example.org\nnameserver 10.0.0.1\nnameserver 10.0.0.2\noptions ndots:1\n';
    expect(renderResolvConf(parseResolvConf(text))).toBe(text);
    expect(renderResolvConf(empty)).toBe('');
  });

  it.each(['', 'a b', 'a\nnameserver 198.51.100.1', 'a\0'])('refuses %j', (value) => {
    expect(() => renderResolvConf({ ...empty, search: [value] })).toThrow(TypeError);
  });
});

describe('upstreams', () => {
  const host = (...servers: string[]) => servers.map((server) => `nameserver ${server}\n`).join('');
  const facts = { resolvConf: '', resolvedUplink: null, dnsmasqUplink: null, own: ['10.0.0.1'], leases: [] };

  it("are the host's, then those of the leases, each once", () => {
    const leases = [['192.0.2.53', '192.0.2.1'], ['2001:DB8::1']];
    expect(upstreams({ ...facts, resolvConf: host('192.0.2.1', '192.0.2.2', '192.0.2.1'), leases })).toEqual([
      '192.0.2.1',
      '192.0.2.2',
      '192.0.2.53',
      '2001:db8::1',
    ]);
  });

  it('are never ourselves', () => {
    const resolvConf = host('10.0.0.1', '10.1.0.1', '192.0.2.1');
    expect(upstreams({ ...facts, resolvConf, own: ['10.0.0.1', '10.1.0.1'], leases: [['10.0.0.1']] })).toEqual([
      '192.0.2.1',
    ]);
  });

  it('are those of systemd-resolved where its stub stands', () => {
    const resolvedUplink = host('192.0.2.7', '10.0.0.1', '127.0.0.53');
    expect(upstreams({ ...facts, resolvConf: host('192.0.2.1', '127.0.0.53', '192.0.2.2'), resolvedUplink })).toEqual([
      '192.0.2.1',
      '192.0.2.7',
      '192.0.2.2',
    ]);
    expect(upstreams({ ...facts, resolvConf: host('127.0.0.53') })).toEqual(['127.0.0.53']); // better than nobody
  });

  it("are those of the host's own dnsmasq where that stands, if resolvconf tells it", () => {
    const resolvConf = host('127.0.0.1');
    expect(upstreams({ ...facts, resolvConf, dnsmasqUplink: host('10.0.0.1', '192.0.2.7') })).toEqual(['192.0.2.7']);
    expect(upstreams({ ...facts, resolvConf, dnsmasqUplink: host('10.0.0.1') })).toEqual(['127.0.0.1']);
  });

  it('may be a local server', () => {
    expect(upstreams({ ...facts, resolvConf: host('127.0.0.1', '::1') })).toEqual(['127.0.0.1', '::1']);
  });

  it('are none that cannot answer, and no more than dnsmasq can ask', () => {
    const resolvConf = host('0.0.0.0', '224.0.0.251', '255.255.255.255', '240.0.0.1', '::', 'ff02::fb', '192.0.2.1');
    expect(upstreams({ ...facts, resolvConf, leases: [['0.0.0.0', '192.0.2.2']] })).toEqual(['192.0.2.1', '192.0.2.2']);
    const many = Array.from({ length: 200 }, (_, index) => `192.0.2.${index}`);
    expect(upstreams({ ...facts, resolvConf: host(...many) })).toEqual(many.slice(0, 8));
  });

  it('may be nobody: no public server is made up', () => expect(upstreams(facts)).toEqual([]));
});
