/** The command line: which command, which options. Commands that bring libraries with them are loaded when they are called. */
import { resolve } from 'node:path';
import { Command, CommanderError, Option } from 'commander';
import { addresses } from './addresses.ts';
import { containerOptions } from './container-options.ts';
import { down } from './down.ts';
import { EXIT } from './exit.ts';
import { gc } from './gc.ts';
import { check as checkNetD, list as listNetD, write as writeNetD } from './net-d.ts';
import { port } from './port.ts';
import { status } from './status.ts';
import { plan, up } from './up.ts';

/** @param directory what paths in the arguments are relative to */
export async function runCommand(words: string[], directory: string): Promise<number> {
  let code: number = EXIT.ok;
  /** Each action loads its file and leaves the exit code. */
  const run =
    <A extends unknown[]>(action: (...args: A) => Promise<number>) =>
    async (...args: A): Promise<void> => {
      code = await action(...args);
    };
  const program = new Command('nethooks')
    .description('Containers on this host get a working network by themselves, from the hooks that already fire.')
    .version(NETHOOKS_VERSION)
    .option('--config <file>', 'read this configuration instead of /etc/nethooks/nethooks.{ini,json,yaml}', (file) =>
      resolve(directory, file),
    )
    .exitOverride()
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error:/, 'nethooks:')) });
  const config = (): string | undefined => program.opts<{ config?: string }>().config;

  program
    .command('up')
    .description('bring every network up, or back to what the configuration says')
    .option('--dry-run', 'show what would change, change nothing')
    .option('--json', 'print the steps as JSON')
    .action(run(async (options) => up({ ...options, config: config() })));
  program
    .command('down')
    .description('take down every network, or those named')
    .argument('[network...]')
    .option('--dry-run', 'show what would change, change nothing')
    .option('--json', 'print the steps as JSON')
    .option('--files', "also take back what `up` wrote into LXC's default.conf and /etc/sysctl.d")
    .action(run(async (networks, options) => down(networks, options)));
  program
    .command('plan')
    .description('show what `up` would change; exit status 3 if anything would')
    .option('--json', 'print the steps as JSON')
    .action(run(async (options) => plan({ ...options, config: config() })));
  program
    .command('status')
    .description('show networks, uplinks, containers, leases, and what is missing; exit status 3 if anything is')
    .option('--json', 'print it as JSON')
    .action(run(async (options) => status({ ...options, config: config() })));
  program
    .command('port')
    .description("show where a running container's ports are published, or one of them")
    .argument('<name>')
    .argument('[port]', 'PORT or PORT/PROTOCOL of the container')
    .option('--json', 'print it as JSON')
    .action(run(async (name, which, options) => port(name, which, options)));
  program
    .command('gc')
    .description('take back what is left of containers that were killed, or removed by hand')
    .option('--host-local', "also addresses that CNI's host-local left behind, on networks that are not ours")
    .option('--dry-run', 'show what would be taken back, change nothing')
    .option('--json', 'print it as JSON')
    .action(run(async (options) => gc(options)));
  const configCommand = program.command('config').description('look at the configuration, or write the first one');
  configCommand
    .command('check')
    .description('say everything that is wrong with the configuration')
    .action(run(async () => (await import('./config.ts')).check(config())));
  configCommand
    .command('show')
    .description('print the configuration with every default filled in')
    .option('--json', 'print it as JSON')
    .action(run(async (options) => (await import('./config.ts')).show({ ...options, config: config() })));
  configCommand
    .command('init')
    .description('write /etc/nethooks/nethooks.ini with a free subnet, if there is no configuration')
    .option('--print', 'print it instead')
    .action(run(async (options) => (await import('./config.ts')).init(options)));
  const configureCommand = program
    .command('configure')
    .description(
      "set a container's options and its network, at once where it runs; or put every container on a network",
    )
    .helpOption('--help', 'display help for command')
    .argument('[container]')
    .option('--all', 'every container of this host')
    .option('--net <mode>', 'bridge, bridge:NETWORK, none, host, or container:NAME')
    .option('--network <network>', 'the same; with --nic, the network of that interface')
    .option('--nic <number>', 'the interface that --network, --address and --mtu are for: the N of lxc.net.N', '0')
    .option('--remove', "take everything of ours out again, from LXC's configuration too")
    .option('--dry-run', 'show what would change, change nothing')
    .option('--json', 'print what changes as JSON')
    .action(run(async (name, options) => (await import('./configure.ts')).configure(name, options)));
  for (const option of containerOptions()) configureCommand.addOption(option);
  program
    .command('demo')
    .description('show the main job on a throwaway host in network namespaces; changes nothing on this one')
    .option('--keep', 'open a shell on the throwaway host at the end')
    .action(run(async (options) => (await import('./demo.ts')).demo(options)));

  program
    .command('attach')
    .description('connect a container, a process or a network namespace')
    .argument('<target>', 'pid:N, netns:PATH, lxc:NAME, docker:NAME, podman:NAME, rkt:UUID, or a name alone')
    .option('--network <network>', 'a network of nethooks.ini; default: the first')
    .addOption(new Option('--mode <mode>', 'another way than a network').choices(['ptp', 'macvlan', 'ipvlan']))
    .option('--master <interface>', 'what macvlan or ipvlan is on; default: the interface of the default route')
    .option('--address <address>', 'auto, an address, with --mode one with prefix length, with macvlan also dhcp')
    .option('--gateway <address>', 'with --mode: where the default route leads')
    .option('--ifname <name>', "the interface's name inside", 'eth0')
    .option('--mac <mac>', 'its MAC address')
    .option('--mtu <bytes>', 'its MTU')
    .option('--name <name>', 'what it is called in DNS; default: as the target')
    .option('--publish <ports...>', "ports of the host, in Docker's words: 8080:80")
    .option('--host-shim', 'with macvlan: let the host reach it')
    .option('--peer <target>', 'a wire to another one instead, without a bridge')
    .option('--peer-address <address>', "the other end's; default: the other one of a /30 or /31")
    .option('--peer-ifname <name>', "the other end's interface; default: as --ifname")
    .option('--json', 'print the result as CNI does')
    .action(run(async (target, options) => (await import('./attach.ts')).attach(target, options)));
  program
    .command('detach')
    .description('take back what attach made')
    .argument('<target>', 'as for attach')
    .option('--ifname <name>', 'only this interface')
    .action(run(async (target, options) => (await import('./attach.ts')).detach(target, options)));
  program
    .command('addresses')
    .description('show who holds which address, in every address store of this host')
    .argument('[network...]')
    .option('--json', 'print them as JSON')
    .action(run(async (networks, options) => addresses(networks, options)));
  const netD = program.command('net.d').description('the networks of rkt and other CNI runtimes, with our plugin');
  const netDOptions = (command: Command): Command =>
    command
      .option('--rkt', "rkt's directory, /etc/rkt/net.d")
      .option('--cni', 'the directory of other CNI runtimes, /etc/cni/net.d')
      .option('--dir <directory>', 'another directory', (text: string) => resolve(directory, text));
  netDOptions(netD.command('write').description('write our networks there'))
    .option('--master <interface>', 'what macvlan is on; default: the interface of the default route')
    .option('--force', 'write over files that say something else')
    .option('--dry-run', 'show what would be written, write nothing')
    .action(run(async (options) => writeNetD(options)));
  netDOptions(netD.command('list').description('show the networks there'))
    .option('--json', 'print them as JSON')
    .action(run(async (options) => listNetD(options)));
  netDOptions(netD.command('check').description('say what is wrong with them; exit status 3 if anything is'))
    .option('--json', 'print it as JSON')
    .action(run(async (options) => checkNetD(options)));

  const path = (text: string): string => resolve(directory, text);
  program
    .command('setup')
    .description('install this executable, its hooks, units and manual pages, and bring the networks up')
    .option('--from <directory>', 'a checkout or an unpacked release; default: the one this was built in', path)
    .option('--prefix <directory>', 'where programs go', '/usr')
    .option('--destdir <directory>', 'only put the files below this directory, as for a package', path)
    .option('--rkt', "also rkt's plugin directory and networks, if there is none yet")
    .option('--cni', 'the same for other CNI runtimes')
    .option('--dry-run', 'show what would be done, do nothing')
    .option('--json', 'print the steps as JSON')
    .addOption(new Option('--after-changes', 'something has been changed before').hideHelp())
    .action(run(async (options) => (await import('./setup.ts')).setup(options)));
  program
    .command('teardown')
    .description('take back what setup and up made; an edited configuration is kept')
    .option('--purge', 'remove the configuration all the same')
    .option('--dry-run', 'show what would be done, do nothing')
    .option('--json', 'print the steps as JSON')
    .action(run(async (options) => (await import('./teardown.ts')).teardown(options)));

  try {
    await program.parseAsync(words, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  }
  return code;
}
