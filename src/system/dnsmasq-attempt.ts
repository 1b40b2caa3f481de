/** Starts a dnsmasq to see whether it can be started, where it meets nobody: in a network and a PID namespace of its own. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { RUN } from '../model/paths.ts';
import { execWithin } from './exec.ts';

const LIMIT_MS = 5_000;
/** What it would share with the one that runs, or that may not be there yet. The lines stay, so that their numbers do. */
const ELSEWHERE =
  /^(?:pid-file|conf-file|hostsdir|dhcp-hostsdir|dhcp-optsdir|dhcp-leasefile|dhcp-script|resolv-file)=.*$/gm;

/**
 * @param conf its configuration
 * @returns what it said if it did not start, and the line that it named; null when it did, or when nobody can tell
 */
export function attemptDnsmasq(conf: string): { words: string; line: number | null } | null {
  if (process.getuid?.() !== 0) return null;
  mkdirSync(RUN, { recursive: true, mode: 0o755 });
  const directory = mkdtempSync(join(RUN, '.dnsmasq-'));
  try {
    const file = join(directory, 'conf');
    const own = [`pid-file=${directory}/pid`, `dhcp-leasefile=${directory}/leases`].join('\n');
    writeFileSync(file, `${conf.replace(ELSEWHERE, '')}\n${own}\n`);
    // It is the first process there: when it goes to the background, as a sign that it has started, the kernel ends all others.
    const result = execWithin(LIMIT_MS)('unshare', ['--net', '--pid', '--fork', '--', 'dnsmasq', '-C', file]);
    if (result.code === 0) return null;
    const [, said = ''] = /^dnsmasq: (.*)$/m.exec(result.stderr) ?? [];
    const [, words = said, line] = /^(.*?) at line (\d+) of \S+$/.exec(said) ?? [];
    return said === '' ? null : { words, line: line === undefined ? null : Number(line) };
  } catch {
    return null; // it is not installed, or hangs: whoever starts it in earnest says so
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
