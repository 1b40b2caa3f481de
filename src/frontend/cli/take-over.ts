/** `nethooks take-over lxc-net`, and what gives it back. */
import { forget } from '../../attachment/forget.ts';
import { currentConfig } from '../../config/cache.ts';
import { unusableLines } from '../../config/dnsmasq-lines.ts';
import { readIni } from '../../config/ini.ts';
import { keepGood } from '../../config/last-good.ts';
import { describeFault } from '../../config/load.ts';
import { defaultRanges, resolve } from '../../config/resolve.ts';
import { NethooksError } from '../../errors.ts';
import { changeHost, planChange } from '../../host/change.ts';
import { readLinks } from '../../host/facts.ts';
import { existingConfig } from '../../host/first-config.ts';
import { bare, contains } from '../../model/address.ts';
import { holderIdOf } from '../../model/attachment.ts';
import type { Config } from '../../model/config.ts';
import { LXC_NET_DEFAULTS, type LxcNetRecord, type Shares, type TakenContainer } from '../../model/lxc-net.ts';
import { LXC_NET_RECORD, leasesFile, lxcNetLeases } from '../../model/paths.ts';
import { describe, type Step } from '../../model/step.ts';
import { planKept } from '../../plan/attachment/taken-over.ts';
import {
  type LxcNetFacts,
  planLxcNetStart,
  planReturn,
  planTakeOver,
  returnedLeases,
  sectionOf,
  sharesOf,
} from '../../plan/host/take-over.ts';
import { withBlock } from '../../plan/marked-block.ts';
import { reserveAddress, storeOf } from '../../store/addresses.ts';
import { listLeasedNames } from '../../store/leases.ts';
import { isAlive, readContainer, readKept } from '../../store/records.ts';
import { type Applying, applyUntilFailure } from '../../system/apply.ts';
import { attemptDnsmasq } from '../../system/dnsmasq-attempt.ts';
import { execUntil } from '../../system/exec.ts';
import { readText } from '../../system/files.ts';
import { hooksDirectory } from '../../system/install.ts';
import { lockHost } from '../../system/lock.ts';
import { hasLxcNet, lxcNetSettings } from '../../system/lxc-net.ts';
import { type Configured, type ConfigureRequest, planConfigure } from '../lxc/configure.ts';
import { knownContainers } from '../lxc/containers.ts';
import { gatherLxcNetFacts, readLxcNetRecord } from '../lxc/lxc-net.ts';
import { checkNeighbours } from '../lxc/neighbours.ts';
import { sweepAfter } from '../sweep.ts';
import type { OptionsOf } from './commands.ts';
import { EXIT } from './exit.ts';
import { briefly } from './installation.ts';
import { warn } from './output.ts';
import { changeTo, requireRoot, workingConfig } from './up.ts';

type TakeOverOptions = OptionsOf<'take-over'>;

const LIMIT_MS = 120_000;
const WAIT_SECONDS = 30;

