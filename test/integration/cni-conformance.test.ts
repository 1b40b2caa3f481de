/** SPEC.md's table: every verb, every version, and everything that can be the matter with a call. */
import { afterEach, beforeAll, expect, it } from 'vitest';
import type { ThrowawayHost } from '../../src/demo/throwaway.ts';
import { VERSIONS } from '../../src/frontend/cni/versions.ts';
import { addNamespaces, type CniAnswer, type CniCall, callCni, cniState, mustCni } from '../lab/cni.ts';
import { describeLab, installedHost, must, sh } from '../lab/lab.ts';

let host: ThrowawayHost;
let clean: string;

const IPAM = { type: 'host-local', subnet: '10.11.0.0/16', routes: [{ dst: '0.0.0.0/0' }] };
const KINDS: Record<string, object> = {
  network: { type: 'nethooks', network: 'br0' },
  bridge: { type: 'nethooks', bridge: 'cni0', isGateway: true, ipMasq: true, ipam: IPAM },
  ptp: { type: 'nethooks', ipMasq: true, ipam: { ...IPAM, subnet: '10.12.0.0/16' } },
  macvlan: {
    type: 'nethooks',
    master: 'eth0',
    ipam: { type: 'host-local', subnet: '192.0.2.0/24', rangeStart: '192.0.2.50' },
  },
};

const call = (verb: string, conf: object | string, more: CniCall = {}): Promise<CniAnswer> =>
  callCni(host, verb, conf, more);
const at = (version: string) => VERSIONS.indexOf(version as never);
/** A failure with this code, in the configuration's version. */
const failed = (answer: CniAnswer, code: number, version: string): void => {
  expect(answer.json, answer.stderr).toMatchObject({ cniVersion: version, code });
  expect(answer.json.msg).not.toBe('');
  expect(answer.code).toBe(1);
};
const silent = (answer: CniAnswer): void => {
  expect(answer.stdout).toBe('');
  expect(answer.code).toBe(0);
};
/** cni0 stays, as with the stock plugin; nothing else does. */
const expectClean = async (): Promise<void> => {
  expect((await cniState(host)).replace(/^cni0\n/m, '')).toBe(clean);
};

