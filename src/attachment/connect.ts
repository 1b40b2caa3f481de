/**
 * Connects a network namespace to networks: addresses, routes, names, resolv.conf. LXC's start-host is one caller; nothing in here
 * knows who calls.
 */

import { NethooksError } from '../errors.ts';
import { type ContainerOptions, NO_OPTIONS } from '../model/container-options.ts';
import { dnsName } from '../model/names.ts';
import { type Attachment, attach, attachCommands, type Joining } from '../plan/attachment/interfaces.ts';
import { releaseAddress, reserveAddress } from '../store/address-store.ts';
import {
  type ContainerRecord,
  forget,
  holderId,
  type KeptRecord,
  readKept,
  readRunning,
  releaseFormer,
  remember,
  rememberTold,
  silence,
  storeOf,
} from '../store/container.ts';
import { forgetParent } from '../store/links.ts';
import { announce, unreserveInDhcp } from '../store/names.ts';
import { type HostPort, releasePorts, samePort } from '../store/ports.ts';
import { type Exec, failure } from '../system/exec.ts';
import type { Ip } from '../system/ip.ts';
import { startTime } from '../system/process.ts';
import { writeLinkEnvironment } from './link-files.ts';
import { makePolicy, NO_WISH, type PolicyWish, resolveLink } from './make-policy.ts';
import { applyPolicy } from './policy.ts';
import { relinkParents } from './relink.ts';
import { convenience, namesOf, type Telling, tell } from './tell.ts';

/** What is to be connected. */
export interface Connection {
  /** The container's name, safe as a file name. */
  name: string;
  /** pid of its init. */
  pid: number;
  /** In its network namespace, waiting for its lines. */
  ip: Ip;
  /** The directory that is its root. */
  root: string;
  joining: Joining[];
  /** What it publishes and links to. */
  wish?: PolicyWish;
  /** What it is called and told; its ports and links are in `wish`. */
  options?: ContainerOptions;
  /** Its LXC configuration and the words on its hook line, for the record. */
  configFile?: string | null;
  words?: readonly string[];
}

export interface ConnectContext {
  exec: Exec;
  log: (line: string) => void;
}

/**
 * Sets everything up and remembers it. Names and files are conveniences: what goes wrong with them is logged. What keeps
 * containers apart is none: without it there is no container.
 * @throws NethooksError when an interface cannot have its address, or the kernel refuses the policy; nothing is left then
 */
export async function connect(how: ConnectContext, connection: Connection): Promise<ContainerRecord> {
  const { exec, log } = how;
  const { name, pid, ip, root, joining, wish = NO_WISH, options = NO_OPTIONS } = connection;
  const { words = [], configFile = null } = connection;
  const done: Done = { reserved: [], ports: [], attachments: [], telling: null };
  // What an earlier life left that nobody took back: its monitor was killed.
  const before = readRunning(name)?.policy ?? null;
  try {
    const kept = readKept(name);
    const attachments = reserveAll(name, joining, kept, done);
    const links = wish.link.flatMap(({ container, alias }) => resolveLink(attachments, container, alias) ?? []);
    const publishes = wish.publish.length > 0 || wish.publishAll;
    const addressed = setAddresses(ip, attachments, publishes);
    addressed.catch(() => undefined); // it is waited for, unless something else goes wrong before
    // Meanwhile, what needs no interface.
    convenience(log, 'names', () => {
      for (const line of announce(name, attachments, namesOf(name, options, links))) log(line);
    });
    const network = joining[0]?.network ?? null;
    const telling = { name, pid, root, attachments, network, options, links, before: kept.told };
    const told = tell(exec, log, telling);
    done.telling = { ...telling, before: told };
    const port = publishes ? await addressed : null;
    const networks = joining.map((one) => one.network);
    const made = makePolicy({ name, attachments, networks, port }, wish, kept.publish, log);
    done.ports = made.fresh;
    const record = { name, pid, started: startTime(pid), attachments, words, configFile, policy: made.policy };
    // Before the kernel has it: what is cut short here is found by `nethooks gc`.
    remember(record, told);
    await addressed;
    releaseFormer(name, kept.attachments, attachments);
    if (before || made.policy) applyPolicy(exec, before, made.policy, log);
    if (before)
      releasePorts(
        name,
        before.publish.filter((old) => !made.policy?.publish.some((port) => samePort(port, old))),
      );
    convenience(log, 'links', () => relinkParents(exec, name, false, log));
    convenience(log, 'environment of links', () => {
      if (writeLinkEnvironment(name, made.policy?.links ?? [], configFile))
        log('the environment of its links has changed since it was read: it takes effect at the next start');
    });
    if (dnsName(name) === null) log(`${name} cannot be a DNS name (RFC 1123): it has an address, but no name`);
    return record;
  } catch (error) {
    undo(how, name, done);
    if (before) {
      convenience(log, 'rules of its last run', () => applyPolicy(exec, before, null, log));
      releasePorts(name, before.publish);
    }
    throw error;
  }
}

/** What has been done so far. */
interface Done {
  reserved: Reserved[];
  ports: HostPort[];
  attachments: Attachment[];
  /** What its files say. */
  telling: Telling | null;
}

interface Reserved {
  address: string;
  fresh: boolean;
  network: string;
  ifname: string;
}

/** The container's interfaces, each with its address: the one that it had, where it can. */
function reserveAll(name: string, joining: Joining[], kept: KeptRecord, done: Done): Attachment[] {
  done.attachments = joining.map((one) => {
    const hint = kept.attachments.find((old) => old.network === one.network.name && old.ifname === one.nic.name);
    const reservation = reserve(name, one, hint?.address);
    done.reserved.push(reservation);
    return attach(one, reservation.address);
  });
  return done.attachments;
}

function reserve(name: string, { nic, network, wanted }: Joining, hint: string | undefined): Reserved {
  const holder = { id: holderId(name), ifname: nic.name };
  const options = {
    skip: [network.address],
    ...(wanted === null ? {} : { wanted }),
    ...(hint === undefined ? {} : { hint }),
  };
  const reservation = reserveAddress(storeOf(network.name), [network.reserve], holder, options);
  return { ...reservation, network: network.name, ifname: nic.name };
}

/** Names, ports and the record vanish again, and addresses that were not the container's before. Its files no longer name us. */
function undo({ exec, log }: ConnectContext, name: string, { reserved, ports, attachments, telling }: Done): void {
  if (telling)
    convenience(log, 'files', () =>
      rememberTold(
        name,
        tell(exec, log, { ...telling, attachments: [], network: null, options: NO_OPTIONS, links: [] }),
      ),
    );
  forgetParent(name);
  releasePorts(name, ports);
  silence(name, attachments);
  if (reserved.length > 0 && reserved.every(({ fresh }) => fresh)) {
    unreserveInDhcp(name, attachments); // at its first start no record names them yet
    forget(name);
  }
  for (const { fresh, network, ifname, address } of reserved)
    if (fresh) releaseAddress(storeOf(network), { id: holderId(name), ifname }, address);
}

/** Sets the interfaces up; where `publishes`, the index of the host's interface that the first one is paired with. */
async function setAddresses(ip: Ip, attachments: Attachment[], publishes: boolean): Promise<number | null> {
  const show = publishes ? [`link show dev ${attachments[0]?.ifname}`] : [];
  const result = await ip([...attachCommands(attachments), ...show]);
  if (result.code !== 0) throw new NethooksError(failure('ip', ['-batch', '-'], result));
  return Number(/@if(\d+):/.exec(result.stdout)?.[1] ?? Number.NaN) || null;
}
