/**
 * Calls plugins as rkt 1.30 does (rkt, networking/{networking,net_plugin}.go): its directories, its order, the file's bytes unchanged,
 * its environment, results read as 0.2. rkt itself is no more in Debian.
 */
import type { ThrowawayHost } from '../../src/demo/throwaway.ts';
import { must, sh } from './host.ts';

/** In this order; the last one is what rkt brings itself, where the tests put the stock plugins. */
export const RKT_PLUGINS = ['/etc/rkt/net.d', '/usr/lib/rkt/plugins/net', '/usr/lib/cni'];

/** What rkt's stage1 brings, as the seed of this project quotes it. */
const BUILT_IN = [
  '{"cniVersion":"0.1.0","name":"default","type":"ptp","ipMasq":true,"ipam":{"type":"host-local","subnet":"172.16.28.0/24","routes":[{"dst":"0.0.0.0/0"}]}}',
  '{"cniVersion":"0.1.0","name":"default-restricted","type":"ptp","ipMasq":false,"ipam":{"type":"host-local","subnet":"172.17.0.0/16"}}',
];

export interface RktNet {
  readonly name: string;
  readonly ifname: string;
  /** The file's bytes. */
  readonly text: string;
  readonly args: string;
  /** As rkt reads it; it takes no other form. */
  readonly result: {
    ip4: { ip: string; gateway?: string; routes?: { dst: string; gw?: string }[] };
    dns: Record<string, unknown>;
  };
}

export interface RktPod {
  readonly uuid: string;
  /** Name of its network namespace. */
  readonly netns: string;
  readonly nets: RktNet[];
}

/** The networks in rkt's order: files by name, the first of a name counts, then those that rkt brings. */
async function load(host: ThrowawayHost): Promise<{ name: string; type: string; text: string }[]> {
  const listing = await sh(
    host,
    'for file in /etc/rkt/net.d/*.conf; do [ -f "$file" ] || continue; base64 -w0 "$file"; echo; done',
    [],
    { env: { LC_ALL: 'C' } },
  );
  const files = listing
    .split('\n')
    .filter(Boolean)
    .map((line) => Buffer.from(line, 'base64').toString('utf8'));
  const found = new Map<string, { name: string; type: string; text: string }>();
  for (const text of [...files, ...BUILT_IN]) {
    const { name, type } = JSON.parse(text);
    if (!found.has(name)) found.set(name, { name, type, text });
  }
  return [...found.values()];
}

/**
 * `rkt run --net=…`: networks that are named, with arguments behind a colon (`n1:IP=1.2.3.4`), and default-restricted when `default` is not
 * among them.
 */
export async function rktRun(host: ThrowawayHost, uuid: string, wanted: readonly string[]): Promise<RktPod> {
  const asked = new Map(wanted.map((word) => [word.split(':')[0] as string, word.split(':')[1] ?? '']));
  if (!asked.has('default')) asked.set('default-restricted', '');
  const netns = `cni-${uuid}`;
  await must(host, ['ip', 'netns', 'add', netns]);
  const nets: RktNet[] = [];
  try {
    for (const { name, text } of (await load(host)).filter((net) => asked.has(net.name))) {
      const net = { name, text, args: asked.get(name) ?? '', ifname: `eth${nets.length}` };
      const output = await call(host, 'ADD', uuid, netns, net);
      nets.push({ ...net, result: JSON.parse(output) });
    }
  } catch (error) {
    await rktGc(host, { uuid, netns, nets });
    throw error;
  }
  const missing = [...asked.keys()].filter((name) => !nets.some((net) => net.name === name));
  if (missing.length > 0) throw new Error(`networks not found: ${missing.join(', ')}`);
  return { uuid, netns, nets };
}

/** `rkt gc`: the networks in reverse, then the namespace. */
export async function rktGc(host: ThrowawayHost, { uuid, netns, nets }: RktPod): Promise<void> {
  for (const net of [...nets].reverse()) await call(host, 'DEL', uuid, netns, net);
  await must(host, ['ip', 'netns', 'del', netns]);
}

async function call(
  host: ThrowawayHost,
  command: string,
  uuid: string,
  netns: string,
  net: Omit<RktNet, 'result'>,
): Promise<string> {
  const { type } = JSON.parse(net.text);
  const env = {
    CNI_VERSION: '0.1.0',
    CNI_COMMAND: command,
    CNI_CONTAINERID: uuid,
    CNI_NETNS: `/var/run/netns/${netns}`,
    CNI_ARGS: net.args,
    CNI_IFNAME: net.ifname,
    CNI_PATH: RKT_PLUGINS.join(':'),
  };
  const script = 'for plugin; do [ -x "$plugin" ] && exec "$plugin"; done; echo "no plugin" >&2; exit 1';
  return sh(
    host,
    script,
    RKT_PLUGINS.map((directory) => `${directory}/${type}`),
    { env, input: net.text, timeoutMs: 60_000 },
  );
}
