import { isIPv4, isIPv6 } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type PortSpec, parseExpose, parsePortSpec, samePublication } from '../../src/model/ports.ts';
import { splitList } from '../../src/model/spelling.ts';

const spec = (text: string, rest: Partial<PortSpec>): PortSpec => ({
  text,
  ip: null,
  host: null,
  container: { from: 80, to: 80 },
  protocol: 'tcp',
  ...rest,
});
const one = (port: number) => ({ from: port, to: port });

describe('parsePortSpec', () => {
  it.each<[string, Partial<PortSpec>]>([
    ['80', {}],
    ['80/udp', { protocol: 'udp' }],
    ['80/SCTP', { protocol: 'sctp' }],
    ['8080:80', { host: one(8080) }],
    [':80', {}],
    ['0:80', {}],
    ['192.0.2.2:0:80/udp', { ip: '192.0.2.2', protocol: 'udp' }],
    ['::80', {}],
    ['192.0.2.2::80', { ip: '192.0.2.2' }],
    ['0.0.0.0:8080:80', { ip: '0.0.0.0', host: one(8080) }],
    ['127.0.0.1:8080:80/udp', { ip: '127.0.0.1', host: one(8080), protocol: 'udp' }],
    ['8000-8002:9000-9002', { host: { from: 8000, to: 8002 }, container: { from: 9000, to: 9002 } }],
    ['8000-8010:80', { host: { from: 8000, to: 8010 } }],
    ['9000-9002', { container: { from: 9000, to: 9002 } }],
    ['[2001:db8::1]:8080:80', { ip: '2001:db8::1', host: one(8080) }],
    ['[::]::80', { ip: '::' }],
    ['65535:1', { host: one(65535), container: one(1) }],
  ])('reads %s', (text, rest) => {
    expect(parsePortSpec(text)).toEqual(spec(text, rest));
  });

  it.each([
    ['', 'publish "": the container port is missing'],
    ['8080:', 'publish 8080:: the container port is missing'],
    ['0', 'container port 0: no port; allowed: 1 to 65535'],
    ['8080:65536', 'container port 65536: no port'],
    ['70000:80', 'host port 70000: no port'],
    ['0-1:80-81', 'host port 0: no port'],
    ['http:80', 'host port "http" is no port and no range'],
    ['80/icmp', 'unknown protocol "icmp"; allowed: tcp, udp, sctp'],
    ['80/', 'unknown protocol ""'],
    ['80/tcp/udp', 'unknown protocol "tcp/udp"'],
    ['8000-8001:9000-9002', '2 host ports for 3 container ports'],
    ['8080:9000-9002', '1 host ports for 3 container ports'],
    ['8001-8000:80', 'host port range 8001-8000 ends before it begins'],
    ['1.2.3:80:80', '"1.2.3" is no IP address'],
    ['1.2.3.256:80:80', '"1.2.3.256" is no IP address'],
    ['localhost:80:80', '"localhost" is no IP address'],
    ['::1:8080:80', 'IPv6 addresses stand in [brackets]'],
    ['[::1]:80', 'not a port'],
    ['[1.2.3.4]:80:80', '[1.2.3.4] is no IPv6 address'],
    [' 80', 'container port " 80" is no port'],
    ['80-', 'container port "80-" is no port'],
    ['1:2:3:4', 'not a port'],
  ])('refuses %j', (text, words) => {
    expect(() => parsePortSpec(text)).toThrow(words);
    expect(() => parsePortSpec(text)).toThrow(`publish ${text || '""'}`);
  });
});

describe('the long form', () => {
  it.each([
    ['target=80', '80'],
    ['published=8080,target=80', '8080:80'],
    ['published=8080,target=80,protocol=tcp,mode=host', '8080:80/tcp'],
    ['target=53,protocol=UDP,published=0', '53/udp'],
    ['published=8000-8002,target=9000-9002,host_ip=192.0.2.2', '192.0.2.2:8000-8002:9000-9002'],
    ['host_ip=2001:db8::1,published=8080,target=80', '[2001:db8::1]:8080:80'],
  ])('%s is %s', (long, short) => {
    expect(samePublication(parsePortSpec(long), parsePortSpec(short))).toBe(true);
    expect(parsePortSpec(long).text).toBe(long);
  });

  it.each([
    ['published=8080', 'target is missing; allowed: target=PORT[,published=PORT]'],
    ['published=8080,target=80,target=81', '"target=81": again'],
    ['published=8080,port=80', '"port=80": unknown'],
    ['8080:80,target=80', '"8080:80": unknown'],
    ['target=80=81', '"target=80=81": unknown'],
    ['target=', 'the target is missing'],
    ['target=x', 'target "x" is no port'],
    ['target=80,protocol=icmp', 'unknown protocol "icmp"; allowed: tcp, udp, sctp'],
    ['target=80,host_ip=localhost', 'host_ip=localhost: no IP address'],
    ['target=80,mode=ingress', 'mode=ingress: allowed: host'],
    ['published=8080,target=80-82', '1 host ports for 3 container ports'],
    ['published=0-1,target=80', 'host port 0: no port'],
  ])('refuses %s', (text, words) => {
    expect(() => parsePortSpec(text)).toThrow(words);
    expect(() => parsePortSpec(text)).toThrow(`publish ${text}`);
  });

  it.each([
    ['80, 81 82', ['80', '81', '82']],
    ['published=1,target=2, 80,81', ['published=1,target=2', '80', '81']],
    ['published=1,target=2 published=3,target=4,81', ['published=1,target=2', 'published=3,target=4', '81']],
  ])('%s on one line', (text, items) => {
    expect(splitList(text)).toEqual(items);
  });
});

