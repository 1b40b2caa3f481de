/** Many containers started at the same moment, as by lxc-autostart after a boot, or by an orchestrator. */
import type { ThrowawayHost } from '../../src/demo/throwaway.ts';
import { writeFile } from './host.ts';
import { cniOnNetwork, script } from './lifecycle.ts';

const FUNCTIONS = '/srv/burst.sh';

export type Kind = 'LXC' | 'CNI';

/** A number of containers that start and stop together. */
export interface Crowd {
  readonly kind: Kind;
  readonly size: number;
  /** Whether each publishes a port: 10001 and on. */
  readonly ports: boolean;
}

/** What came of it. */
export interface Burst {
  /** One line for each that did not end with 0, or said something. */
  readonly refused: string[];
  /** ms from the release of all to the end of the last. */
  readonly elapsed: number;
}

export async function installBurst(host: ThrowawayHost): Promise<void> {
  await writeFile(host, FUNCTIONS, FUNCTIONS_TEXT);
}

const call = (host: ThrowawayHost, crowd: Crowd, what: string): Promise<string> =>
  script(host, `. ${FUNCTIONS}\nkind=${crowd.kind} size=${crowd.size} ports=${crowd.ports}\n${what}`, [], {
    timeoutMs: 300_000,
  });

/** Makes what a runtime has made before it calls us: namespaces, for LXC with interfaces and processes. */
export const prepare = (host: ThrowawayHost, crowd: Crowd): Promise<string> => call(host, crowd, 'prepare');

/** Takes away what is gone when a runtime calls us at the end; with CNI that is nothing yet. */
export const vanish = (host: ThrowawayHost, crowd: Crowd): Promise<string> => call(host, crowd, 'vanish');

/** Removes the namespaces. */
export const clear = (host: ThrowawayHost, crowd: Crowd): Promise<string> => call(host, crowd, 'clear');

/** start-host or ADD for all, at once. */
export const startAll = (host: ThrowawayHost, crowd: Crowd): Promise<Burst> => burst(host, crowd, 'start_one');

/** post-stop or DEL for all, at once. */
export const stopAll = (host: ThrowawayHost, crowd: Crowd): Promise<Burst> => burst(host, crowd, 'stop_one');

async function burst(host: ThrowawayHost, crowd: Crowd, work: string): Promise<Burst> {
  const lines = (await call(host, crowd, `at_once ${work}`)).trim().split('\n');
  return { elapsed: Number(lines.pop()), refused: lines };
}

/** Keeps the processors busy until the returned function is called. */
export async function busyLoops(host: ThrowawayHost, count: number): Promise<() => Promise<void>> {
  const loops = await script(
    host,
    'for _ in $(seq "$1"); do (setsid sh -c "while :; do :; done" </dev/null >/dev/null 2>&1 & echo $!); done',
    [String(count)],
  );
  const pids = loops.trim().split('\n');
  return async () => {
    await script(host, 'kill "$@"', pids);
  };
}

const FUNCTIONS_TEXT = `
names() { seq -f 'c%g' "$size"; }
prepare() {
  names | sed 's/.*/netns add &/' | ip -batch -
  [ "$kind" = LXC ] || return 0
  for name in $(names); do
    [ -d "/srv/roots/$name" ] || create "$name"
    echo "link add v$name type veth peer name eth0 netns $name"
    echo "link set v$name master br0 up"
  done | ip -batch -
  for name in $(names); do run_init "$name"; done
}
vanish() {
  [ "$kind" = LXC ] || return 0
  for name in $(names); do
    read -r pid <"/srv/$name.pid"
    kill -KILL "$pid"
    echo "link delete v$name"
  done | ip -batch -
  for name in $(names); do
    read -r pid <"/srv/$name.pid"
    while [ -e "/proc/$pid" ]; do sleep 0.002; done
  done
}
clear() { names | sed 's/.*/netns delete &/' | ip -batch -; }

start_one() { # NAME
  number=\${1#c}
  if [ "$kind" = LXC ]; then
    if [ "$ports" = true ]; then set -- "$1" --publish "$((10000 + number)):80"; fi
    hook start-host "$@"
  else
    # What it prints is the result.
    cni ADD "$1" "$(config "$number")" >/dev/null
  fi
}
stop_one() { # NAME
  if [ "$kind" = LXC ]; then hook post-stop "$1"; else cni DEL "$1" "$(config "\${1#c}")"; fi
}
config() { # NUMBER
  if [ "$ports" = true ]; then echo '${cniOnNetwork(10000)}' | sed "s/10000/$((10000 + $1))/"; else echo '${cniOnNetwork()}'; fi
}

# Runs a function for every name, each in a process of its own; all wait at one gate, which opens when the last one stands there. A fifo
# ends for all its readers when its last writer closes it.
at_once() { # FUNCTION
  rm -rf /srv/burst
  mkdir /srv/burst /srv/burst/ready
  mkfifo /srv/burst/gate
  exec 8<>/srv/burst/gate
  for name in $(names); do
    (
      exec 7</srv/burst/gate 8>&-
      : >"/srv/burst/ready/$name"
      read -r _ <&7 || :
      exec 7<&-
      code=0
      said=$("$1" "$name" 2>&1) || code=$?
      if [ "$code" != 0 ] || [ -n "$said" ]; then printf '%s: %s: %s\\n' "$name" "$code" "$(echo $said)"; fi
    ) &
  done
  until [ "$(ls /srv/burst/ready | wc -l)" = "$size" ]; do sleep 0.05; done
  begun=$(date +%s%3N)
  exec 8>&-
  wait
  echo $(($(date +%s%3N) - begun))
}
`;
