/** `dnsmasq[]`: lines that are the admin's own, which are tried before anything is changed. */
import { beforeAll, expect, it } from 'vitest';
import type { ThrowawayHost } from '../../src/demo/throwaway.ts';
import { commandsOn, describeLab, installedHost, must, STILL, sh, writeConfig } from '../lab/lab.ts';

const NETWORK = '[network.br0]\naddress = 10.0.0.1/24\n';
const lines = (...all: string[]) => NETWORK + all.map((line) => `dnsmasq[] = ${line}\n`).join('');

let host: ThrowawayHost;
const { resolved, start, stop, hookLog } = commandsOn(() => host);
const running = async () =>
  `${await must(host, ['cat', '/run/nethooks/dnsmasq/br0/dnsmasq.pid'])}${await must(host, ['cat', '/run/nethooks/dnsmasq/br0/dnsmasq.conf'])}`;

describeLab('dnsmasq[]', () => {
  beforeAll(async () => {
    host = await installedHost({ dns: true, config: NETWORK, containers: ['web'], containerConfig: STILL });
  });

  it('is in force after `up`, and gone after the next one', async () => {
    await writeConfig(host, lines('address=/static.example/192.0.2.99', 'log-queries', 'cname=www.lxc,web.lxc'));
    await must(host, ['nethooks', 'up']);
    expect(await must(host, ['nethooks', 'plan'])).not.toMatch(/dnsmasq/);
    expect(await resolved('static.example')).toBe('192.0.2.99');
    await start('web');
    expect(await resolved('www.lxc')).toBe(await resolved('web.lxc'));
    await stop('web');
    expect(await must(host, ['nethooks', 'config', 'show'])).toContain(
      'dnsmasq[] = address=/static.example/192.0.2.99\ndnsmasq[] = log-queries\ndnsmasq[] = cname=www.lxc,web.lxc\n',
    );
    await writeConfig(host, NETWORK);
    await must(host, ['nethooks', 'up']);
    expect(await resolved('static.example')).toBe('');
  });

  it.each([
    [
      'what its parser refuses',
      'dhcp-option=option:nosuch,1',
      /nethooks\.ini:4: \[network\.br0\] dnsmasq = dhcp-option=option:nosuch,1: dnsmasq does not start with it: \S/,
    ],
    [
      'what --test accepts',
      'log-facility=/nosuch/log',
      /nethooks\.ini:4: \[network\.br0\] dnsmasq = log-facility=\/nosuch\/log: dnsmasq does not start with it: \S/,
    ],
    [
      'an option that is none',
      'no-such-option=1',
      /nethooks\.ini:4: .* no-such-option=1: dnsmasq does not start with it: bad option/,
    ],
    [
      'what is ours',
      'interface=eth0',
      /nethooks\.ini:4: .* interface=eth0: interface: nethooks says where dnsmasq listens/,
    ],
  ])('%s: every command names the line, and the last good configuration goes on', async (_what, line, message) => {
    await writeConfig(host, lines('log-dhcp'));
    await must(host, ['nethooks', 'up']);
    const before = await running();
    await writeConfig(host, lines('log-dhcp', line));
    for (const words of [['up'], ['plan'], ['config', 'check']])
      expect(await host.run(['nethooks', ...words])).toMatchObject({ code: 1, stderr: expect.stringMatching(message) });
    expect(await host.run(['nethooks', 'status'])).toMatchObject({ code: 3, stdout: expect.stringMatching(message) });
    expect(await running()).toBe(before);
    await start('web');
    expect(await resolved('web.lxc')).not.toBe('');
    await stop('web');
    expect(await must(host, ['nethooks', 'up', '--last-good'])).not.toContain('dnsmasq');
    expect(await running()).toBe(before);
    expect((await hookLog()).split('the last good one stays in use').length).toBe(2);
    await sh(host, 'rm -f /var/log/nethooks/hooks.log');
    expect(await sh(host, 'ls -A /run/nethooks')).not.toContain('.dnsmasq-');
  });
});
