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

const silent = ({ code, stdout, stderr }: CniAnswer): void => {
  expect(stdout, stderr).toBe('');
  expect(code).toBe(0);
};

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
});
