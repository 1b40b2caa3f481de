import { join } from 'node:path';
import { INTERNET, INTERNET_NAME } from './uplinks.ts';

/** One command of the demo, what it must do, and what of its output the transcript keeps. */
export interface Step {
  /** A line on what comes now, before the command. */
  readonly title?: string;
  readonly argv: readonly string[];
  readonly cwd?: string;
  /** Default: 0. */
  readonly code?: number;
  /** What its output must contain. */
  readonly expect?: RegExp;
  /** Lines that the transcript keeps; default: all. */
  readonly keep?: RegExp;
}

/** How nethooks gets onto the throwaway host. */
export interface Source {
  /** A checkout, whose install.sh is run; without it, what is in /usr/lib/nethooks. */
  readonly checkout?: string;
  readonly runtime: 'bun' | 'node';
}

/** Where the far side's web server has its files, on the throwaway host's overlay. */
const WWW = '/srv/nethooks-demo';

/** A web server on the far side that tells its visitors where they come from. */
export const WHOAMI = `#!/bin/sh
printf 'Content-Type: text/plain\\r\\n\\r\\nyou come from %s\\n' "$REMOTE_ADDR"
`;
export const WHOAMI_PATH = join(WWW, 'cgi-bin/whoami');
export const WEB_SERVER = ['busybox', 'httpd', '-p', `${INTERNET}:80`, '-h', WWW];

const attach = (name: string, ...argv: string[]) => ['lxc-attach', '-n', name, '--', ...argv];

/** Of what ping prints, one line; the same for iputils and busybox. */
const reply = /bytes from/;

/** @param ping the host's ping: `['ping']` or `['busybox', 'ping']` */
export function demoSteps(source: Source, uplink: string, ping: readonly string[]): Step[] {
  return [
    ...installSteps(source),
    { title: "Two containers from LXC's own template.", argv: ['lxc-create', '-n', 'test', '-t', 'busybox'] },
    { argv: ['lxc-create', '-n', 'web', '-t', 'busybox'] },
    { argv: ['lxc-start', 'test'] },
    { argv: ['lxc-start', 'web'] },
    { title: 'They answer by name: to the host …', argv: [...ping, '-c1', 'test.lxc'], expect: reply, keep: reply },
    { argv: ['getent', 'hosts', 'test.lxc', 'web.lxc'], expect: /test\.lxc\s[\s\S]*web\.lxc/ },
    { title: '… and to each other.', argv: attach('web', 'ping', '-c1', 'test.lxc'), expect: reply, keep: reply },
    {
      title: `They reach the outside, which sees the host's address, ${uplink}.`,
      argv: attach('web', 'wget', '-qO-', `http://${INTERNET_NAME}/cgi-bin/whoami`),
      expect: new RegExp(`^you come from ${uplink.replaceAll('.', '\\.')}$`, 'm'),
    },
    { argv: ['nft', 'list', 'chain', 'inet', 'nethooks', 'postrouting'], expect: /masquerade/ },
    { argv: ['nft', 'list', 'set', 'inet', 'nethooks', 'subnets'], expect: /elements = / },
    { title: 'Once more changes nothing.', argv: ['nethooks', 'up'], expect: /^nothing to change$/m },
    { title: 'A container that is gone has no name.', argv: ['lxc-stop', 'test'] },
    { argv: ['lxc-destroy', 'test'] },
    { argv: ['getent', 'hosts', 'test.lxc'], code: 2 },
  ];
}

function installSteps({ checkout, runtime }: Source): Step[] {
  if (checkout === undefined) {
    return [
      { argv: ['nethooks', 'config', 'init'] },
      { argv: ['nethooks', 'up'], keep: /^(ip|iptables|start|change) / },
    ];
  }
  return [
    {
      argv: ['./install.sh', '--no-apt', ...(runtime === 'node' ? ['--runtime', 'node'] : [])],
      cwd: checkout,
      keep: /^(write \/etc\/network\/if-up|bring|br0 | {2}(\/etc|ip addr|iptables|start|change) ?)/,
    },
  ];
}