describeLab('CNI conformance', () => {
  beforeAll(async () => {
    host = await installedHost({ cni: true, namespaces: ['pod', 'other'] });
    clean = await cniState(host);
  });

  // A test that failed must not make the others fail.
  afterEach(({ task }) => {
    if (task.result?.state === 'fail')
      return sh(
        host,
        'ip netns del pod; ip netns del other; rm -rf /var/lib/cni /run/nethooks/cni; ip netns add pod; ip netns add other',
      );
  });

  for (const version of VERSIONS) {
    it.each(Object.keys(KINDS))(`${version}: the life of a container on %s`, async (kind) => {
      const conf = { cniVersion: version, name: `net-${kind}`, ...KINDS[kind] };
      const result = await mustCni(host, 'ADD', conf);
      expect(result.cniVersion).toBe(version);
      expect(result.dns).toBeDefined();
      const address: string = at(version) < at('0.3.0') ? result.ip4.ip : result.ips[0].address;
      if (at(version) >= at('0.3.0')) {
        const own = result.interfaces[result.ips[0].interface];
        expect(own).toMatchObject({ name: 'eth0', sandbox: '/run/netns/pod' });
        const link = JSON.parse(await must(host, ['ip', '-n', 'pod', '-json', 'link', 'show', 'dev', 'eth0']))[0];
        expect(own.mac).toBe(link.address);
        for (const { name, mac, sandbox } of result.interfaces)
          if (!sandbox)
            expect(JSON.parse(await must(host, ['ip', '-json', 'link', 'show', 'dev', name]))[0].address).toBe(mac);
        expect(result.ips[0].version).toBe(at(version) < at('1.0.0') ? '4' : undefined);
      }
      expect(await must(host, ['ip', '-n', 'pod', '-4', '-br', 'address', 'show', 'dev', 'eth0'])).toContain(address);
      await sh(host, `ping -c 1 -W 2 ${address.split('/')[0]}`.replace(/.*192\.0\.2.*/, 'true')); // macvlan: not from its host

      // Repeated: an error, and the first one's container keeps everything.
      const before = await cniState(host);
      failed(await call('ADD', conf), 101, version);
      expect(await cniState(host)).toBe(before);

      const checked = { ...conf, prevResult: result };
      if (at(version) < at('0.4.0')) failed(await call('CHECK', checked), 1, version);
      else {
        silent(await call('CHECK', checked));
        failed(await call('CHECK', conf), 7, version);
        failed(await call('CHECK', checked, { netns: 'gone' }), 3, version);
        failed(await call('CHECK', checked, { netns: 'other' }), 102, version);
        await sh(host, `ip -n pod address del ${address} dev eth0`);
        failed(await call('CHECK', checked), 102, version);
      }
      if (at(version) < at('1.1.0')) {
        failed(await call('GC', conf), 1, version);
        failed(await call('STATUS', conf), 1, version);
      } else {
        silent(await call('STATUS', conf));
        failed(await call('GC', conf), 7, version);
        const mine = { containerID: 'pod', ifname: 'eth0' };
        silent(await call('GC', { ...conf, 'cni.dev/valid-attachments': [mine] }));
        expect(await cniState(host)).toBe(before);
      }
      silent(await call('DEL', at(version) >= at('0.4.0') ? checked : conf));
      expect((await host.run(['ip', '-n', 'pod', 'link', 'show', 'dev', 'eth0'])).code).not.toBe(0);
      await expectClean();
      silent(await call('DEL', conf));
      silent(await call('DEL', conf, { netns: 'gone' }));
      silent(await call('DEL', conf, { netns: '' }));
      await expectClean();
    });

    it(`${version}: what is wrong with a call is said, and nothing is left`, async () => {
      const conf = { cniVersion: version, name: 'net', ...KINDS.bridge };
      failed(await call('ADD', conf, { netns: 'gone' }), 3, version);
      failed(await call('ADD', conf, { netns: '/etc/hostname' }), 3, version);
      failed(await call('ADD', conf, { netns: '/proc/self/ns/net' }), 3, version);
      failed(await call('ADD', conf, { ifname: 'this-is-too-long' }), 4, version);
      failed(await call('ADD', conf, { env: { CNI_CONTAINERID: '../x' } }), 4, version);
      failed(await call('ADD', conf, { env: { CNI_PATH: '' } }), 4, version);
      failed(await call('ADD', conf, { args: 'FOO=1' }), 4, version);
      failed(await call('ADD', conf, { args: 'IP=10.99.0.1' }), 7, version);
      failed(await call('ADD', { ...conf, name: 'a/b' }), 7, version);
      failed(await call('ADD', { ...conf, ipam: { type: 'no-such-plugin' } }), 7, version);
      failed(
        await call('ADD', { ...conf, bridge: undefined, isGateway: undefined, network: 'br9', ipam: undefined }),
        7,
        version,
      );
      failed(await call('ADD', { ...conf, vlan: 5 }), 2, version);
      await expectClean();
    });
  }

  it('VERSION says what it speaks, whatever it is asked', async () => {
    for (const input of ['', 'garbage', '{"cniVersion":"0.2.0"}', '{"cniVersion":"7.0.0"}']) {
      const { json, code } = await call('VERSION', input);
      expect(json.supportedVersions).toEqual([...VERSIONS]);
      expect(code).toBe(0);
    }
  });

  it('garbage, nothing and a megabyte on standard input', async () => {
    for (const verb of ['ADD', 'DEL', 'CHECK', 'GC', 'STATUS']) {
      for (const input of ['', 'garbage', '[1]', '{"name":', 'x'.repeat(1024 * 1024), '\0'.repeat(100)])
        failed(await call(verb, input), 6, '0.1.0');
      failed(await call(verb, { cniVersion: '2.0.0', name: 'n', type: 'nethooks' }), 1, '0.1.0');
    }
    failed(await call('NONSENSE', '{}'), 4, '0.1.0');
    const conf = { cniVersion: '1.1.0', name: 'net', ...KINDS.bridge, padding: 'x'.repeat(1024 * 1024) };
    await mustCni(host, 'ADD', conf);
    await mustCni(host, 'DEL', conf);
    await expectClean();
  });

  it('GC takes back what is not named, also without its namespace, and leaves the rest', async () => {
    const conf = { cniVersion: '1.1.0', name: 'net', ...KINDS.bridge };
    await addNamespaces(host, ['gone']);
    await mustCni(host, 'ADD', conf);
    await mustCni(host, 'ADD', conf, { id: 'gone' });
    await mustCni(host, 'ADD', conf, { id: 'other' });
    await must(host, ['ip', 'netns', 'del', 'gone']);
    const mine = { containerID: 'pod', ifname: 'eth0' };
    silent(
      await call(
        'GC',
        { ...conf, 'cni.dev/valid-attachments': [mine] },
        { env: { CNI_CONTAINERID: '', CNI_IFNAME: '' } },
      ),
    );
    const left = await cniState(host);
    expect(left).toContain('pod:eth0.json');
    expect(left).not.toMatch(/gone|other/);
    silent(await call('GC', { ...conf, 'cni.dev/valid-attachments': [] }));
    await expectClean();
  });

  it('a DEL of the first versions goes by the namespace where it names no container', async () => {
    const nameless = { env: { CNI_CONTAINERID: '' } };
    for (const version of ['0.1.0', '0.2.0'])
      for (const kind of [KINDS.bridge, KINDS.ptp]) {
        const conf = { cniVersion: version, name: 'net', ...kind };
        await mustCni(host, 'ADD', conf);
        silent(await call('DEL', { ...conf, name: 'another' }, { ...nameless, ifname: 'eth1' }));
        expect(await cniState(host)).toContain('pod:eth0.json');
        silent(await call('DEL', conf, nameless));
        await expectClean();
        silent(await call('DEL', conf, nameless));
        await sh(host, 'ip -n pod link add eth0 type bridge');
        silent(await call('DEL', conf, nameless));
        expect((await host.run(['ip', '-n', 'pod', 'link', 'show', 'dev', 'eth0'])).code).not.toBe(0);
        failed(await call('DEL', conf, { ...nameless, netns: '' }), 4, version);
      }
    failed(await call('DEL', { cniVersion: '0.3.0', name: 'net', ...KINDS.bridge }, nameless), 4, '0.3.0');
    await expectClean();
  });

  it('STATUS says what an ADD would lack', async () => {
    const conf = { cniVersion: '1.1.0', name: 'net' };
    failed(await call('STATUS', { ...conf, type: 'nethooks', network: 'br9' }), 50, '1.1.0');
    failed(await call('STATUS', { ...conf, type: 'nethooks-macvlan', master: 'no-such0' }), 50, '1.1.0');
    failed(await call('STATUS', { ...conf, type: 'nethooks-ptp', ipam: { type: 'no-such' } }), 50, '1.1.0');
  });

  it('ipvlan is refused where the kernel has none', async () => {
    const conf = { cniVersion: '1.0.0', name: 'net', type: 'nethooks-ipvlan', master: 'eth0', ipam: IPAM };
    const answer = await call('ADD', conf);
    if (answer.code === 0) await mustCni(host, 'DEL', conf);
    else {
      failed(answer, 2, '1.0.0');
      expect(answer.json.msg).toContain('ipvlan');
    }
    await expectClean();
  });

  it('a hundred at once: no address twice, no error, nothing left', async () => {
    await sh(host, 'for i in $(seq 100); do ip netns add many$i; done', [], { timeoutMs: 60_000 });
    const conf = JSON.stringify({ cniVersion: '1.0.0', name: 'net', ...KINDS.bridge });
    const all = (verb: string) =>
      sh(
        host,
        `cd /tmp; rm -rf out; mkdir out
        for i in $(seq 100); do
          { CNI_COMMAND=${verb} CNI_CONTAINERID=many$i CNI_NETNS=/run/netns/many$i CNI_IFNAME=eth0 CNI_PATH=/usr/lib/cni \\
            /opt/cni/bin/nethooks >out/$i 2>&1 <<END || echo "many$i failed" >>out/$i
$CONF
END
          } &
        done; wait; cat out/*`,
        [],
        { env: { CONF: conf }, timeoutMs: 60_000 },
      );
    const added = await all('ADD');
    const addresses = [...added.matchAll(/"address":"([^"]+)"/g)].map((match) => match[1]);
    expect(added).not.toMatch(/failed|"code"/);
    expect(addresses).toHaveLength(100);
    expect(new Set(addresses).size).toBe(100);
    await sh(host, 'for i in 1 50 100; do ip netns exec many$i ping -c 1 -W 2 10.11.0.1; done');
    expect(await all('DEL')).toBe('');
    await expectClean();
  });
});
