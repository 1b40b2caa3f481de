/** Runs on the throwaway host (see run.ts): times ours and the peers' commands in turn, and prints the rows as JSON. */
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { burst } from './burst.ts';
import { check, configure, down, growth } from './growth.ts';
import type { Group, Row } from './run.ts';
import {
  cniCall,
  cniEnv,
  type Event,
  hookCall,
  median,
  namespace,
  OUR_CONFIG,
  OUR_PLUGIN,
  portMapping,
  run,
  STOCK_CONFIG,
  STOCK_PLUGIN,
  time,
  timed,
  type Verb,
  veth,
} from './tools.ts';

/** Takes ours and theirs in turn, so that the machine's moods hit both; the first round does not count. */
function compare(
  what: string,
  peer: string,
  target: number,
  runs: number,
  ours: () => number,
  theirs: () => number,
): Row {
  const pairs = Array.from({ length: runs + 1 }, () => [ours(), theirs()] as const).slice(1);
  return { what, peer, target, runs, ours: median(pairs.map(([a]) => a)), theirs: median(pairs.map(([, b]) => b)) };
}

// ---- bringing the host up

const LXC_NET = '/usr/libexec/lxc/lxc-net';
appendFileSync('/etc/default/lxc-net', 'LXC_DOMAIN="lxc"\n');

function up(): Row {
  run([LXC_NET, 'stop']);
  const ours = () => {
    run(['nethooks', 'down']);
    return time(['nethooks', 'up']);
  };
  const theirs = () => {
    run([LXC_NET, 'stop']);
    return time([LXC_NET, 'start']);
  };
  const row = compare('nethooks up', 'lxc-net start', 1, 30, ours, theirs);
  run([LXC_NET, 'start']);
  return row;
}

// ---- connecting a namespace

const cni = (command: Verb, name: string, plugin = STOCK_PLUGIN, config = STOCK_CONFIG): number => {
  const { argv, options } = cniCall(command, name, plugin, config);
  return time(argv, options);
};

const RUNTIME_CONFIG = portMapping(8088);

const publishing = (verb: Verb): number =>
  cni(verb, 'plugin', OUR_PLUGIN, JSON.stringify({ ...JSON.parse(OUR_CONFIG), ...RUNTIME_CONFIG }));

/** The peer's two plugins, as a runtime calls them: the second gets the first one's result, and at the end goes first. */
let bridged = '';
function portmap(verb: Verb): number {
  const config = JSON.parse(STOCK_CONFIG) as object;
  const chained = () =>
    JSON.stringify({ ...config, type: 'portmap', prevResult: JSON.parse(bridged), ...RUNTIME_CONFIG });
  const map = () => cni(verb, 'peer', '/usr/lib/cni/portmap', chained());
  if (verb === 'DEL') return map() + cni('DEL', 'peer');
  const { elapsed, stdout } = timed([STOCK_PLUGIN], { env: cniEnv('ADD', 'peer'), input: STOCK_CONFIG });
  bridged = stdout;
  return elapsed + map();
}

/** ADD and DEL with ours and with the peer's, each in a namespace of its own. */
function plugins(
  existing: number,
  what: string,
  peer: string,
  ours: (verb: Verb) => number,
  theirs: typeof ours,
): Row[] {
  namespace('peer');
  namespace('plugin');
  const others = `${existing} other${existing === 1 ? '' : 's'}`;
  const dels: [number, number][] = [];
  let ourDel = 0;
  const add = compare(
    `${what} ADD, ${others}`,
    `${peer} ADD`,
    0.7,
    40,
    () => {
      const elapsed = ours('ADD');
      ourDel = ours('DEL');
      return elapsed;
    },
    () => {
      const elapsed = theirs('ADD');
      dels.push([ourDel, theirs('DEL')]);
      return elapsed;
    },
  );
  const del = {
    ...add,
    what: `${what} DEL, ${others}`,
    peer: `${peer} DEL`,
    ours: median(dels.slice(1).map(([a]) => a)),
    theirs: median(dels.slice(1).map(([, b]) => b)),
  };
  return [add, del];
}

