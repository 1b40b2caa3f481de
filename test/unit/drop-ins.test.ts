/** What systemd inside a container is told: as its resolv.conf, had it one of its own. */
import { expect, it } from 'vitest';
import { resolve } from '../../src/config/resolve.ts';
import type { NetworkConfig } from '../../src/model/config.ts';
import { type ContainerOptions, NO_OPTIONS } from '../../src/model/container-options.ts';
import { containerFiles } from '../../src/plan/attachment/container-files.ts';
import { isDropIn } from '../../src/plan/attachment/drop-ins.ts';

const BR0 = resolve({ network: { br0: { address: '10.0.0.1/24' } } }).networks[0] as NetworkConfig;

const textsOf = (options: Partial<ContainerOptions>, network: NetworkConfig | null = BR0) => {
  const spec = { name: 'web', pid: 2, options: { ...NO_OPTIONS, ...options }, network };
  const { dropIns } = containerFiles(spec, [], '10.0.0.2', null, ['eth0']).files;
  for (const { text } of dropIns) expect(isDropIn(text)).toBe(true);
  return Object.fromEntries(dropIns.map(({ directory, text }) => [directory, text.split('\n').slice(1, -1)]));
};
const NETWORKD = {
  'networkd.conf.d': ['[Network]', 'ManageForeignRoutes=no', 'ManageForeignNextHops=no'],
  'network/eth0.network.d': ['[Network]', 'KeepConfiguration=static'],
};

it.each([
  [{}, ['[Resolve]', 'DNS=10.0.0.1', 'Domains=lxc']],
  [{ dns: ['192.0.2.9', '2001:db8::9'] }, ['[Resolve]', 'DNS=192.0.2.9 2001:db8::9', 'Domains=lxc']],
  [{ dnsSearch: ['example.org', 'lxc'] }, ['[Resolve]', 'DNS=10.0.0.1', 'Domains=example.org lxc']],
  [{ dnsSearch: ['.'] }, ['[Resolve]', 'DNS=10.0.0.1']],
])('%j', (options, resolved) => expect(textsOf(options)).toEqual({ 'resolved.conf.d': resolved, ...NETWORKD }));

it('resolv-conf = none leaves resolved alone', () => expect(textsOf({ resolvConf: 'none' })).toEqual(NETWORKD));

it('on no network of ours there is nothing to say but what it says itself', () => {
  expect(textsOf({}, null)).toEqual({});
  expect(textsOf({ dns: ['192.0.2.9'] }, null)).toEqual({ 'resolved.conf.d': ['[Resolve]', 'DNS=192.0.2.9'] });
});
