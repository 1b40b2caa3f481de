import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import type { NameDefaults, NetworkConfig } from '../../src/model/config.ts';
import { overlay } from '../../src/model/config.ts';
import { dnsName } from '../../src/model/names.ts';
import type { Protocol } from '../../src/model/ports.ts';
import { containerResolvConf, hostsLines } from '../../src/plan/attachment/container-files.ts';
import { linkEnvironment, linkEnvironmentFile } from '../../src/plan/attachment/link-env.ts';

const NOTHING: NameDefaults = { dns: [], dnsSearch: [], dnsOption: [], extraHost: [] };
const HOST = { nameservers: ['127.0.0.1', '192.0.2.53'], search: ['host.example'], options: ['edns0'] };

function network(keys = '', host = ''): NetworkConfig {
  const directory = mkdtempSync(join(tmpdir(), 'nethooks-names-'));
  try {
    const file = join(directory, 'nethooks.ini');
    writeFileSync(file, `${host}[network.br0]\naddress = 10.0.0.1/24\n${keys}`);
    return loadConfig(file).networks[0] as NetworkConfig;
  } finally {
    rmSync(directory, { recursive: true });
  }
}
const text = (
  own: Partial<NameDefaults>,
  on: NetworkConfig | null = network(),
  linkDomain: string | null = null,
  host = HOST,
) => {
  const found = containerResolvConf({ own: { ...NOTHING, ...own }, network: on, linkDomain, host });
  return found && [found.nameservers, found.search, found.options].map((list) => list.join(' ')).join(' | ');
};

describe('resolv.conf', () => {
  it.each([
    ['our own server and domain', text({}), '10.0.0.1 | lxc | '],
    ['explicit servers instead', text({ dns: ['192.0.2.1'] }), '192.0.2.1 | lxc | '],
    ['search and options', text({ dnsSearch: ['a', 'b'], dnsOption: ['ndots:2'] }), '10.0.0.1 | a b | ndots:2'],
    ['no search at all', text({ dnsSearch: ['.'] }), '10.0.0.1 |  | '],
    ["the links' domain first", text({}, network(), 'web.lxc'), '10.0.0.1 | web.lxc lxc | '],
    ['an explicit search leaves it out', text({ dnsSearch: ['a'] }, network(), 'web.lxc'), '10.0.0.1 | a | '],
    ["the network's servers", text({}, network('dns = 192.0.2.7\n')), '192.0.2.7 | lxc | '],
    [
      "the network's over the host's",
      text({}, network('dns = 192.0.2.7\n', '[host]\ndns = 192.0.2.8\ndns-search = h\n')),
      '192.0.2.7 | h | ',
    ],
    [
      "the container's over both",
      text({ dns: ['192.0.2.6'] }, network('dns = 192.0.2.7\n', '[host]\ndns = 192.0.2.8\n')),
      '192.0.2.6 | lxc | ',
    ],
    ["without ours: the host's, loopback left out", text({}, network('dns = false\n')), '192.0.2.53 | lxc | edns0'],
    [
      'without ours: dns-upstream',
      text({}, network('dns = false\ndns-upstream = 192.0.2.9\n')),
      '192.0.2.9 | lxc | edns0',
    ],
    ["on no network: the host's", text({ dnsOption: ['rotate'] }, null), '192.0.2.53 | host.example | rotate'],
    [
      'nobody left: no public server that nobody chose',
      text({}, network('dns = false\n'), null, { ...HOST, nameservers: ['127.0.0.1', '::1'] }),
      null,
    ],
  ])('%s', (_what, found, expected) => {
    expect(found).toBe(expected);
  });

  it('takes each list as a whole', () => {
    const more = { ...NOTHING, dns: ['192.0.2.1', '192.0.2.2'], dnsOption: ['rotate'] };
    expect(overlay({ ...NOTHING, dns: ['192.0.2.3'] }, more)).toEqual({ ...more, dns: ['192.0.2.3'] });
  });
});

