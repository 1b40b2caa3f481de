/** The networks that a reinstall finds again. */
import { describe, expect, it } from 'vitest';
import type { LinkFact } from '../../src/model/facts.ts';
import { ALIAS } from '../../src/plan/host/bridge.ts';
import { formerNetworks, type Trace } from '../../src/plan/host/former-networks.ts';

const link = (name: string, alias: string, ...addresses: string[]) =>
  ({ name, alias, addresses, kind: 'bridge' }) as unknown as LinkFact;
const up = (network: string, address: string): Trace => ({ network, address, held: [] });
const held = (network: string, ...addresses: string[]): Trace => ({ network, address: null, held: addresses });
const brief = (...args: Parameters<typeof formerNetworks>): string[] =>
  formerNetworks(...args).map(
    ({ name, address, prefix, taken }) => `${name} ${address}/${prefix}${taken === null ? '' : ` not ${taken}`}`,
  );

describe('the networks that a host had', () => {
  it('are none without a trace', () => {
    expect(brief([], [], [])).toEqual([]);
  });

  it('have the address of the bridge that is up, with its routes, rather than what is held', () => {
    const bridge = link('br0', ALIAS, '10.4.0.1/16');
    const routes = [{ device: 'br0', destination: '10.4.0.0/16' }];
    expect(brief([up('br0', '10.4.0.1/16'), held('br0', '10.4.7.7')], [bridge], routes)).toEqual(['br0 10.4.0.1/16']);
  });

  it.each([
    [['10.0.5.7'], '10.0.5.1/24'],
    [['10.0.5.2', '10.0.5.99/24'], '10.0.5.1/24'],
    [['10.0.4.2', '10.0.5.2'], '10.0.4.1/23'],
    [['10.0.0.2', '10.0.200.2'], '10.0.0.1/16'],
  ])('have the subnet around the addresses %j', (addresses, expected) => {
    expect(brief([held('lan', ...addresses)], [], [])).toEqual([`lan ${expected}`]);
  });

  it('keep the name, and get a free subnet, where nothing else is known, or somebody else has it', () => {
    expect(brief([held('br7')], [], [])).toEqual(['br7 10.0.0.1/24']);
    const routes = [{ device: 'eth1', destination: '10.0.0.0/16' }];
    expect(brief([held('br0', '10.0.0.2')], [], routes)).toEqual(['br0 172.16.200.1/24 not 10.0.0.0/24']);
  });

  it('are apart from each other, in the order of their names; what is known goes before what is guessed', () => {
    const traces = [held('br10'), up('br2', '10.0.0.1/24'), held('br1', '10.0.0.2')];
    expect(brief(traces, [], [])).toEqual(['br1 10.0.1.1/24 not 10.0.0.0/24', 'br2 10.0.0.1/24', 'br10 10.0.2.1/24']);
  });

  it("leave out somebody else's bridge, and what is no interface's name", () => {
    const traces = [up('br0', '10.0.0.1/24'), held('a-name-that-is-too-long'), held('a/b')];
    expect(brief(traces, [link('br0', '')], [])).toEqual([]);
  });
});
