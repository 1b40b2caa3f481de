/** What configurations for the stock plugins ask for in corners, and what runtimes send: the same answers as theirs. */
import { afterEach, beforeAll, expect, it } from 'vitest';
import type { ThrowawayHost } from '../../src/demo/throwaway.ts';
import { addNamespaces, type CniAnswer, callCni, cniState, installCni, mustCni } from '../lab/cni.ts';
import { describeLab, installNethooks, labHost, sh } from '../lab/lab.ts';

let host: ThrowawayHost;
let clean: string;

const BRIDGE = {
  cniVersion: '1.0.0',
  name: 'net',
  type: 'nethooks-bridge',
  bridge: 'cni0',
  isGateway: true,
  ipam: { type: 'host-local', subnet: '10.11.0.0/16', routes: [{ dst: '0.0.0.0/0' }] },
};

const STORE = '/var/lib/cni/networks/net';

const silent = ({ code, stdout, stderr }: CniAnswer): void => {
  expect(stdout, stderr).toBe('');
  expect(code).toBe(0);
};
const differs = (answer: CniAnswer): void => expect(answer.json).toMatchObject({ code: 102 });
const addressesOf = ({ ips }: { ips: { address: string }[] }) => ips.map(({ address }) => address);

/** Bridges stay, as with the stock plugin; nothing else does. */
const expectClean = async (): Promise<void> => expect((await cniState(host)).replace(/^cni\d\n/gm, '')).toBe(clean);

const RESET = `
for name; do ip netns del "$name"; ip netns add "$name"; done
nft delete table inet nethooks-cni || true
rm -rf /var/lib/cni /run/nethooks/cni /run/nethooks/ports
for link in $(ls /sys/class/net | grep '^cni'); do ip link del "$link"; done`;

describeLab('CNI in corners', () => {
  beforeAll(async () => {
    host = await labHost({ uplinks: 1 });
    await installNethooks(host);
    await installCni(host);
    await addNamespaces(host, ['pod', 'other', 'third']);
    clean = await cniState(host);
  });

  // A test that failed must not make the others fail.
  afterEach(({ task }) => {
    if (task.result?.state === 'fail') return sh(host, RESET, ['pod', 'other', 'third']);
  });

  it('GC: null is an empty list', async () => {
    const conf = { ...BRIDGE, cniVersion: '1.1.0' };
    await mustCni(host, 'ADD', conf);
    silent(await callCni(host, 'GC', { ...conf, 'cni.dev/valid-attachments': null }));
    await expectClean();
  });

  const V6 = { type: 'host-local', ranges: [[{ subnet: 'fd00:21::/64' }]], routes: [{ dst: '::/0' }] };
  const V6_ONLY: Record<string, object> = {
    bridge: { ...BRIDGE, bridge: 'cni1', ipam: V6 },
    ptp: { ...BRIDGE, type: 'nethooks-ptp', ipam: V6 },
    macvlan: {
      ...BRIDGE,
      type: 'nethooks-macvlan',
      master: 'eth0',
      ipam: {
        ...V6,
        ranges: [[{ subnet: '2001:db8:2::/64', rangeStart: '2001:db8:2::50', gateway: '2001:db8:2::1' }]],
      },
    },
  };
  it.each(Object.keys(V6_ONLY))('CHECK of %s with IPv6 alone', async (kind) => {
    const conf = V6_ONLY[kind] as object;
    const prevResult = await mustCni(host, 'ADD', conf);
    const [address] = addressesOf(prevResult) as [string];
    const check = () => callCni(host, 'CHECK', { ...conf, prevResult });
    const restore = `ip -n pod address replace ${address} dev eth0 nodad`;
    const [route = ''] = (await sh(host, 'ip -n pod -6 route show default')).split('\n');
    expect(route).toContain('via');
    silent(await check());
    await sh(host, `ip -n pod -6 route del ${route}`);
    differs(await check());
    await sh(host, `ip -n pod -6 route add ${route}`);
    silent(await check());
    await sh(host, `ip -n pod address del ${address} dev eth0`);
    differs(await check());
    await sh(host, `${restore}; ip -n pod -6 route replace ${route}`);
    const file = `${STORE}/${address.split('/')[0]}`;
    await sh(host, 'mv "$1" /tmp/held', [file]);
    differs(await check());
    await sh(host, 'mv /tmp/held "$1"', [file]);
    silent(await callCni(host, 'DEL', { ...conf, prevResult }));
    await expectClean();
  });
});
