import { fileURLToPath } from 'node:url';
import type { ThrowawayHost } from '../../src/demo/throwaway.ts';
import { must, sh } from './host.ts';

const SHIM = fileURLToPath(new URL('../../hooks/cni', import.meta.url));
/** Where {@link installCni} puts our plugins. */
export const PLUGINS = '/opt/cni/bin';
/** Where Debian has the stock ones. */
export const STOCK_PLUGINS = '/usr/lib/cni';

const NAMES = ['nethooks', 'nethooks-bridge', 'nethooks-ptp', 'nethooks-macvlan', 'nethooks-ipvlan', 'nethooks-dns'];

/** Puts our plugins beside the stock ones, on a host where nethooks is installed. */
export async function installCni(host: ThrowawayHost): Promise<void> {
  await sh(host, 'shim=$1; shift; for name; do install -D -m 755 "$shim" "$name"; done', [
    SHIM,
    ...NAMES.map((name) => `${PLUGINS}/${name}`),
  ]);
}

// biome-ignore lint/suspicious/noExplicitAny: a plugin may answer anything, and tests look at it
type Json = any;

export interface CniCall {
  /** Default: `pod`. */
  readonly id?: string;
  /** Path of the namespace, or its name. Default: the id. */
  readonly netns?: string;
  readonly ifname?: string;
  readonly args?: string;
  /** Default: the file that the configuration's `type` names, ours before the stock ones. */
  readonly path?: string;
  /** More environment; an empty value is passed as it is. */
  readonly env?: Readonly<Record<string, string>>;
  /** Default: 30 000 ms. */
  readonly timeoutMs?: number;
}

export interface CniAnswer {
  readonly code: number;
  /** What it printed, parsed; null for nothing. */
  readonly json: Json;
  readonly stdout: string;
  readonly stderr: string;
}

/** Calls a plugin as a runtime does. `conf` is an object, or the bytes themselves. */
export async function callCni(
  host: ThrowawayHost,
  command: string,
  conf: object | string,
  call: CniCall = {},
): Promise<CniAnswer> {
  const { id = 'pod', ifname = 'eth0', args = '', path = `${PLUGINS}:${STOCK_PLUGINS}` } = call;
  const netns = call.netns ?? id;
  const type = typeof conf === 'string' ? 'nethooks' : String((conf as { type?: string }).type);
  const program = path.split(':').map((directory) => `${directory}/${type}`);
  const env = {
    CNI_COMMAND: command,
    CNI_CONTAINERID: id,
    CNI_NETNS: netns === '' || netns.startsWith('/') ? netns : `/run/netns/${netns}`,
    CNI_IFNAME: ifname,
    CNI_ARGS: args,
    CNI_PATH: path,
    ...call.env,
  };
  const input = typeof conf === 'string' ? conf : JSON.stringify(conf);
  const argv = ['sh', '-c', 'for program; do [ -x "$program" ] && exec "$program"; done; exit 127', 'sh', ...program];
  const { code, stdout, stderr } = await host.run(argv, { env, input, timeoutMs: call.timeoutMs ?? 30_000 });
  return { code, json: stdout.trim() === '' ? null : JSON.parse(stdout), stdout, stderr };
}

/** The same, and it must succeed. Returns what it printed, parsed. */
export async function mustCni(
  host: ThrowawayHost,
  command: string,
  conf: object | string,
  call: CniCall = {},
): Promise<Json> {
  const { code, json, stdout, stderr } = await callCni(host, command, conf, call);
  if (code !== 0) throw new Error(`${command} ended with ${code}: ${stdout}${stderr}`);
  return json;
}

/** Makes named network namespaces, with their loopback up. */
export async function addNamespaces(host: ThrowawayHost, names: readonly string[]): Promise<void> {
  await sh(host, 'for name; do ip netns add "$name"; ip -n "$name" link set lo up; done', names);
}

/** Runs a command in a named network namespace of the host. */
export function inNamespace(host: ThrowawayHost, name: string, argv: readonly string[]): Promise<string> {
  return must(host, ['nsenter', `--net=/run/netns/${name}`, '--', ...argv]);
}

/** What plugins leave on a host: links, addresses of the store, records, names, elements of our table. */
export function cniState(host: ThrowawayHost): Promise<string> {
  return sh(host, LIST);
}

const LIST = `
ip -br link | cut -d' ' -f1 | sort
find /var/lib/cni /run/nethooks/attachments /run/nethooks/names -type f ! -name 'last_reserved_ip*' ! -name lock 2>/dev/null | sort || true
nft list table inet nethooks 2>/dev/null | tr -d '\\n' | grep -o 'set masqueraded6\\? {[^}]*elements[^}]*}' || true
ip route | grep veth || true
`;