/** The grammar once more, as one expression and a few conditions. */
function model(text: string): Omit<PortSpec, 'text'> | null {
  const range = String.raw`\d+(?:-\d+)?`;
  const grammar = new RegExp(
    String.raw`^(?:(?:(?<ip>\[[^\]]*\]|[^:[\]]*):)?(?<host>(?:${range})?):)?(?<container>${range})(?:/(?<protocol>tcp|udp|sctp))?$`,
    'i',
  );
  const found = grammar.exec(text)?.groups;
  if (!found) return null;
  const ports = (words: string | undefined) => {
    if (!words) return null;
    const [from, to = from] = words.split('-').map(BigInt) as [bigint, bigint?];
    return { from: Number(from), to: Number(to) };
  };
  const [host, container] = [found.host === '0' ? null : ports(found.host), ports(found.container)];
  if (!container) return null;
  for (const { from, to } of [container, ...(host ? [host] : [])]) if (from < 1 || to > 65535 || from > to) return null;
  const count = ({ from, to }: { from: number; to: number }) => to - from;
  if (host && count(container) > 0 && count(host) !== count(container)) return null;
  const written = found.ip ?? '';
  const v6 = written.startsWith('[') ? written.slice(1, -1) : null;
  if (v6 === null ? written !== '' && !isIPv4(written) : !isIPv6(v6) || v6.includes('%')) return null;
  const protocol = (found.protocol ?? 'tcp').toLowerCase() as PortSpec['protocol'];
  return { ip: v6 ?? (written || null), host, container, protocol };
}

describe('the grammar agrees with a model of it', () => {
  const number = fc.oneof(
    { weight: 8, arbitrary: fc.integer({ min: 1, max: 65535 }).map(String) },
    fc.constantFrom('0', '00', '080', '65535', '65536', '99999999999999999999', '1', '-1', '8e1', '0x50', ''),
  );
  const ports = fc.oneof(
    { weight: 4, arbitrary: number },
    fc.tuple(number, number).map(([from, to]) => `${from}-${to}`),
    fc.tuple(fc.integer({ min: 1, max: 65535 }), fc.nat(3)).map(([from, more]) => `${from}-${from + more}`),
  );
  const ip = fc.oneof(
    fc.ipV4(),
    fc.ipV6().map((address) => `[${address}]`),
    fc.constantFrom(
      '',
      '0.0.0.0',
      '127.0.0.1',
      '01.2.3.4',
      '1.2.3',
      'localhost',
      '[::]',
      '[]',
      '[fe80::1%eth0]',
      '::1',
    ),
  );
  const protocol = fc.constantFrom('', '', '', '/tcp', '/udp', '/sctp', '/TCP', '/', '/icmp', '/tcp/udp');
  const written = fc.oneof(
    fc.tuple(ports, protocol).map((parts) => parts.join('')),
    fc.tuple(ports, fc.constant(':'), ports, protocol).map((parts) => parts.join('')),
    fc.tuple(ip, fc.constant(':'), ports, fc.constant(':'), ports, protocol).map((parts) => parts.join('')),
    fc.string({ unit: fc.constantFrom(...'0123456789:-/.[]tcpudsa '), maxLength: 24 }),
    fc.string(),
  );

  it('for 30,000 texts', () => {
    let valid = 0;
    fc.assert(
      fc.property(written, (text) => {
        const expected = model(text);
        let actual: PortSpec | null = null;
        try {
          actual = parsePortSpec(text);
        } catch (error) {
          // What is refused is named.
          expect((error as Error).message).toContain(text === '' ? 'publish ""' : `publish ${text}`);
        }
        if (expected) valid++;
        expect(actual).toEqual(expected && { text, ...expected });
      }),
      { numRuns: 30_000 },
    );
    expect(valid).toBeGreaterThan(3_000);
  });
});

describe('parseExpose', () => {
  it('reads a port, a range, a protocol', () => {
    expect(parseExpose('80')).toEqual([{ protocol: 'tcp', port: 80 }]);
    expect(parseExpose('53-54/udp')).toEqual([53, 54].map((port) => ({ protocol: 'udp', port })));
  });
  it.each(['', '80:80', '0', '65536', '2-1', 'x', '80/icmp'])('refuses %j', (text) => {
    expect(() => parseExpose(text)).toThrow(`port ${text || '""'}`);
  });
});
