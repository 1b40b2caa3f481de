/** The shell between ifupdown, LXC or dhclient and the executable, with a stand-in for that. */
import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { HOST_RECORD } from '../../src/model/paths.ts';

const INSTALLED = '/usr/lib/nethooks';
const SHIMS = {
  'if-up': 'network/if-up.d/nethooks',
  'if-post-down': 'network/if-post-down.d/nethooks',
  'pre-start': 'lxc/pre-start',
  'start-host': 'lxc/start-host',
  'post-stop': 'lxc/post-stop',
  destroy: 'lxc/destroy',
  clone: 'lxc/clone',
  dhclient: 'dhclient-enter-hooks.d/nethooks',
} as const;
const SOURCES = {
  'if-up': 'if-up.d',
  'if-post-down': 'if-post-down.d',
  'pre-start': 'lxc/pre-start',
  'start-host': 'lxc/start-host',
  'post-stop': 'lxc/post-stop',
  destroy: 'lxc/destroy',
  clone: 'lxc/clone',
  dhclient: 'dhclient-enter-hook',
} as const;
type Event = keyof typeof SHIMS;
const REFUSING: Event[] = ['pre-start', 'start-host'];
const LXC: Event[] = [...REFUSING, 'post-stop', 'destroy', 'clone'];

let directory: string;
let executable: string;

/** The shims below a directory of their own, with a deadline that a test can wait for. */
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'nethooks-shims-'));
  executable = join(directory, 'nethooks');
  const sources: [path: string, source: string][] = Object.entries(SHIMS).map(([event, path]) => [
    path,
    SOURCES[event as Event],
  ]);
  for (const [path, source] of [...sources, ['lxc/guard', 'lxc/guard'] as const]) {
    const text = readFileSync(join('hooks', source), 'utf8');
    const target = join(directory, path);
    mkdirSync(join(target, '..'), { recursive: true });
    writeFileSync(
      target,
      text
        .replaceAll(INSTALLED, directory)
        .replaceAll('/var/log/nethooks', directory)
        .replaceAll(HOST_RECORD, join(directory, 'record.json'))
        .replaceAll('/run/systemd', join(directory, 'systemd'))
        .replace('timeout -k 1 5', 'timeout -k 0.2 0.3')
        .replaceAll('/run/nethooks/slots', join(directory, 'slots'))
        .replace('timeout -k 1 2', 'timeout -k 0.1 0.2')
        .replace('limit=5', 'limit=0.3')
        .replace('rest 1', 'rest 0.1')
        .replace('sleep 1', 'sleep 0.2'),
    );
    chmodSync(target, 0o755);
  }
  writeFileSync(join(directory, 'record.json'), '{}');
});
afterEach(() => rmSync(directory, { recursive: true }));

/** Puts a stand-in for the executable: a script. */
function standIn(script: string): void {
  writeFileSync(executable, `#!/bin/sh\n${script}\n`);
  chmodSync(executable, 0o755);
}

interface Called {
  args?: string[];
  env?: Record<string, string>;
}

/** Runs a shim as its caller does. One that still runs after a third of the time that a hanging stand-in takes is ended; its code is null. */
function run(event: Event, { args = [], env = {} }: Called = {}) {
  const result = spawnSync(join(directory, SHIMS[event]), args, {
    env: { PATH: '/usr/bin:/bin', ...env },
    cwd: tmpdir(),
    input: 'not for us',
    encoding: 'utf8',
    timeout: 10_000,
  });
  return { code: result.status, stdout: result.stdout, stderr: result.stderr };
}

/** Runs a shim as LXC does, which waits until nobody holds the pipe for its output any more. The same limit applies. */
function runInPipe(event: Event, container: string) {
  const script = 'set -o pipefail; LXC_NAME=$1 "$0" 2>&1 >/dev/null | cat';
  const { status, stdout } = spawnSync('bash', ['--norc', '-c', script, join(directory, SHIMS[event]), container], {
    encoding: 'utf8',
    timeout: 10_000,
  });
  return { code: status, stderr: stdout };
}

