import { expect, it } from 'vitest';
import { settingsIn } from '../../src/system/lxc-command.ts';

it.each([
  [['lxc-start', '-n', 'web'], ''],
  [['lxc-start', '-n', 'web', '-s', 'lxc.net.0.link=br1'], 'lxc.net.0.link=br1\n'],
  [
    ['lxc-start', 'web', '-slxc.net.0.link = br1', '-ds', 'lxc.net.0.name=x'],
    'lxc.net.0.link = br1\nlxc.net.0.name=x\n',
  ],
  [['lxc-start', '--define', 'lxc.net.0.type=none', '--name=web'], 'lxc.net.0.type=none\n'],
  [['lxc-start', '--def=lxc.network.type=none', 'web'], 'lxc.network.type=none\n'],
  [['lxc-start', 'web', '--share-net', 'other'], 'lxc.namespace.share.net=other\n'],
  [['lxc-start', 'web', '--share-net=other'], 'lxc.namespace.share.net=other\n'],
  // Not about the network; of the container's own command; more than one line.
  [['lxc-start', 'web', '-s', 'lxc.uts.name=x', '-s', 'lxc.netx=1'], ''],
  [['lxc-execute', '-n', 'web', '--', 'run', '-s', 'lxc.net.0.type=none'], ''],
  [['lxc-start', 'web', '-s', 'lxc.net.0.name=x\nlxc.hook.start-host=/bin/false'], ''],
])('what %j says about the network', (words, lines) => {
  expect(settingsIn(words)).toBe(lines);
});
