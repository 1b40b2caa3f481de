import { describe, expect, it } from 'vitest';
import { parseFlags } from '../../src/config/flags.ts';
import { COMMANDS, type OptionValues } from '../../src/frontend/cli/commands.ts';
import { flagWords, withoutKeys } from '../../src/frontend/cli/container-options.ts';
import { type Actions, parserFor, withSwitchValues } from '../../src/frontend/cli/parser.ts';
import {
  CONTAINER_KEYS,
  type ContainerKey,
  type ContainerKeySpec,
  KEY_OF_FLAG,
} from '../../src/model/container-keys.ts';

interface Call {
  command: string;
  args: readonly unknown[];
  options: Record<string, unknown>;
}

/** What a command would be called with. */
async function parse(...words: string[]): Promise<Call> {
  let call: Call | undefined;
  const actions = Object.fromEntries(
    Object.keys(COMMANDS).map((command) => [
      command,
      async (args: readonly unknown[], options: Record<string, unknown>) => {
        call = { command, args, options };
        return 0;
      },
    ]),
  ) as unknown as Actions;
  const program = parserFor(actions, '/home', async ({ act }) => void (await act()));
  for (const command of [program, ...program.commands, ...program.commands.flatMap((one) => one.commands)])
    command.configureOutput({ writeErr: () => undefined });
  await program.parseAsync(withSwitchValues(words), { from: 'user' });
  return call ?? expect.fail('no command has run');
}
const configured = async (...words: string[]) => (await parse('configure', 'web', ...words)).options;

describe('a command line', () => {
  it.each([
    ['up --dry-run --json', 'up', [], { dryRun: true, json: true }],
    ['--config a/b.ini status', 'status', [], { config: '/home/a/b.ini' }],
    ['status --config /b.ini', 'status', [], { config: '/b.ini' }],
    ['config check --config b.ini', 'config check', [], { config: '/home/b.ini' }],
    ['down br0 br1 --files', 'down', [['br0', 'br1']], { files: true }],
    ['down', 'down', [[]], {}],
    ['port web 80/tcp', 'port', ['web', '80/tcp'], {}],
    ['port web', 'port', ['web', undefined], {}],
    ['port --json', 'port', [undefined, undefined], { json: true }],
    ['ps', 'ps', [], {}],
    ['inspect web --json', 'inspect', ['web'], { json: true }],
    ['net.d write --rkt --dir x', 'net.d write', [], { rkt: true, dir: '/home/x' }],
    ['net.d list --cni', 'net.d list', [], { cni: true }],
    ['attach -p 8080:80 -p81:81 web', 'attach', ['web'], { ifname: 'eth0', publish: ['8080:80', '81:81'] }],
    [
      'attach web --publish 1:1 --ip 10.0.0.7',
      'attach',
      ['web'],
      { ifname: 'eth0', publish: ['1:1'], address: '10.0.0.7' },
    ],
    ['attach web --alias a --aliases=b', 'attach', ['web'], { ifname: 'eth0', aliases: ['a', 'b'] }],
    ['attach web --mode ptp --host-shim', 'attach', ['web'], { ifname: 'eth0', mode: 'ptp', hostShim: true }],
    ['configure --all', 'configure', [undefined], { all: true, nic: '0' }],
    ['configure -P web', 'configure', ['web'], { nic: '0', publishAll: 'true' }],
    ['configure --publish-all web', 'configure', ['web'], { nic: '0', publishAll: 'true' }],
    ['configure web --publish-all=no -h shop', 'configure', ['web'], { nic: '0', publishAll: 'no', hostname: 'shop' }],
    ['configure web --no-dns --no-network', 'configure', ['web'], { nic: '0', dns: false, network: false }],
  ])('%s', async (line, command, args, options) => {
    expect(await parse(...line.split(' '))).toEqual({ command, args, options });
  });

  it.each([
    'up --dry',
    'attach web --mode bridge',
    'configure web --publish',
    'configure web --network-aliases a',
    'inspect',
    'frobnicate',
  ])('%s is refused', async (line) => {
    await expect(parse(...line.split(' '))).rejects.toThrow();
  });

  it("has every flag of hook lines in `configure`, with the same meaning, and each key's --no-KEY", async () => {
    const words = [...KEY_OF_FLAG].map(([flag, key]) => {
      const { kind } = CONTAINER_KEYS[key] as ContainerKeySpec;
      return { flag, key, line: kind === 'switch' ? [flag] : [flag, 'x'] };
    });
    for (const { line } of words) {
      const further = ['--nic', '1', ...line];
      expect(parseFlags(flagWords((await configured(...further)) as never), expect.fail)).toEqual(
        parseFlags(further, expect.fail),
      );
    }
    for (const key of Object.keys(CONTAINER_KEYS))
      expect(withoutKeys((await configured(`--no-${key}`)) as never)).toEqual([key]);
  });

  it('collects what is given by several names of one flag', async () => {
    expect(
      await configured('--alias', 'a', '--network-alias=b', '--aliases', 'c', '--dns-opt', 'x', '--add-host=h:1'),
    ).toEqual({
      nic: '0',
      aliases: ['a', 'b', 'c'],
      dnsOption: ['x'],
      extraHost: ['h:1'],
    });
    expect(await configured('--ip', '10.0.0.7')).toEqual({ nic: '0', address: '10.0.0.7' });
  });
});

it('a command that reads a renamed option does not compile', () => {
  const { 'dry-run': dryRun, ...others } = COMMANDS.up.options;
  const renamed = { ...others, 'no-action': dryRun };
  type Options = OptionValues<typeof renamed>;
  const now = ({ noAction }: Options): unknown => noAction;
  // @ts-expect-error: it is no option any more
  const before = ({ dryRun: gone }: Options): unknown => gone;
  expect([now({ noAction: true }), before({})]).toEqual([true, undefined]);
  // @ts-expect-error: every command has an action
  const actions: Actions = { up: async () => 0 };
  expect(Object.keys(actions)).toHaveLength(1);
  // @ts-expect-error: a switch has no text
  const text: string | undefined = ({} as OptionValues<typeof COMMANDS.up.options>).json;
  expect(text).toBeUndefined();
  // @ts-expect-error: every key is in the table
  const key: ContainerKey = 'adress';
  expect(Object.hasOwn(CONTAINER_KEYS, key)).toBe(false);
});