/** Sources the dhclient hook as dhclient-script does; what that has afterwards. */
function source(shell: string, env: Record<string, string>, then: string, before = '') {
  const hook = join(directory, SHIMS.dhclient);
  // bash reads ~/.bashrc when its standard input is a socket, as it is here.
  const result = spawnSync(shell, [...(shell === 'bash' ? ['--norc'] : []), '-c', `${before}\n. ${hook}\n${then}`], {
    env: { PATH: '/usr/bin:/bin', interface: 'eth0', ...env },
    encoding: 'utf8',
    timeout: 10_000,
  });
  return { code: result.status, stdout: result.stdout, stderr: result.stderr };
}

const lines = (path: string): string[] => (existsSync(path) ? readFileSync(path, 'utf8').trimEnd().split('\n') : []);
const log = (): string[] => lines(join(directory, 'hooks.log'));
const calls = (): string[] => lines(join(directory, 'calls'));
const record = (): string => `echo "$*" >>${directory}/calls`;
const INET = { IFACE: 'eth0', ADDRFAM: 'inet' };

it.each(Object.keys(SHIMS).filter((event) => event !== 'dhclient') as Event[])(
  '%s does nothing when nethooks is not installed any more',
  (event) => {
    expect(run(event, { env: INET })).toMatchObject({ code: 0, stdout: '', stderr: '' });
  },
);

it.each(LXC)('%s gets the arguments of LXC as they are', (event) => {
  standIn(`for word; do echo "[$word]"; done >>${directory}/calls; env >${directory}/env`);
  const args = ['--publish', '80:80', 'a b', '', 'test', 'lxc', event];
  const env = { LXC_NAME: 'test', LXC_HOOK_TYPE: event, LXC_PID: '77', LXC_ROOTFS_PATH: 'dir:/a b' };
  expect(run(event, { args, env })).toMatchObject({ code: 0, stdout: '', stderr: '' });
  expect(calls()).toEqual(['hook', event, ...args].map((word) => `[${word}]`));
  expect(lines(join(directory, 'env'))).toEqual(
    expect.arrayContaining(Object.entries(env).map((pair) => pair.join('='))),
  );
});

it.each(Object.keys(SHIMS) as Event[])('%s keeps what would run code or wait away from the executable', (event) => {
  standIn(`env | sort >${directory}/env; pwd >${directory}/pwd; cat >${directory}/stdin`);
  const hostile = {
    BUN_OPTIONS: '--preload=/tmp/evil.js',
    BUN_BE_BUN: '1',
    BUN_INSPECT: 'ws://127.0.0.1:1/?wait=1',
    NODE_OPTIONS: '--require=/tmp/evil.js',
    NODE_V8_COVERAGE: '/tmp',
    NODE_EXTRA_CA_CERTS: '/tmp/evil.pem',
    ENV: '/tmp/evil.sh',
    BASH_ENV: '/tmp/evil.sh',
  };
  if (event === 'dhclient') source('dash', { ...hostile, reason: 'BOUND' }, '');
  else run(event, { env: { ...hostile, ...INET } });
  const env = lines(join(directory, 'env'));
  const names = env.map((line) => line.split('=')[0]);
  for (const name of Object.keys(hostile)) expect(names).not.toContain(name);
  expect(env.find((line) => line.startsWith('PATH='))).toMatch(/^PATH=\/usr\/bin:\/bin:.*\/usr\/sbin/);
  expect(lines(join(directory, 'pwd'))).toEqual(['/']);
  expect(lines(join(directory, 'stdin'))).toEqual(['']);
});

it('an empty PATH does not become the working directory', () => {
  standIn(`echo "$PATH" >${directory}/path`);
  run('start-host', { env: { PATH: '' } });
  expect(lines(join(directory, 'path'))[0]?.split(':')).not.toContain('');
});

it.each(REFUSING)('%s refuses the start with the words and the status of the executable', (event) => {
  standIn('echo chatter; echo "nethooks: no address is free" >&2; exit 1');
  expect(run(event)).toMatchObject({ code: 1, stdout: '', stderr: 'nethooks: no address is free\n' });
});

