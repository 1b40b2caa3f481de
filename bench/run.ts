/**
 * nethooks beside its peers, in one run on one throwaway host: `npm run bench`. What counts is the ratio; the milliseconds are those
 * of the machine and of the moment. Needs root, a built dist/, and the packages lxc, busybox-static, containernetworking-plugins.
 */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startThrowawayHost } from '../src/demo/throwaway.ts';

const checkout = fileURLToPath(new URL('..', import.meta.url));

/** What can be measured, each on a host of its own: `npm run bench -- growth burst`. */
export const GROUPS = ['times', 'growth', 'check', 'configure', 'down', 'burst'] as const;
export type Group = (typeof GROUPS)[number];

/** One line of the table: medians of `runs` runs, ours and the peer's taken in turn. */
export interface Row {
  what: string;
  peer: string;
  ours: number;
  theirs: number;
  runs: number;
  /** The ratio that the design allows; absent where nothing is asked. */
  target?: number;
  /** Default: ms of time. `ms CPU` is what everything on the host used, daemons included, and depends little on the machine's load. */
  unit?: 'ms' | 'ms CPU' | 'processes' | 'refused';
}

/** Room for thousands of containers, and DHCP, as install.sh would write it and as the peer has it. */
const CONFIG = `[network.br0]
address = 10.8.0.1/16
dhcp = 10.8.100.1-10.8.199.254
reserve = 10.8.0.2-10.8.99.254
`;

const words = process.argv.slice(2);
const runtime = words.find((word) => word === 'bun' || word === 'node') ?? 'bun';
const unknown = words.filter((word) => word !== runtime && !GROUPS.includes(word as Group));
if (unknown.length > 0) throw new Error(`${unknown.join(' ')}: allowed: bun, node, ${GROUPS.join(', ')}`);
const wanted = GROUPS.filter((group) => words.includes(group));

const rows: Row[] = [];
for (const group of wanted.length > 0 ? wanted : GROUPS) rows.push(...(await measure(group)));
print(rows);

async function measure(group: Group): Promise<Row[]> {
  const host = await startThrowawayHost({ dns: true });
  try {
    await host.run(['install', '-D', '/dev/stdin', '/etc/nethooks/nethooks.ini'], { input: CONFIG });
    const install = await host.run(['./install.sh', '--no-apt', '--runtime', runtime], { cwd: checkout });
    if (install.code !== 0) throw new Error(install.stdout + install.stderr);
    // What is written on a throwaway host is in memory, where pages are mapped more slowly. Ours comes from the disk, as the peers do.
    const built = join(checkout, 'dist', runtime === 'node' ? 'nethooks.cjs' : 'nethooks');
    await host.run(['ln', '-sf', built, '/usr/lib/nethooks/nethooks']);
    const inside = await host.run([process.execPath, 'bench/inside.ts', group], { cwd: checkout, timeoutMs: 400_000 });
    if (inside.code !== 0) throw new Error(inside.stdout + inside.stderr);
    process.stderr.write(inside.stderr);
    return JSON.parse(inside.stdout) as Row[];
  } finally {
    await host.close();
  }
}

function print(rows: Row[]): void {
  const cells = rows.map(({ what, peer, ours, theirs, runs, target, unit = 'ms' }) => {
    const amount = (value: number) => `${value.toFixed(unit.startsWith('ms') ? 1 : 0)} ${unit}`;
    const ratio = unit === 'refused' ? '' : (ours / theirs).toFixed(2);
    return [
      what,
      amount(ours),
      peer,
      amount(theirs),
      ratio,
      target === undefined ? '' : `<= ${target.toFixed(2)}`,
      String(runs),
    ];
  });
  const table = [['what', 'nethooks', 'peer', 'peer', 'ratio', 'target', 'runs'], ...cells];
  const widths = (table[0] ?? []).map((_, column) => Math.max(...table.map((row) => row[column]?.length ?? 0)));
  const line = (row: string[]) => `| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`;
  const rule = `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`;
  console.log([line(table[0] ?? []), rule, ...table.slice(1).map(line)].join('\n'));
}
