import { expect, it } from 'vitest';
import { differenceInside } from '../../src/frontend/cni/inside.ts';
import type { Result } from '../../src/frontend/cni/result.ts';

const WHERE = { ifname: 'eth0', netns: '/run/netns/x' };
const LINK = {
  ifname: 'eth0',
  address: '02:00:00:00:00:01',
  mtu: 1500,
  flags: ['UP'],
  addr_info: [
    { family: 'inet', local: '10.1.0.5', prefixlen: 16 },
    { family: 'inet6', local: 'fd00::5', prefixlen: 64 },
  ],
};
const RESULT: Result = {
  interfaces: [{ name: 'eth0', mac: '02:00:00:00:00:01', sandbox: WHERE.netns }],
  ips: [
    { address: '10.1.0.5/16', interface: 0 },
    { address: 'fd00:0::5/64', interface: 0 },
  ],
  routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0', gw: 'fd00::1' }, { dst: '10.9.0.1/32', table: 100 }],
  dns: {},
};
const IPV4 = [
  { dst: 'default', gateway: '10.1.0.1', dev: 'eth0' },
  { dst: '10.9.0.1', dev: 'eth0', table: '100' },
];
const IPV6 = [{ dst: 'default', gateway: 'fd00::1', dev: 'eth0' }];
const found = (link: object, ipv4: object[], ipv6: object[]) =>
  differenceInside([[link], ipv4, ipv6].map((list) => JSON.stringify(list)).join('\n'), WHERE, RESULT);

it('all is there', () => {
  expect(found(LINK, IPV4, IPV6)).toBeNull();
  expect(
    found(LINK, [{ ...IPV4[0], gateway: undefined, nexthops: [{ gateway: '10.1.0.2' }] }, IPV4[1] as object], IPV6),
  ).toBeNull();
});

const missing: [string, object, object[], object[], RegExp][] = [
  ['the interface', { ...LINK, ifname: 'eth1' }, IPV4, IPV6, /interface eth0 is not/],
  ['its MAC', { ...LINK, address: '02:00:00:00:00:02' }, IPV4, IPV6, /has MAC 02:00:00:00:00:02/],
  ['an IPv6 address', { ...LINK, addr_info: LINK.addr_info.slice(0, 1) }, IPV4, IPV6, /lacks fd00:0::5\/64/],
  ['the default route of one family', LINK, IPV4.slice(1), IPV6, /route to 0\.0\.0\.0\/0/],
  ['the default route of the other', LINK, IPV4, [], /route to ::\/0/],
  ['the gateway that the result names', LINK, IPV4, [{ dst: 'default', gateway: 'fd00::2' }], /route to ::\/0/],
  ['the table that it names', LINK, [IPV4[0] as object, { dst: '10.9.0.1' }], IPV6, /route to 10\.9\.0\.1/],
];
it.each(missing)('%s is missing', (_what, link, ipv4, ipv6, message) => {
  expect(found(link, ipv4, ipv6)).toMatch(message);
});