const allPlugins = (existing: number): Row[] => [
  ...plugins(
    existing,
    'CNI',
    'CNI bridge + host-local',
    (verb) => cni(verb, 'plugin', OUR_PLUGIN, OUR_CONFIG),
    (verb) => cni(verb, 'peer'),
  ),
  ...plugins(existing, 'CNI with a port:', 'the same + portmap', publishing, portmap),
];

function hook(event: Event, name: string): number {
  const { argv, options } = hookCall(event, name);
  return time(argv, options);
}

function connecting(existing: number): Row {
  namespace('peer');
  const ours = () => {
    const elapsed = hook('start-host', 'bench');
    hook('post-stop', 'bench');
    return elapsed;
  };
  const theirs = () => {
    const elapsed = cni('ADD', 'peer');
    cni('DEL', 'peer');
    return elapsed;
  };
  return compare(
    `start-host, ${existing} other${existing === 1 ? '' : 's'}`,
    'CNI bridge + host-local ADD',
    0.6,
    40,
    ours,
    theirs,
  );
}

/** Holders of addresses on both sides: the peer's with their namespaces and rules, ours with what start-host leaves. */
function fill(from: number, to: number): void {
  for (let index = from; index < to; index++) {
    const name = `other${index}`;
    namespace(name);
    cni('ADD', name);
    const address = `10.8.${50 + (index >> 8)}.${index & 255}`;
    writeFileSync(`/var/lib/cni/networks/br0/${address}`, `lxc-${name}\r\neth0`);
    writeFileSync(`/run/nethooks/names/lxc/${name}`, `${address} ${name}.lxc ${name}\n`);
    writeFileSync(
      `/run/nethooks/dnsmasq/br0/dhcp-hosts/${name}.eth0`,
      `02:6e:0a:08:${10 + (index >> 8)}:${(index & 255).toString(16)},${address}\n`,
    );
  }
}

// ---- from lxc-start to an answer by name

/** Starts a container and asks until its name resolves and it answers; ms from the start on. */
function answering(name: string, server: string): number {
  const script = `lxc-start -n ${name} </dev/null >/dev/null 2>&1
    until busybox nslookup ${name}.lxc ${server} 2>/dev/null | grep -A1 "^Name:.*${name}.lxc" | grep -q Address; do sleep 0.01; done
    until busybox ping -c 1 -W 1 "$(busybox nslookup ${name}.lxc ${server} | sed -n 's/^Address: *//p' | tail -n 1)" >/dev/null; do :; done`;
  const elapsed = time(['sh', '-c', script]);
  time(['lxc-stop', '-k', '-n', name]);
  return elapsed;
}

function starting(): Row {
  time(['lxc-create', '-n', 'ours', '-t', 'busybox']);
  time(['lxc-create', '-n', 'theirs', '-t', 'busybox']);
  const config = '/var/lib/lxc/theirs/config';
  writeFileSync(
    config,
    readFileSync(config, 'utf8')
      .replaceAll(/^lxc\.hook\..*\n/gm, '')
      .replace('link = br0', 'link = lxcbr0'),
  );
  // lxc-net knows names only from DHCP, and busybox's client sends one only when told to.
  const rcS = '/var/lib/lxc/theirs/rootfs/etc/init.d/rcS';
  writeFileSync(rcS, readFileSync(rcS, 'utf8').replace('/bin/udhcpc', '/bin/udhcpc -x hostname:theirs'));
  return compare(
    'lxc-start until it answers by name',
    'the same with lxc-net',
    1,
    5,
    () => answering('ours', '10.8.0.1'),
    () => {
      // A lease from the last round would answer before the container does.
      run([LXC_NET, 'stop']);
      run(['sh', '-c', 'rm -f /var/lib/misc/dnsmasq.lxcbr0.leases']);
      run([LXC_NET, 'start']);
      return answering('theirs', '10.0.3.1');
    },
  );
}

function times(): Row[] {
  const rows = [up()];
  veth('bench');
  hook('start-host', 'bench');
  hook('post-stop', 'bench');
  fill(0, 1);
  rows.push(connecting(1), ...allPlugins(1));
  fill(1, 300);
  rows.push(connecting(300), ...allPlugins(300), starting());
  return rows;
}

const GROUPS: Record<Group, () => Row[]> = { times, growth, check, configure, down, burst };
console.log(JSON.stringify(GROUPS[process.argv[2] as Group]()));
