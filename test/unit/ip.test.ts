import fc from 'fast-check';
import ipaddr from 'ipaddr.js';
import { describe, expect, it } from 'vitest';
import { formatIp, parseCidr, parseIp, subnetAround } from '../../src/model/address.ts';

const bigint = (bits: number) => fc.bigInt({ min: 0n, max: (1n << BigInt(bits)) - 1n });
/** Groups of which many are zero, as in addresses that people choose. */
const sparse = fc
  .array(fc.oneof(fc.constant(0n), fc.constant(0n), fc.bigInt({ min: 0n, max: 0xffffn })), {
    minLength: 8,
    maxLength: 8,
  })
  .map((groups) => groups.reduce((sum, group) => sum * 65536n + group, 0n));
const numberOf = (bytes: number[]): bigint => bytes.reduce((sum, byte) => sum * 256n + BigInt(byte), 0n);

describe('addresses as numbers', () => {
  it('are what ipaddr.js makes of them, and are written as it writes them', () => {
    fc.assert(
      fc.property(fc.oneof(bigint(128), sparse), (value) => {
        const text = formatIp({ bits: 128, value });
        const theirs = ipaddr.IPv6.parse(text);
        expect(numberOf(theirs.toByteArray())).toBe(value);
        expect(text).toBe(theirs.toRFC5952String());
        for (const other of [text, text.toUpperCase(), theirs.toNormalizedString()])
          expect(parseIp(other)).toEqual({ bits: 128, value });
      }),
      { numRuns: 2000 },
    );
    fc.assert(
      fc.property(bigint(32), (value) => {
        const text = formatIp({ bits: 32, value });
        expect(numberOf(ipaddr.IPv4.parse(text).toByteArray())).toBe(value);
        expect(parseIp(text)).toEqual({ bits: 32, value });
      }),
    );
  });

  it.each([
    ['::', 0n],
    ['::1', 1n],
    ['1::', 1n << 112n],
    ['::ffff:10.0.0.1', 0xffff0a000001n],
    ['64:ff9b::192.0.2.33', (0x64ff9bn << 96n) | 0xc0000221n],
  ])('%s', (text, value) => {
    expect(parseIp(text)).toEqual({ bits: 128, value });
  });

  it.each([
    '',
    'x',
    '1',
    ':',
    ':::',
    '1::2::3',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    'g::',
    '::1%eth0',
    '[::1]',
    '::1/64',
    '10.0.0',
    '10.0.0.256',
    '::1.2.3',
    ' ::1',
  ])('%j is none', (text) => {
    expect(parseIp(text)).toBeNull();
  });

  it.each<[string, ReturnType<typeof parseCidr>]>([
    ['10.0.0.1/24', { address: '10.0.0.1', prefix: 24 }],
    ['0.0.0.0/0', { address: '0.0.0.0', prefix: 0 }],
    ['fd00::1/128', { address: 'fd00::1', prefix: 128 }],
    ...[
      '10.0.0.1',
      '10.0.0.1/',
      '10.0.0.1/33',
      '10.0.0.1/024',
      '10.0.0/24',
      'fd00::1/129',
      '10.0.0.1/24/8',
      '/24',
      'x/8',
    ].map((text): [string, null] => [text, null]),
  ])('%s with its prefix length is %j', (text, cidr) => {
    expect(parseCidr(text)).toEqual(cidr);
  });

  it('lie in subnets', () => {
    const around = (text: string, prefix: number) => {
      const ip = parseIp(text) ?? expect.fail(text);
      const { first, last } = subnetAround(ip, prefix);
      return [first, last].map((value) => formatIp({ bits: ip.bits, value }));
    };
    expect(around('10.1.2.3', 16)).toEqual(['10.1.0.0', '10.1.255.255']);
    expect(around('fd00::1:2', 112)).toEqual(['fd00::1:0', 'fd00::1:ffff']);
    expect(around('fd00::1', 128)).toEqual(['fd00::1', 'fd00::1']);
    expect(around('10.1.2.3', 0)).toEqual(['0.0.0.0', '255.255.255.255']);
  });
});