export async function takeOver(what: string | undefined, options: TakeOverOptions): Promise<number> {
  const { undo, move, dryRun, json } = options;
  if (what !== undefined && what !== 'lxc-net')
    throw new NethooksError(`take-over ${what}: allowed: lxc-net`, EXIT.usage);
  if (undo ? move : what === undefined)
    throw new NethooksError('take-over: allowed: lxc-net, with or without --move, or --undo', EXIT.usage);
  requireRoot('take-over');
  const how: Applying = { exec: execUntil(performance.now() + LIMIT_MS), log: warn, wait: true };
  const say = (line: string): void => {
    if (!json) console.log(line);
  };
  if (undo) return await undoTakeOver(how, options, say);

  const { facts, shares, steps: edits, plan } = await prepare(how, move === true ? 'move' : 'here');
  const { stop, between, after, notes } = plan;
  const [noted = [], ...files] = plan.files.map((step) => [step]);
  const groups = [noted, edits, files.flat(), stop, between];
  const steps = [...groups.flat(), ...after];
  for (const note of notes) warn(note);
  const tell = (prefix: string): void => {
    for (const line of linesOf(steps)) say(`${prefix}${line}`);
    for (const { container, address } of shares.taken) say(`container ${container} keeps ${address}`);
  };
  if (json) console.log(JSON.stringify({ steps, addresses: shares.taken, warnings: notes }, null, 2));
  if (dryRun) {
    tell('would ');
    say('would bring the networks up: nethooks up');
    return EXIT.ok;
  }
  const release = await lockHost(how.exec, WAIT_SECONDS);
  try {
    await applyUntilFailure(how, noted);
    hold(shares, facts.settings.bridge);
    for (const group of groups.slice(1)) await applyUntilFailure(how, group);
  } finally {
    release();
  }
  const up = await bringUp(how);
  await applyUntilFailure(how, after);
  tell('');
  if (steps.length + up.length === 0) say('nothing to change');
  if (up.length > 0) say('bring the networks up: nethooks up');
  for (const line of briefly(up)) say(line);
  return EXIT.ok;
}

