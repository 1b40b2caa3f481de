/**
 * Thousands of other containers in seconds: one is really started, and what that left on the host (files, elements in nftables) is copied
 * with another name, address, MAC and port. So they are what our records and stores make of them, whatever their layout.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import {
  cniCall,
  hookCall,
  must,
  namespace,
  OUR_CONFIG,
  OUR_PLUGIN,
  portMapping,
  STOCK_CONFIG,
  STOCK_PLUGIN,
  veth,
} from './tools.ts';

const KEPT_IN = ['/run/nethooks', '/var/lib/nethooks', '/var/lib/cni/networks'];

/** Something to copy, as text in which the model's name, address, MAC and port stand. */
interface Thing {
  path: string | null;
  text: string;
  mode: number;
}

interface Model {
  things: Thing[];
  /** What the texts say of number `index` where they say something of the model. */
  substitute: (text: string, index: number) => string;
}

const nameOf = (index: number): string => `model${String(index).padStart(4, '0')}`;
/** 10.8.48.1 and on, apart from what the benchmark's own containers get. */
const addressOf = (index: number, prefix: string): string =>
  `${prefix}.${48 + ((index + 1) >> 8)}.${(index + 1) & 255}`;
const portOf = (index: number): number => 20000 + index;
const hex = (value: number): string => value.toString(16).padStart(2, '0');

let models: Model[] | null = null;
let made = 1;

/** Brings the number of others to `count`: half of them LXC's, half CNI's, each with a name and a published port. */
export function growOurs(count: number): void {
  models ??= [observe(0, startLxc), observe(1, addCni)];
  const elements: string[] = [];
  for (made = Math.max(made, models.length); made < count; made++) {
    const { things, substitute } = models[made % models.length] as Model;
    // Alive as their model is: LXC's by its process, CNI's by its namespace.
    if (made % models.length === 1) symlinkSync(`/run/netns/${nameOf(1)}`, `/run/netns/${nameOf(made)}`);
    for (const { path, text, mode } of things) {
      if (path === null) elements.push(substitute(text, made));
      else write(substitute(path, made), substitute(text, made), mode);
    }
  }
  if (elements.length > 0) must(['nft', '-j', '-f', '-'], { input: `{"nftables":[${elements.join()}]}` });
}

function startLxc(index: number): void {
  veth(nameOf(index), `02:6e:0b:00:00:${hex(index)}`, 'model');
  const { argv, options } = hookCall('start-host', nameOf(index), [
    '--publish',
    `${portOf(index)}:80`,
    '--address',
    addressOf(index, '10.8'),
  ]);
  must(argv, options);
}

function addCni(index: number): void {
  namespace(nameOf(index));
  const config = JSON.stringify({ ...JSON.parse(OUR_CONFIG), ...portMapping(portOf(index)) });
  const { argv, options } = cniCall('ADD', nameOf(index), OUR_PLUGIN, config);
  must(argv, { ...options, env: { ...options.env, CNI_ARGS: `IP=${addressOf(index, '10.8')}` } });
}

/** What a start leaves on the host. */
function observe(index: number, start: (index: number) => void): Model {
  const files = new Map(listFiles().map((file) => [file.path, file.text]));
  const elements = new Set(listElements());
  start(index);
  const mac = must(['ip', '-n', nameOf(index), '-br', 'link', 'show', 'eth0']).split(/\s+/)[2] as string;
  const own: [RegExp, (index: number) => string][] = [
    [new RegExp(nameOf(index), 'g'), nameOf],
    [new RegExp(`\\b${addressOf(index, '10.8').replaceAll('.', '\\.')}\\b`, 'g'), (other) => addressOf(other, '10.8')],
    [new RegExp(`\\b${portOf(index)}\\b`, 'g'), (other) => String(portOf(other))],
    [new RegExp(mac, 'g'), (other) => `${mac.slice(0, 11)}:${hex(other >> 8)}:${hex(other & 255)}`],
  ];
  const isOwn = (text: string): boolean => own.some(([pattern]) => text.search(pattern) >= 0);
  const things = listFiles().filter(({ path, text }) => {
    const before = files.get(path);
    if (before === text) return false;
    // A list that grows: not seen so far, and then to be copied line by line.
    if (before !== undefined && isOwn(text)) throw new Error(`bench/others.ts cannot multiply ${path}`);
    return isOwn(`${path} ${text}`);
  });
  const added = listElements().filter((text) => !elements.has(text) && isOwn(text));
  return {
    things: [...things, ...added.map((text) => ({ path: null, text, mode: 0 }))],
    substitute: (text, other) =>
      own.reduce((result, [pattern, value]) => result.replaceAll(pattern, value(other)), text),
  };
}

function listFiles(): { path: string; text: string; mode: number }[] {
  return KEPT_IN.filter((directory) => existsSync(directory)).flatMap((directory) =>
    readdirSync(directory, { recursive: true, encoding: 'utf8' }).flatMap((name) => {
      const path = join(directory, name);
      const about = statSync(path, { throwIfNoEntry: false });
      return about?.isFile() ? [{ path, text: readFileSync(path, 'utf8'), mode: about.mode & 0o777 }] : [];
    }),
  );
}

function write(path: string, text: string, mode: number): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text, { mode });
}

/** Each element of a set or map of nftables as the JSON command that adds it: libnftables-json(5). */
function listElements(): string[] {
  const { nftables } = JSON.parse(must(['nft', '-j', 'list', 'ruleset'])) as {
    nftables: Record<string, { family: string; table: string; name: string; elem?: unknown[] } | undefined>[];
  };
  return nftables.flatMap((one) => {
    const { family, table, name, elem = [] } = one.set ?? one.map ?? { family: '', table: '', name: '' };
    return elem.map((element) => JSON.stringify({ add: { element: { family, table, name, elem: [element] } } }));
  });
}

let theirs = 0;

/** The same for the peer: an address of host-local's, and the chain in which bridge masquerades it, as libcni's runtimes leave them. */
export function growTheirs(count: number): void {
  const lines: string[] = [];
  for (; theirs < count; theirs++) {
    const address = addressOf(theirs, '10.77');
    write(`/var/lib/cni/networks/peer/${address}`, `${nameOf(theirs)}\r\neth0`, 0o600);
    const chain = `CNI-${hex(theirs).padStart(24, '0')}`;
    const comment = `-m comment --comment "name: \\"peer\\" id: \\"${nameOf(theirs)}\\""`;
    lines.push(
      `:${chain} - [0:0]`,
      `-A ${chain} -d 10.77.0.0/16 ${comment} -j ACCEPT`,
      `-A ${chain} ! -d 224.0.0.0/4 ${comment} -j MASQUERADE`,
      `-A POSTROUTING -s ${address}/32 ${comment} -j ${chain}`,
    );
  }
  const restored = [...lines.filter((line) => line.startsWith(':')), ...lines.filter((line) => !line.startsWith(':'))];
  if (lines.length > 0) must(['iptables-restore', '--noflush'], { input: `*nat\n${restored.join('\n')}\nCOMMIT\n` });
}

/** Has the peer make its bridge and its own chains first. */
export function startTheirs(): void {
  namespace('first');
  const { argv, options } = cniCall('ADD', 'first', STOCK_PLUGIN, STOCK_CONFIG);
  must(argv, options);
}
