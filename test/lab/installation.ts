/** What tests of an installation look at: every file that it could touch. */
import { resolve } from 'node:path';
import type { ThrowawayHost } from '../../src/demo/throwaway.ts';
import { sh } from './host.ts';
import { snapshot } from './snapshot.ts';

/** What is in a release, besides the sources. */
const RELEASE = ['install.sh', 'build.mjs', 'package.json', 'docs', 'hooks', 'templates', 'dist'];

/** Puts a release of this checkout into /root/release of the host. */
export async function copyRelease(host: ThrowawayHost): Promise<void> {
  await sh(
    host,
    'mkdir /root/release && cp -a "$@" /root/release',
    RELEASE.map((path) => resolve(path)),
  );
}

/** Every file that could be touched: type, mode, owner, content, and of those that are not ours the time of change. */
export const installedFiles = (host: ThrowawayHost): Promise<string> =>
  sh(
    host,
    `cd /
list() { find $places -xdev ! -path run/xtables.lock ! -path 'run/internet*' ! -path 'run/lxc*' "$@" 2>/dev/null || true; }
places='etc usr/lib/nethooks usr/sbin/nethooks usr/lib/systemd/system usr/share/man/man5 usr/share/man/man8 usr/local/lib/nethooks usr/local/lib/systemd usr/local/sbin usr/local/share/man run
var/lib/nethooks var/lib/cni var/log/nethooks opt/nethooks'
list -type f -exec sha256sum {} + | sort
list -printf '%p %y %m %U:%G %l\\n' | sort
places='etc usr/lib/systemd/system'
list -type f -printf '%p %T@\\n' | grep -v -e etc/resolv.conf -e etc/lxc/default.conf | sort`,
  );

/** The same with the host's network state. */
export const wholeState = async (host: ThrowawayHost): Promise<string> =>
  `${await installedFiles(host)}\n${await snapshot(host, [])}`;

/** The lines in which two states differ. */
export function difference(old: string, now: string): string {
  const [gone, come] = [old.split('\n'), now.split('\n')];
  const [there, then] = [new Set(come), new Set(gone)];
  return [
    ...gone.filter((line) => !there.has(line)).map((line) => `- ${line}`),
    ...come.filter((line) => !then.has(line)).map((line) => `+ ${line}`),
  ].join('\n');
}

/** Of a state, the content of the files that an installation consists of: when they were written does not matter. */
export const contents = (state: string): string =>
  state
    .split('\n')
    .filter((line) => /^[0-9a-f]{64} /.test(line) && !/var\/(lib|log)\/nethooks|run\/nethooks/.test(line))
    .join('\n');