it.each([...LXC.filter((event) => !REFUSING.includes(event)), 'if-up', 'if-post-down'] as Event[])(
  '%s never fails',
  (event) => {
    standIn('echo "nethooks: something" >&2; exit 7');
    expect(run(event, { env: INET })).toMatchObject({ code: 0, stdout: '', stderr: 'nethooks: something\n' });
  },
);

it.each([
  ['ends at SIGTERM', 'sleep 30'],
  ['ignores SIGTERM', "trap '' TERM; sleep 30 & sleep 30; sleep 30"],
])('an executable that hangs and %s is ended, said so and logged', (_, script) => {
  standIn(script);
  for (const event of [...LXC.filter((one) => !REFUSING.includes(one)), 'if-up', 'if-post-down'] as Event[]) {
    const { code, stderr } = event.startsWith('if-') ? run(event, { env: INET }) : runInPipe(event, 'test');
    const subject = event.startsWith('if-') ? 'eth0' : 'test';
    // dash itself may add a word when timeout(1) had to kill.
    expect(stderr.replace(/^Killed\n/, '')).toBe(
      `nethooks: ${event} ${subject}: ended, as it ${event.startsWith('if-') ? 'took more than 5 s' : 'did nothing for 0.3 s'}\n`,
    );
    expect(code).toBe(0);
    expect(log().at(-1)).toMatch(new RegExp(`^\\d{4}-\\d\\d-\\d\\dT[\\d:]{8}Z ${event} ${subject}: ended`));
  }
  expect(log()).toHaveLength(5);
});

it.each([
  ['ends at SIGTERM', 'sleep 30', 143],
  ['ignores SIGTERM', "trap '' TERM; sleep 30 & sleep 30; sleep 30", 137],
])(
  'start-host: an executable that hangs and %s is ended with all it has started, said so and logged',
  (_, script, status) => {
    standIn(script);
    const { code, stderr } = runInPipe('start-host', 'test');
    expect({ code, stderr }).toEqual({
      code: status,
      stderr: 'nethooks: start-host test: ended, as it did nothing for 0.3 s\n',
    });
    expect(log()).toEqual([expect.stringMatching(/Z start-host test: ended, as it did nothing for 0.3 s$/)]);
  },
);

it.each([
  ['start-host', { LXC_NAME: 'x\u001b[2J\n2026-01-01T00:00:00Z up: forged' }, 'start-host ?'],
  ['if-up', { ...INET, IFACE: 'e\n2026-01-01T00:00:00Z up: forged' }, 'if-up ?'],
] as const)('%s: a name that would write lines of its own into the log is not in it', (event, env, title) => {
  standIn('sleep 30');
  run(event, { env });
  expect(log()).toEqual([expect.stringMatching(new RegExp(`Z ${title.replace('?', '\\?')}: ended, as it `))]);
});

it('start-host: an executable that hangs is asked once more, to say why the start was refused', () => {
  standIn(`if [ "$2" = start-refused ]; then echo "$LXC_NAME: $3" >${directory}/refused; exit; fi; sleep 30`);
  runInPipe('start-host', 'test');
  expect(lines(join(directory, 'refused'))).toEqual(['test: start-host test: ended, as it did nothing for 0.3 s']);
});

it.each([
  ['dismisses its watch', 'kill "$NETHOOKS_WATCH"', 1000],
  ['dies without a word to its watch', 'kill -9 $$', 5000],
])('start-host: an executable that %s holds nobody up, and is not taken for another', async (what, script, timeout) => {
  const shim = join(directory, SHIMS['start-host']);
  writeFileSync(shim, readFileSync(shim, 'utf8').replace('sleep 0.3', 'sleep 2'));
  standIn(`echo "$NETHOOKS_WATCH" >${directory}/watch; ${script}`);
  runInPipe('start-host', 'test');
  const pid = lines(join(directory, 'watch'))[0];
  // What has ended has no command line, also where nobody has asked for its status yet.
  const watches = () => existsSync(`/proc/${pid}`) && readFileSync(`/proc/${pid}/cmdline`, 'utf8') !== '';
  // LXC has gone on while it still waits.
  if (what.startsWith('dies')) expect(watches()).toBe(true);
  await expect.poll(watches, { timeout }).toBe(false);
  expect(log()).toEqual([]);
});

