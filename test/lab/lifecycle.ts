/**
 * What LXC and a CNI runtime do around our hooks, without either: a container is a network namespace, a veth pair and a process with a
 * root of its own. That takes some ms instead of LXC's hundred, and each step can be killed or run two hundred times at once.
 */

import { fileURLToPath } from 'node:url';
import type { RunOptions } from '../../src/demo/enter.ts';
import type { ThrowawayHost } from '../../src/demo/throwaway.ts';
import { installCni } from './cni.ts';
import { installNethooks, sh } from './lab.ts';

/** The checkout can be read on a throwaway host. */
const FUNCTIONS = fileURLToPath(new URL('./lifecycle.sh', import.meta.url));

/** One network on which every kind of rule is in use: neighbours are kept apart, so published and linked ones have elements. */
const CONFIG = `[network.br0]
address = 10.0.0.1/22
dhcp = 10.0.3.100-10.0.3.200
reserve = 10.0.0.2-10.0.2.254
icc = false
dhcp-names = true
`;

/** Installs nethooks and its CNI plugins in the host. */
export async function installLifecycle(host: ThrowawayHost): Promise<void> {
  await installNethooks(host, { config: CONFIG });
  await installCni(host);
}

/** Runs a shell script in the host that uses the functions of lifecycle.sh; `$1` … are `args`. */
export const script = (
  host: ThrowawayHost,
  text: string,
  args: readonly string[] = [],
  options: RunOptions = {},
): Promise<string> => sh(host, `. ${FUNCTIONS}\n${text}`, args, options);

/** A configuration for `cni` of lifecycle.sh: our plugin on the network of LXC's containers. */
export const cniOnNetwork = (hostPort?: number): string =>
  JSON.stringify({ cniVersion: '1.0.0', name: 'ours', type: 'nethooks', network: 'br0', ...runtimeConfig(hostPort) });

/** The same in place of the stock plugin bridge, with a masquerade of its own. */
export const cniOnBridge = (): string =>
  JSON.stringify({
    cniVersion: '1.0.0',
    name: 'own',
    type: 'nethooks-bridge',
    bridge: 'cni9',
    isGateway: true,
    ipMasq: true,
    ipam: { type: 'host-local', subnet: '10.9.0.0/22', routes: [{ dst: '0.0.0.0/0' }] },
  });

const runtimeConfig = (hostPort?: number): object =>
  hostPort === undefined ? {} : { runtimeConfig: { portMappings: [{ hostPort, containerPort: 80, protocol: 'tcp' }] } };

/**
 * What nethooks has on the host, one line each, to compare before and after: links with their bridges, routes, nft, and the files
 * below /run/nethooks, /var/lib/nethooks and /var/lib/cni/networks with their content. Left out: locks, logs, round robin's memory, what
 * dnsmasq was told last, and what records say, as only their being there matters.
 */
export async function hostState(host: ThrowawayHost): Promise<string[]> {
  return parseState(await sh(host, STATE));
}

/** What {@link hostState} runs; for a script that does other things before. */
export const STATE = `
ip -o link | sed -E 's/^[0-9]+: ([^:@]+)[^:]*:.*( master [^ ]+).*/link \\1\\2/; s/^[0-9]+: ([^:@]+)[^:]*:.*/link \\1/'
ip -4 -o address | sed -E 's/^[0-9]+: +([^ ]+) +inet ([^ ]+).*/address \\1 \\2/'
ip route show table all | sed -E 's/ linkdown//; s/ +$//; s/^/route /'
cd /
dirs=; for dir in run/nethooks var/lib/nethooks var/lib/cni/networks; do [ ! -d $dir ] || dirs="$dirs $dir"; done
find $dirs -type f ! -path '*/told/*' \\( -empty -o -name '*.json*' \\)
grep -rsH '' --exclude='*.json*' --exclude-dir=told $dirs || true
echo '== nft'
nft -s list ruleset
`;

/** See {@link STATE}. */
export function parseState(listing: string): string[] {
  const [lines = '', ruleset = ''] = listing.split('== nft\n');
  const kept = lines.split('\n').filter((line) => line !== '' && !IGNORED.test(line));
  return [...new Set([...kept, ...rulesOf(ruleset)])].sort();
}

const IGNORED =
  /^(route .*\b(fe80|ff00):|run\/nethooks\/(config\.json|lock)|[^:]*\/(last_reserved_ip\.|lock\b|install\/)|[^:]*\.leases\b)/;

/** Each element and each rule on a line of its own, with table and chain: their order in a set says nothing. */
function rulesOf(ruleset: string): string[] {
  const found: string[] = [];
  let table = '';
  let block = '';
  const flat = ruleset.replaceAll(/elements = \{([^}]*)\}/g, (_, list: string) =>
    list
      .split(',')
      .map((element) => `element ${element.trim().replaceAll(/\s+/g, ' ')}`)
      .join('\n'),
  );
  for (const raw of flat.split('\n')) {
    const line = raw.trim();
    if (line.startsWith('table ')) table = line.replace(/ \{$/, '');
    else if (/^(set|map|chain) /.test(line)) block = line.replace(/ \{$/, '');
    else if (line !== '' && line !== '}' && !line.startsWith('#')) found.push(`nft ${table} ${block}: ${line}`);
  }
  return found;
}

/** What is in one and not in the other, as a diff without context: `-` is missing, `+` is left over. */
export const difference = (before: readonly string[], after: readonly string[]): string[] => [
  ...before.filter((line) => !after.includes(line)).map((line) => `- ${line}`),
  ...after.filter((line) => !before.includes(line)).map((line) => `+ ${line}`),
];
