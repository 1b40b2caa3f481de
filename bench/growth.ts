/** What a start or a stop costs as others become many: CPU time and processes, which depend little on the machine's load. */
import { writeFileSync } from 'node:fs';
import { growOurs, growTheirs, startTheirs } from './others.ts';
import type { Row } from './run.ts';
import {
  type Call,
  cniCall,
  cpuOf,
  hookCall,
  median,
  must,
  namespace,
  OUR_CONFIG,
  OUR_PLUGIN,
  processesOf,
  run,
  STOCK_CONFIG,
  STOCK_PLUGIN,
  time,
  type Verb,
  veth,
} from './tools.ts';

const OTHERS = [1, 1000, 4000];
const RUNS = 15;
/** What CPU time may grow by, from one other to thousands. */
const FLAT = 1.2;

/** Calls that follow one another, each with its name and what it is compared with. */
interface Step {
  what: string;
  peer: string;
  ours: Call;
  theirs: Call;
}

export function growth(): Row[] {
  veth('bench');
  namespace('plugin');
  namespace('peer');
  startTheirs();
  const stock = (verb: Verb) => cniCall(verb, 'peer', STOCK_PLUGIN, STOCK_CONFIG);
  const ours = (verb: Verb) => cniCall(verb, 'plugin', OUR_PLUGIN, OUR_CONFIG);
  const steps: Step[] = [
    {
      what: 'start-host',
      peer: 'ADD',
      ours: hookCall('start-host', 'bench'),
      theirs: stock('ADD'),
    },
    { what: 'post-stop', peer: 'DEL', ours: hookCall('post-stop', 'bench'), theirs: stock('DEL') },
    { what: 'CNI ADD', peer: 'ADD', ours: ours('ADD'), theirs: stock('ADD') },
    { what: 'CNI DEL', peer: 'DEL', ours: ours('DEL'), theirs: stock('DEL') },
  ];
  for (const { ours } of steps) must(ours.argv, ours.options); // the address is sticky from now on
  const rows: Row[] = [];
  const alone = new Map<string, number>();
  for (const count of OTHERS) {
    growOurs(count);
    growTheirs(count);
    const costs = steps.map(() => ({ ours: [] as number[], theirs: [] as number[] }));
    for (let round = 0; round <= RUNS; round++)
      steps.forEach((step, index) => {
        const pair = [cost(step.ours), cost(step.theirs)] as const;
        if (round === 0) return; // the first after a change of the host
        costs[index]?.ours.push(pair[0]);
        costs[index]?.theirs.push(pair[1]);
      });
    steps.forEach(({ what, peer }, index) => {
      const [mine, stocks] = [median(costs[index]?.ours ?? []), median(costs[index]?.theirs ?? [])];
      const base = { ours: mine, runs: RUNS, unit: 'ms CPU' as const };
      rows.push({
        ...base,
        what: `${what}, ${others(count)}`,
        peer: `CNI bridge + host-local ${peer}`,
        theirs: stocks,
      });
      if (count === 1) alone.set(what, mine);
      else
        rows.push({
          ...base,
          what: `${what}, ${others(count)}`,
          peer: 'beside 1',
          theirs: alone.get(what) ?? Number.NaN,
          target: FLAT,
        });
    });
  }
  for (const { what, peer, ours, theirs } of steps)
    rows.push({
      what,
      peer: `CNI bridge + host-local ${peer}`,
      ours: processesOf(ours.argv, ours.options),
      theirs: processesOf(theirs.argv, theirs.options),
      runs: 1,
      unit: 'processes',
    });
  return rows;
}

const cost = ({ argv, options }: Call): number => cpuOf(() => must(argv, options));
const others = (count: number): string => `${count.toLocaleString('en')} other${count === 1 ? '' : 's'}`;

/** What a look of the timer may cost, in ms of CPU. */
const CHECK_LIMIT = 100;

/** Looks of nethooks-check.timer at a host where nothing is missing. */
export function check(): Row[] {
  const runs = 7;
  return [1, 100, 1000].map((count) => {
    growOurs(count);
    addPorts(count);
    const argv = ['/usr/lib/nethooks/nethooks', 'hook', 'check', 'timer'];
    const look = () => cpuOf(() => must(argv, { env: { BUN_JSC_useJIT: '0' } }));
    look();
    const ours = median(Array.from({ length: runs }, look));
    const what = `look of the timer, ${count.toLocaleString('en')} container${count === 1 ? '' : 's'}`;
    return { what, peer: 'limit', ours, theirs: CHECK_LIMIT, target: 1, runs, unit: 'ms CPU' };
  });
}

/** Those that {@link growOurs} makes have none. */
let ports = 0;
function addPorts(count: number): void {
  namespace('ports');
  const lines: string[] = [];
  for (; ports < count; ports++)
    lines.push(`link add p${ports} type veth peer name e${ports} netns ports`, `link set p${ports} master br0 up`);
  writeFileSync('/tmp/ports', `${lines.join('\n')}\n`);
  must(['ip', '-batch', '/tmp/ports']);
}

/** A change of one running container beside many. */
export function configure(): Row[] {
  veth('bench');
  must(['install', '-D', '/tmp/bench.config', '/var/lib/lxc/bench/config']); // where `configure` looks for containers
  const { argv, options } = hookCall('start-host', 'bench');
  must(argv, options);
  let alias = 0;
  const measure = () =>
    median(
      Array.from({ length: 8 }, () =>
        cpuOf(() => must(['nethooks', 'configure', 'bench', '--aliases', `alias${++alias}`])),
      ).slice(1),
    );
  growOurs(1);
  const alone = measure();
  growOurs(1000);
  const row = { what: 'configure NAME, 1,000 others', peer: 'beside 1', ours: measure(), theirs: alone, runs: 7 };
  return [{ ...row, target: FLAT, unit: 'ms CPU' }];
}

const LXC_NET = '/usr/libexec/lxc/lxc-net';
const NETWORKS = 50;

/** Taking fifty networks down, beside taking one of LXC's down fifty times. */
export function down(): Row[] {
  must(['nethooks', 'down']);
  const networks = Array.from(
    { length: NETWORKS },
    (_, index) => `[network.nb${index}]\naddress = 10.${100 + index}.0.1/24\n`,
  );
  writeFileSync('/etc/nethooks/nethooks.ini', networks.join(''));
  const runs = 3;
  const values = Array.from({ length: runs }, () => {
    must(['nethooks', 'up']);
    let elapsed = 0;
    const cpu = cpuOf(() => {
      elapsed = time(['nethooks', 'down']);
    });
    return { cpu, elapsed };
  });
  const stops = Array.from({ length: 10 }, () => {
    run([LXC_NET, 'stop']);
    must([LXC_NET, 'start']);
    let elapsed = 0;
    const cpu = cpuOf(() => {
      elapsed = time([LXC_NET, 'stop']);
    });
    return { cpu, elapsed };
  });
  const common = { what: `nethooks down, ${NETWORKS} networks`, peer: `${NETWORKS} x lxc-net stop`, target: 1, runs };
  const of = (list: typeof values, key: 'cpu' | 'elapsed') => median(list.map((one) => one[key]));
  return [
    { ...common, ours: of(values, 'elapsed'), theirs: NETWORKS * of(stops, 'elapsed') },
    { ...common, ours: of(values, 'cpu'), theirs: NETWORKS * of(stops, 'cpu'), unit: 'ms CPU' },
  ];
}