/** One hook at a time. */
function oneSlot(text: string): string {
  const slots = join(directory, 'slots');
  mkdirSync(slots);
  writeFileSync(join(slots, 'limits'), '1 5\n');
  writeFileSync(join(slots, '1'), text);
  standIn(`echo "$NETHOOKS_SLOT $NETHOOKS_LIMIT" >>${directory}/slot`);
  return join(slots, '1');
}

it.each([
  ['whose process is gone', '4194305\n'],
  ['whose process was killed before it had written its pid', ''],
])('a turn %s is taken over', (_, text) => {
  const slot = oneSlot(text);
  expect(run('post-stop').code).toBe(0);
  expect(lines(join(directory, 'slot'))).toEqual([`${slot} 5`]);
});

it('a hook waits for its turn', async () => {
  const slot = oneSlot(`${process.pid}\n`);
  const waiting = spawn(join(directory, SHIMS['start-host']), { stdio: 'ignore' });
  const ended = new Promise((resolve) => waiting.once('close', resolve));
  try {
    // It has looked at least once when it stands in the queue, which is this descriptor's lock.
    await expect.poll(() => existsSync(`/proc/${waiting.pid}/fd/8`), { timeout: 5000 }).toBe(true);
    expect(lines(join(directory, 'slot'))).toEqual([]);
    rmSync(slot);
    await ended;
    expect(lines(join(directory, 'slot'))).toEqual([`${slot} 5`]);
  } finally {
    waiting.kill('SIGKILL');
  }
});

it('a log that cannot be written is no reason for more output', () => {
  mkdirSync(join(directory, 'hooks.log'));
  standIn('sleep 30');
  expect(run('post-stop').stderr.trimEnd().split('\n')).toHaveLength(1);
});

it.each([
  ['lo', { IFACE: 'lo', ADDRFAM: 'inet' }, 0],
  ['the IPv6 half of an interface', { IFACE: 'eth0', ADDRFAM: 'inet6' }, 0],
  ['a CAN bus', { IFACE: 'can0', ADDRFAM: 'can' }, 0],
  ['no interface', {}, 0],
  ['the IPv4 half', INET, 1],
  ['the end of ifup -a', { IFACE: '--all', ADDRFAM: 'meta', METHOD: 'none' }, 1],
  ['ifupdown-ng, which has no ADDRFAM', { IFACE: 'eth0', METHOD: 'none' }, 1],
])('if-up starts a process only for what concerns IPv4: %s', (_, env: Record<string, string>, count) => {
  standIn(`${record()}; echo "$IFACE $ADDRFAM" >${directory}/env`);
  for (const event of ['if-up', 'if-post-down'] as const) expect(run(event, { env }).code).toBe(0);
  expect(calls()).toEqual(count ? ['hook if-up', 'hook if-post-down'] : []);
  if (count) expect(lines(join(directory, 'env'))).toEqual([`${env.IFACE} ${env.ADDRFAM ?? 'inet'}`]);
});

it.each([
  { systemd: false, started: ['hook if-up'] },
  { systemd: true, started: [] },
])(
  'while nothing is up, an interface that comes starts it unless that is up to systemd: $systemd',
  ({ systemd, started }) => {
    standIn(record());
    rmSync(join(directory, 'record.json'));
    if (systemd) mkdirSync(join(directory, 'systemd/system'), { recursive: true });
    for (const event of ['if-up', 'if-post-down'] as const) expect(run(event, { env: INET }).code).toBe(0);
    expect(calls()).toEqual(started);
  },
);

const SHELLS = ['dash', 'bash'];

it.each(SHELLS)('dhclient in %s: the servers are what the executable prints', (shell) => {
  standIn('echo "10.0.0.1 $new_domain_name_servers"');
  const env = { reason: 'BOUND', new_domain_name_servers: '192.0.2.53' };
  expect(source(shell, env, 'echo "$new_domain_name_servers"').stdout).toBe('10.0.0.1 192.0.2.53\n');
});

