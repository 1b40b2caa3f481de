import { describe, expect, it } from 'vitest';
import { firstAddress, withGateways } from '../../src/frontend/cni/gateways.ts';
import type { Result, Route } from '../../src/frontend/cni/result.ts';

const CONF = { kind: 'bridge', isGateway: true, isDefaultGateway: true } as const;
const of = (routes: Route[]): Result => ({
  interfaces: [],
  ips: [
    { address: '10.1.0.5/16', gateway: '10.1.0.1' },
    { address: '10.2.0.5/16', gateway: '10.2.0.1' },
    { address: 'fd00::5/64', gateway: 'fd00::1' },
    { address: 'fd01::5/64', gateway: 'fd01::1' },
  ],
  routes,
  dns: {},
});

describe('default routes', () => {
  it('are one of each family, through the first gateway', () => {
    expect(withGateways(CONF, of([])).routes).toEqual([
      { dst: '0.0.0.0/0', gw: '10.1.0.1' },
      { dst: '::/0', gw: 'fd00::1' },
    ]);
  });

  it('that are there stay, and the other family gets its own', () => {
    const given = { dst: '0.0.0.0/0', gw: '10.2.0.1' };
    expect(withGateways(CONF, of([given])).routes).toEqual([given, { dst: '::/0', gw: 'fd00::1' }]);
  });

  it('that are there twice are one: the first; another metric or table is another route', () => {
    const routes = [
      { dst: '0.0.0.0/0' },
      { dst: '0.0.0.0/0', gw: '10.2.0.1' },
      { dst: '0.0.0.0/0', priority: 9 },
      { dst: '0.0.0.0/0', table: 9 },
    ];
    const expected = [routes[0], routes[2], routes[3]];
    expect(withGateways({ ...CONF, isDefaultGateway: false }, of(routes)).routes).toEqual(expected);
  });
});

it('gateways are implied where the host is the gateway, in both families', () => {
  const bare: Result = { ...of([]), ips: [{ address: '10.1.2.5/23' }, { address: 'fd00::1:5/112' }] };
  const gateways = (conf: object) =>
    withGateways({ ...CONF, isDefaultGateway: false, ...conf }, bare).ips.map(({ gateway }) => gateway);
  expect(gateways({})).toEqual(['10.1.2.1', 'fd00::1:1']);
  expect(gateways({ kind: 'ptp' })).toEqual(['10.1.2.1', 'fd00::1:1']);
  expect(gateways({ isGateway: false })).toEqual([undefined, undefined]);
  expect(gateways({ kind: 'macvlan' })).toEqual([undefined, undefined]);
  expect(firstAddress('10.1.0.255/24')).toBe('10.1.0.1');
});
