/** Two hundred starts at one moment, each with a published port: how many are refused, and what all take together. */
import type { Row } from './run.ts';
import { cpuOf, must, OUR_CONFIG, portMapping, STOCK_CONFIG } from './tools.ts';

const SIZE = 200;

/** The functions that start one (test/lab/burst.sh, and below for the peer). */
interface Way {
  kind: 'LXC' | 'CNI';
  start: string;
  stop: string;
  config: string;
}

const withPort = (config: string): string => JSON.stringify({ ...JSON.parse(config), ...portMapping(10000) });
const LXC: Way = { kind: 'LXC', start: 'start_one', stop: 'stop_one', config: withPort(OUR_CONFIG) };
const CNI: Way = { ...LXC, kind: 'CNI' };
const STOCK: Way = { kind: 'CNI', start: 'start_stock', stop: 'stop_stock', config: withPort(STOCK_CONFIG) };

/** The peer's two plugins, as a runtime calls them: the second gets the first one's result. */
const FUNCTIONS = `
. test/lab/lifecycle.sh
. test/lab/burst.sh
# portmap's is the same configuration with another type, and the result of bridge in it.
chained() { # NUMBER RESULT
  all=$(config "$1")
  printf '%s"type":"portmap"%s,"prevResult":%s}' "\${all%%'"type":"bridge"'*}" "$(rest=\${all#*'"type":"bridge"'}; printf %s "\${rest%?}")" "$2"
}
start_stock() {
  result=$(cni ADD "$1" "$(config "\${1#c}")" /usr/lib/cni/bridge) || { echo "$result"; return 1; }
  echo $result >"/srv/$1.result"
  cni ADD "$1" "$(chained "\${1#c}" "$result")" /usr/lib/cni/portmap >"/srv/$1.error" || { cat "/srv/$1.error"; return 1; }
}
stop_stock() {
  read -r result <"/srv/$1.result"
  cni DEL "$1" "$(chained "\${1#c}" "$result")" /usr/lib/cni/portmap
  cni DEL "$1" "$(config "\${1#c}")" /usr/lib/cni/bridge
}
`;

/** @returns one line for each that was refused, and at last the ms that all took */
const call = ({ kind, config }: Way, what: string): string[] =>
  must(['sh', '-euc', `${FUNCTIONS}\n${what}`], {
    env: { kind, size: String(SIZE), ports: 'true', CNI_CONFIG: config },
  })
    .trim()
    .split('\n');

interface Outcome {
  refused: number;
  elapsed: number;
  cpu: number;
}

function outcome(way: Way, work: string): Outcome {
  let lines: string[] = [];
  const cpu = cpuOf(() => {
    lines = call(way, `at_once ${work}`);
  });
  for (const line of lines.slice(0, -1).slice(0, 2)) console.error(`${work}: ${line}`);
  return { refused: lines.length - 1, elapsed: Number(lines.at(-1)), cpu };
}

function startAndStop(way: Way): { starts: Outcome; stops: Outcome } {
  call(way, 'prepare');
  const starts = outcome(way, way.start);
  call(way, 'vanish');
  const stops = outcome(way, way.stop);
  call(way, 'clear');
  return { starts, stops };
}

export function burst(): Row[] {
  must(['install', '-D', 'hooks/cni', '/opt/cni/bin/nethooks']);
  // Start-hosts last: a port of one that was refused may stay taken.
  const [cni, stock, lxc] = [startAndStop(CNI), startAndStop(STOCK), startAndStop(LXC)];
  const rows = (what: string, peer: string, ours: Outcome, theirs: Outcome): Row[] => [
    { what, peer, ours: ours.refused, theirs: theirs.refused, unit: 'refused', target: 0, runs: 1 },
    { what, peer, ours: ours.cpu, theirs: theirs.cpu, unit: 'ms CPU', target: 1, runs: 1 },
    { what, peer, ours: ours.elapsed, theirs: theirs.elapsed, runs: 1 },
  ];
  const peer = (verb: string) => `CNI bridge + host-local + portmap ${verb}`;
  return [
    ...rows(`${SIZE} start-hosts with a port at once`, peer('ADD'), lxc.starts, stock.starts),
    ...rows(`${SIZE} CNI ADDs with a port at once`, peer('ADD'), cni.starts, stock.starts),
    ...rows(`${SIZE} post-stops at once`, peer('DEL'), lxc.stops, stock.stops),
    ...rows(`${SIZE} CNI DELs at once`, peer('DEL'), cni.stops, stock.stops),
  ];
}