it.each([
  ['prints nothing', 'exit 0'],
  ['fails', 'exit 1'],
  ['hangs', 'echo 6.6.6.6; sleep 30'],
])('dhclient: the servers stay, byte for byte, when the executable %s', (_, script) => {
  standIn(script);
  const hostile = '1.2.3.4 $(touch /tmp/x) `id` \\n\\c * "';
  const env = { reason: 'RENEW', new_domain_name_servers: hostile };
  expect(source('dash', env, 'printf "%s" "$new_domain_name_servers"').stdout).toBe(hostile);
});

it('dhclient: logs an executable that hangs', () => {
  standIn('sleep 30');
  source('dash', { reason: 'BOUND' }, '');
  expect(log()).toEqual([expect.stringMatching(/Z dhclient eth0: ended, as it took more than 5 s$/)]);
});

it.each(SHELLS)('dhclient in %s: nothing else of dhclient-script changes, which goes on', (shell) => {
  standIn('exit 3');
  const state =
    'set | grep -v -e "^_=" -e "^BASH_" -e "^PIPESTATUS=" -e "^LINENO=" -e "^new_domain_name_servers="; trap; pwd; umask; echo "$-"';
  const before = `cd /tmp; set -- a b; { ${state}; } >${directory}/before`;
  const { code, stdout, stderr } = source(shell, { reason: 'BOUND' }, `${state}; echo "$# still here"`, before);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toBe(`${readFileSync(join(directory, 'before'), 'utf8')}2 still here\n`);
});

it.each(['PREINIT', 'MEDIUM', 'ARPCHECK', 'BOUND6', 'PREINIT6', ''])(
  'dhclient: reason "%s" starts no process',
  (reason) => {
    standIn(record());
    source('dash', { reason }, '');
    source('dash', {}, '', 'set -u'); // without any
    expect(calls()).toEqual([]);
  },
);

it('dhclient does nothing when nethooks is not installed any more', () => {
  const env = { reason: 'BOUND', new_domain_name_servers: '192.0.2.53' };
  const { stdout, stderr } = source('dash', env, 'echo "$new_domain_name_servers"', 'set -eu');
  expect({ stdout, stderr }).toEqual({ stdout: '192.0.2.53\n', stderr: '' });
});

it.each([
  ['network-changed eth0 up', 'if-up eth0'],
  ['network-changed eth0 dhcp4-change', 'if-up eth0'],
  ['network-changed "" dns-change', 'if-up --all'],
  ['network-changed eth0 down', 'if-post-down eth0'],
  ['network-changed eth0 pre-up', ''],
  ['IFACE=eth0 STATE=routable network-changed', 'if-up eth0'],
  ['IFACE=eth0 STATE=off network-changed', 'if-post-down eth0'],
  ['interface=eth0 reason=RENEW dhcpcd-hook', 'if-up eth0'],
  ['interface=eth0 reason=STOP dhcpcd-hook', 'if-post-down eth0'],
  ['interface=eth0 reason=PREINIT dhcpcd-hook', ''],
])('%s is ifupdown\'s "%s"', (call, expected) => {
  standIn(`echo "$2 $IFACE" >${directory}/called`);
  const hook = /(network-changed|dhcpcd-hook)/.exec(call)?.[0] as string;
  const text = readFileSync(join('hooks', hook), 'utf8').replaceAll('/etc/network', join(directory, 'network'));
  writeFileSync(join(directory, hook), text, { mode: 0o755 });
  // dhcpcd's is sourced, and leaves nothing behind.
  const script = hook === 'dhcpcd-hook' ? `${call.replace(hook, '')}; . ./${hook}; set | grep -c ^nethooks` : call;
  const { stdout, stderr } = spawnSync('sh', ['-c', script.replace(/(?<!\.\/)network-changed/, './network-changed')], {
    cwd: directory,
    encoding: 'utf8',
  });
  expect(stderr).toBe('');
  expect(stdout).toBe(hook === 'dhcpcd-hook' ? '0\n' : '');
  const called = join(directory, 'called');
  expect(existsSync(called) ? readFileSync(called, 'utf8').trim() : '').toBe(expected);
});