describe('/etc/hosts', () => {
  const lines = (wanted: Partial<Parameters<typeof hostsLines>[0]>) =>
    hostsLines({ hostnames: [], address: '10.0.0.5', gateway: '10.0.0.1', extraHost: [], links: [], ...wanted });

  it.each([
    ['nothing asked for', lines({}), []],
    ['a hostname', lines({ hostnames: ['shop'] }), ['10.0.0.5 shop']],
    ['a full one', lines({ hostnames: ['shop.example'] }), ['10.0.0.5 shop.example shop']],
    ['without a network', lines({ hostnames: ['shop'], address: null }), ['127.0.1.1 shop']],
    [
      'further hosts',
      lines({
        extraHost: [
          { name: 'a', address: '192.0.2.1' },
          { name: 'b', address: 'host-gateway' },
        ],
      }),
      ['192.0.2.1 a', '10.0.0.1 b'],
    ],
    ['the gateway of no network', lines({ gateway: null, extraHost: [{ name: 'b', address: 'host-gateway' }] }), []],
    [
      'links',
      lines({
        links: [
          { alias: 'database', container: 'my_db', to: '10.0.0.6' },
          { alias: 'x', container: 'x', to: '10.0.0.7' },
        ],
      }),
      ['10.0.0.6 database my-db', '10.0.0.7 x'],
    ],
  ])('%s', (_what, found, expected) => {
    expect(found).toEqual(expected);
  });

  it.each([
    ['web', 'web'],
    ['My_DB', 'my-db'],
    ['a.b', 'a.b'],
    ['-x', null],
    ['x-', null],
    ['a..b', null],
    ['a'.repeat(64), null],
  ])('%s is called %s in DNS', (container, name) => {
    expect(dnsName(container)).toBe(name);
  });
});

describe("a link's environment", () => {
  const port = (spec: string) => ({ port: Number(spec.split('/')[0]), protocol: spec.split('/')[1] as Protocol });
  const link = (...ports: string[]) => ({
    container: 'db',
    alias: 'my-database',
    from: '10.0.0.5',
    to: '10.0.0.6',
    ports: ports.map(port),
  });

  it("is Docker's, for each exposed port", () => {
    expect(linkEnvironment('web', link('5432/tcp', '53/udp'), {})).toEqual({
      MY_DATABASE_NAME: '/web/my-database',
      MY_DATABASE_PORT: 'udp://10.0.0.6:53',
      MY_DATABASE_PORT_53_UDP: 'udp://10.0.0.6:53',
      MY_DATABASE_PORT_53_UDP_ADDR: '10.0.0.6',
      MY_DATABASE_PORT_53_UDP_PORT: '53',
      MY_DATABASE_PORT_53_UDP_PROTO: 'udp',
      MY_DATABASE_PORT_5432_TCP: 'tcp://10.0.0.6:5432',
      MY_DATABASE_PORT_5432_TCP_ADDR: '10.0.0.6',
      MY_DATABASE_PORT_5432_TCP_PORT: '5432',
      MY_DATABASE_PORT_5432_TCP_PROTO: 'tcp',
    });
  });

  it('names where a run of ports begins and ends', () => {
    const found = linkEnvironment('web', link('8002/tcp', '8000/tcp', '8001/tcp', '8001/udp', '9000/tcp'), {});
    expect(found).toMatchObject({
      MY_DATABASE_PORT_8000_TCP_START: 'tcp://10.0.0.6:8000',
      MY_DATABASE_PORT_8000_TCP_PORT_START: '8000',
      MY_DATABASE_PORT_8000_TCP_END: 'tcp://10.0.0.6:8002',
      MY_DATABASE_PORT_8000_TCP_PORT_END: '8002',
      MY_DATABASE_PORT_8001_UDP: 'udp://10.0.0.6:8001',
    });
    expect(Object.keys(found).filter((name) => name.endsWith('_START'))).toHaveLength(2);
  });

  it("carries the child's own variables, as a file that LXC includes", () => {
    const text = linkEnvironmentFile('web', [link()], { db: { PASSWORD: 'a b=c', PATH: '/bin', HOME: '/' } });
    expect(text).toBe(
      '# Written by nethooks: what the links of web are called in its environment.\nlxc.environment = MY_DATABASE_NAME=/web/my-database\nlxc.environment = MY_DATABASE_ENV_PASSWORD=a b=c\n',
    );
  });
});
