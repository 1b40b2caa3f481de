/**
 * Kills nethooks where it changes something, without its help: strace(1) delivers SIGKILL at the k-th call of a kind (-e inject), and
 * a program of ours in front of the real one kills its parent when it is started. Needs the package strace.
 */
import type { ThrowawayHost } from '../../src/demo/throwaway.ts';
import { sh, writeFile } from './host.ts';

const EXECUTABLE = '/usr/lib/nethooks/nethooks';
const TRACE = '/srv/trace';
const KILLED = '/srv/killed';

/** System calls by which something outside the process changes, or a program begins. */
const CALLS = [
  ...['openat', 'write', 'pwrite64', 'rename', 'renameat', 'renameat2', 'link', 'linkat', 'unlink', 'unlinkat'],
  ...['mkdir', 'mkdirat', 'rmdir', 'symlinkat', 'ftruncate', 'kill', 'fork', 'vfork', 'clone', 'clone3'],
];

/** Where to kill: before the `nth` call of this kind. */
export interface Point {
  readonly call: string;
  readonly nth: number;
  /** The call with its arguments, for messages. */
  readonly text: string;
}

/**
 * Puts a script in the executable's place that runs it under strace when KILL_AT says where, and lists its calls when KILL_AT is
 * `nowhere`; else the executable itself takes over. strace is its grandchild (-D), so its parent finds the pid that it expects; it follows
 * no children, so those live on when it is killed.
 */
export async function installKiller(host: ThrowawayHost): Promise<void> {
  await sh(
    host,
    `command -v strace >/dev/null || { echo 'strace is missing: apt install strace' >&2; exit 1; }
    mv ${EXECUTABLE} ${EXECUTABLE}.real`,
  );
  await writeFile(host, EXECUTABLE, KILLER, '755');
  for (const program of LATE) await writeFile(host, `/usr/local/sbin/${program}`, LATE_PROGRAM, '755');
}

const KILLER = `#!/bin/sh
case \${KILL_AT-} in
  '') exec ${EXECUTABLE}.real "$@" ;;
  nowhere) exec strace -D -y -s 300 -o ${TRACE} -e trace=${CALLS.join()} ${EXECUTABLE}.real "$@" ;;
  *) exec strace -D -o ${KILLED} -e trace="\${KILL_AT%%:*}" -e inject="$KILL_AT" ${EXECUTABLE}.real "$@" ;;
esac
`;

/** Prints `was killed` if the last run with KILL_AT met its point; for a shell script. strace writes its last line after the process has ended. */
export const WAS_KILLED = `
if [ -n "$KILL_AT" ] && [ "$KILL_AT" != nowhere ]; then
  until grep -q '^+++' ${KILLED}; do sleep 0.005; done
  ! grep -q '^+++ killed by SIGKILL' ${KILLED} || echo 'was killed'
  rm ${KILLED}
fi
`;

/** The value of KILL_AT for a point. */
export const killAt = ({ call, nth }: Point): string => `${call}:signal=KILL:when=${nth}`;

/**
 * The points of the last run with KILL_AT=nowhere, in order. Calls that change nothing outside of the process are left out: files that are
 * only read, output, threads.
 */
export async function tracedPoints(host: ThrowawayHost): Promise<Point[]> {
  // strace writes its last line after the process has ended.
  const trace = await sh(host, `until grep -q '^+++' ${TRACE}; do sleep 0.01; done; cat ${TRACE}; rm ${TRACE}`);
  const seen = new Map<string, number>();
  return trace.split('\n').flatMap((line) => {
    const [, call, text = ''] = /^(\w+)\((.*)/.exec(line) ?? [];
    if (call === undefined) return [];
    const nth = (seen.get(call) ?? 0) + 1;
    seen.set(call, nth);
    return changes(call, text) ? [{ call, nth, text: `${call}(${text}` }] : [];
  });
}

function changes(call: string, text: string): boolean {
  if (call === 'openat') return text.includes('O_CREAT') && !text.includes('/dev/');
  if (call === 'write' || call === 'pwrite64')
    return /^\d+<\/(run|var|etc|srv)\//.test(text) && !text.includes('.log>');
  return !text.includes('CLONE_THREAD') && !text.includes('</memfd:');
}

/**
 * Some of the points: where the next one is about another directory or of another kind a section begins; the first point of each, and of
 * those `count`, evenly spread, with the last.
 */
export function atBorders(points: readonly Point[], count: number): Point[] {
  const section = ({ call, text }: Point) => `${call} ${/"([^"]*)\/[^"/]*"/.exec(text)?.[1] ?? ''}`;
  const borders = points.filter((point, index) => {
    const before = points[index - 1];
    return before === undefined || section(before) !== section(point) || index === points.length - 1;
  });
  if (borders.length <= count) return borders;
  const chosen = Array.from({ length: count }, (_, index) => Math.round((index * (borders.length - 1)) / (count - 1)));
  return chosen.map((index) => borders[index] as Point);
}

/** Programs that change the host for nethooks, and may live longer than it. */
export const LATE = ['nft', 'ip'] as const;

/** How late they begin, in s: long enough for the hooks that follow, and for gc to look. */
const DELAY = 0.3;

/**
 * /usr/local/sbin comes first in the PATH of the lab. /srv/late-PROGRAM says at which call the parent is killed; the program does its
 * work a while later, and as long as it has not, /srv/late is there.
 */
const LATE_PROGRAM = `#!/bin/sh
self=\${0##*/}
if [ -e /srv/late-$self ] && [ "$(readlink "/proc/$PPID/exe")" = ${EXECUTABLE}.real ]; then
  read -r left </srv/late-$self
  if [ "$left" -gt 1 ]; then
    echo $((left - 1)) >/srv/late-$self
  else
    rm /srv/late-$self
    : >/srv/late
    sleep 0.05 </dev/null >/dev/null 2>&1 # the parent gives us our input meanwhile
    kill -KILL $PPID
    sleep ${DELAY} </dev/null >/dev/null 2>&1
    # Nobody reads what it prints; it must not end of that before it has changed anything.
    "/usr/sbin/$self" "$@" >/dev/null 2>&1
    rm /srv/late
    exit
  fi
fi
exec "/usr/sbin/$self" "$@"
`;