/** What is done, without the lines of each file; what is remembered besides is left out. */
const linesOf = (steps: readonly Step[]): string[] =>
  steps
    .filter((step) => step.kind !== 'file' || !/^\/(var\/lib|run)\/nethooks\//.test(step.path))
    .map((step) => (describe(step)[0] ?? '').replace(/:$/, ''));

/** @throws NethooksError when the networks cannot be brought up as the configuration says */
async function bringUp(how: Applying): Promise<Step[]> {
  const plan = await changeHost(how, changeTo(await currentConfig()), WAIT_SECONDS);
  keepGood();
  await sweepAfter(how, plan);
  return plan.steps;
}

interface Prepared {
  facts: LxcNetFacts;
  shares: Shares;
  /** Of the configuration, and of containers. */
  steps: Step[];
  plan: ReturnType<typeof planTakeOver>;
}

/** @throws NethooksError with every reason why it cannot be done; nothing is changed then */
async function prepare(how: Applying, mode: LxcNetRecord['mode']): Promise<Prepared> {
  if (!hasLxcNet()) throw new NethooksError('there is no lxc-net on this host: nothing to take over');
  const hooks = hooksDirectory();
  if (hooks === null) throw new NethooksError('the LXC hooks are not installed; ./install.sh brings them');
  const facts = await gatherLxcNetFacts(how.exec);
  const { settings, record } = facts;
  if (record && record.mode !== mode)
    throw new NethooksError(
      `lxc-net is taken over already, ${record.mode === 'here' ? 'without' : 'with'} --move; \`nethooks take-over --undo\` gives it back`,
    );
  if (!settings.isOn && record === null)
    throw new NethooksError(`lxc-net is off: ${settings.use}: nothing to take over`);
  const config = await currentConfig();
  const shares = mode === 'here' ? sharesOf(facts) : { taken: [], foreign: [], lines: [] };
  const refusals = [...settings.faults];
  const section = mode === 'here' && refusals.length === 0 ? withSection(config, facts, shares) : null;
  refusals.push(...(section?.faults ?? []));
  if (refusals.length > 0) throw new NethooksError(refusals.join('\n'));
  const wanted = section?.config ?? config;
  const { plan: host } = await planChange(how.exec, changeTo(wanted));
  refusals.push(...host.refusals);
  const containers = containerSteps(wanted, hooks, mode, facts, shares);
  refusals.push(...containers.refusals);
  if (refusals.length > 0) throw new NethooksError(refusals.join('\n'));
  const plan = planTakeOver(
    { mode, changed: containers.changed, kept: planKept(settings, shares, facts.containers) },
    facts,
  );
  plan.notes.push(...containers.notes);
  return { facts, shares, steps: [...(section?.steps ?? []), ...containers.steps], plan };
}

/** The configuration with lxc-net's bridge in it. */
function withSection(config: Config, { settings }: LxcNetFacts, shares: Shares) {
  if (config.networks.some(({ name }) => name === settings.bridge)) return { config, steps: [], faults: [] };
  const lines = sectionOf(settings, shares, defaultRanges(settings.address, settings.prefix));
  const path = existingConfig() ?? config.source;
  if (!path.endsWith('.ini'))
    return {
      config,
      steps: [],
      faults: [`${path}: only nethooks.ini is edited; allowed: a network that says\n${lines.slice(1).join('\n')}`],
    };
  const before = readText(path) ?? '';
  const content = withBlock(before, lines);
  const { faults, ...rest } = resolve(readIni(content).data);
  if (faults.length === 0)
    faults.push(
      ...unusableLines(
        rest.networks.filter(({ name }) => name === settings.bridge),
        attemptDnsmasq,
      ),
    );
  // A line that was copied is at fault where it was written; `--move` needs no subnet.
  const placeOf = (value: unknown): string | undefined => shares.lines.find(({ text }) => text === value)?.place;
  return {
    config: { source: path, ...rest },
    steps: [{ kind: 'file' as const, path, before, content }],
    faults: faults.map((fault) => {
      const place = fault.key === 'dnsmasq' ? placeOf(fault.value) : undefined;
      const said = place ? `${place}: ${fault.value}: ${fault.message}` : describeFault(path, content, fault);
      return fault.key === 'address'
        ? `${said}; \`--move\` brings its containers to ${config.networks[0]?.name}`
        : said;
    }),
  };
}

/** What gives containers our hooks, and with `move` our bridge; a container that is on lxc-net's beside another one is only named. */
function containerSteps(
  config: Config,
  hooks: string,
  mode: LxcNetRecord['mode'],
  { settings, containers }: LxcNetFacts,
  { taken }: Shares,
) {
  const result = { steps: [] as Step[], changed: [] as string[], notes: [] as string[], refusals: [] as string[] };
  const target = config.networks[0]?.name ?? '';
  for (const container of containers) {
    const { name, configFile, nics } = container;
    if (nics.every(({ index }) => index !== 0)) {
      const what = `container ${name}: lxc.net.${nics[0]?.index} is on ${settings.bridge}, lxc.net.0 is not (${configFile})`;
      if (mode === 'move') result.refusals.push(`${what}; allowed: with --move, containers whose first interface is`);
      else result.notes.push(`${what}: it goes on by DHCP alone`);
      continue;
    }
    try {
      const planned = configured(config, hooks, container, mode === 'move' ? target : null, taken);
      checkNeighbours({ name, configFile, ...planned });
      if (planned.steps.length > 0) result.changed.push(name);
      result.steps.push(...planned.steps);
      result.notes.push(...planned.notes.map((note) => `container ${name}: ${note}`));
    } catch (error) {
      if (!(error instanceof NethooksError)) throw error;
      result.refusals.push(...error.message.split('\n').map((line) => `container ${name}: ${line}`));
    }
  }
  return result;
}

function configured(
  config: Config,
  hooks: string,
  { name, configFile, nics }: TakenContainer,
  target: string | null,
  taken: Shares['taken'],
): Configured {
  const own = taken.filter(({ container }) => container === name);
  const words = own
    .filter(({ isTold }) => isTold)
    .flatMap(({ nic, address }) => ['--nic', String(nic.index), '--address', address]);
  const further = nics.filter(({ index }) => target !== null && index !== 0);
  const macs = own.flatMap(({ nic }) => (nic.hasOwnMac || nic.mac === null ? [] : [[nic.index, nic.mac] as const]));
  const request: ConfigureRequest = {
    name,
    configFile,
    mode: target === null ? null : { kind: 'bridge', network: target },
    words: [...words, ...further.flatMap(({ index }) => ['--nic', String(index), '--network', target ?? ''])],
    unpublish: [],
    without: [],
    nic: '0',
    remove: false,
    release: null,
    macs: Object.fromEntries(macs),
  };
  return planConfigure(config, hooks, request);
}

/** The addresses, before anybody else can have them. */
function hold({ taken }: Shares, network: string): void {
  for (const { container, nic, address } of taken) {
    const holder = { id: holderIdOf({ kind: 'lxc', name: container }), ifname: nic.ifname };
    reserveAddress(storeOf(network), [{ from: address, to: address }], holder, { wanted: address });
  }
}

// ---- The way back

async function undoTakeOver(how: Applying, { dryRun, json }: TakeOverOptions, say: (line: string) => void) {
  const record = readLxcNetRecord();
  if (record === null) {
    if (json) console.log(JSON.stringify({ steps: [] }, null, 2));
    say('nothing to give back: lxc-net is not taken over');
    return EXIT.ok;
  }
  if (dryRun) {
    const steps = await returnSteps(how, record);
    if (json) console.log(JSON.stringify({ steps }, null, 2));
    for (const line of linesOf(steps)) say(`would ${line}`);
    say('would bring the networks up: nethooks up');
    if (record.active) say('would start lxc-net');
    return EXIT.ok;
  }
  const steps = await giveLxcNetBack(how, record, async () => void (await bringUp(how)));
  if (json) console.log(JSON.stringify({ steps }, null, 2));
  for (const line of linesOf(steps)) say(line);
  return EXIT.ok;
}

/**
 * Gives lxc-net back.
 * @param down takes our network down, without which lxc-net's cannot be
 */
export async function giveLxcNetBack(how: Applying, record: LxcNetRecord, down: () => Promise<void>): Promise<Step[]> {
  const { bridge } = record;
  const first = await returnSteps(how, record);
  const release = await lockHost(how.exec, WAIT_SECONDS);
  try {
    await applyUntilFailure(how, first);
  } finally {
    release();
  }
  const { address, prefix } = lxcNetSettings();
  await down();
  const last: Step[] = [];
  if (record.mode === 'here') {
    const path = lxcNetLeases(bridge);
    const theirs = readText(path);
    const content = returnedLeases({
      theirs,
      ours: readText(leasesFile(bridge)),
      held: record.containers.flatMap((name) => heldOn(bridge, name)),
      now: Math.floor(Date.now() / 1000),
    });
    if (content !== (theirs ?? '')) last.push({ kind: 'file', path, before: theirs, content });
  }
  const names = listLeasedNames().filter((one) => contains(`${address}/${prefix}`, one));
  last.push(...planLxcNetStart(record, readText(LXC_NET_RECORD) ?? '', names));
  for (const name of record.containers) {
    const running = readContainer(name);
    if (running === null || !isAlive(running)) await forget(how, name);
  }
  await applyUntilFailure(how, last);
  return [...first, ...last];
}

const heldOn = (network: string, name: string) =>
  readKept(name).interfaces.flatMap((one) =>
    one.network === network && one.mac !== ''
      ? one.addresses.map((address) => ({ address: bare(address), mac: one.mac, name }))
      : [],
  );

async function returnSteps(how: Applying, record: LxcNetRecord): Promise<Step[]> {
  const hooks = hooksDirectory() ?? '';
  const config = await workingConfig();
  const path = existingConfig();
  const containers = knownContainers()
    .containers.filter(({ name }) => record.containers.includes(name))
    .flatMap(({ name, configFile }) => {
      const request: ConfigureRequest = {
        name,
        configFile,
        mode: null,
        words: [],
        unpublish: [],
        without: [],
        nic: '0',
        remove: true,
        release: null,
      };
      return planConfigure(config, hooks, request).steps;
    });
  return [
    ...containers,
    ...planReturn({
      record,
      recordText: readText(LXC_NET_RECORD),
      config: path === undefined ? null : { path, text: readText(path) ?? '' },
      defaults: readText(LXC_NET_DEFAULTS),
      links: await readLinks(how.exec),
    }),
  ];
}
