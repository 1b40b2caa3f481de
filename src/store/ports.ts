/**
 * Which attachment holds which host port: one file per protocol, port and address, `/run/nethooks/ports/tcp-8080/0.0.0.0`, that names
 * its holder. Gone at a reboot, as what runs is.
 */
import { rmdirSync } from 'node:fs';
import { NethooksError } from '../errors.ts';
import { attachmentId, ownerOf, showOwner } from '../model/attachment.ts';
import { RUN } from '../model/paths.ts';
import type { Published } from '../model/policy.ts';
import { each, type PortRange, type Protocol } from '../model/ports.ts';
import { collide, showHostPort, type Wanted } from '../plan/attachment/publish.ts';
import { filesIn } from '../system/files.ts';
import { boundSockets, type Owner, ownersOf, type Socket, showOwner as showProcess } from '../system/listeners.ts';
import { type Holder, readHolder, releaseIfHeld, reservedAt, reserving } from '../system/reservation-file.ts';
import { sleep } from '../system/sleep.ts';
import { Exhausted } from './addresses.ts';
import { isLive, listRecords } from './records.ts';

export const PORTS_DIR = `${RUN}/ports`;

/** A port of the host, at one of its addresses or (null) at all of them. */
export type HostPort = Pick<Published, 'protocol' | 'hostAddress' | 'hostPort'>;

/** One that is held. */
export interface HeldPort extends HostPort {
  /** The attachment's id. */
  container: string;
  /** ms since the epoch. */
  reservedAt: number;
}

export interface ReservedPorts {
  published: Published[];
  /** Those that the container did not hold before, so a rollback may release them. */
  fresh: HostPort[];
}

export interface PortOptions {
  /** What the container had published before: it gets the same ports again where they are free. */
  remembered?: readonly Published[];
  directory?: string;
  /** Whether a process holds a busy port for this very container, so that it is no conflict. Asked only about busy ports. */
  isOwn?: (pid: number) => boolean;
}

/** How often two who at the same moment reserved ports that exclude each other step back and try again. */
const ATTEMPTS = 12;

/**
 * Reserves a host port for each of `wanted`, all or none. A port that the container holds already stays its own.
 * @param range where ports that nobody chose come from
 * @throws NethooksError naming who has a port: a container, or a process of the host
 */
export function reservePorts(
  container: string,
  wanted: readonly Wanted[],
  range: PortRange,
  { remembered = [], directory = PORTS_DIR, isOwn }: PortOptions = {},
): ReservedPorts {
  if (wanted.length === 0) return { published: [], fresh: [] };
  const sockets = new Sockets(new Set(wanted.map(({ protocol }) => protocol)), isOwn);
  for (let attempt = 1; ; attempt++) {
    const claims = new Claims(directory, container, sockets);
    try {
      const published = claims.all(wanted, (one) => candidates(container, one, range, remembered));
      const rival = claims.rival();
      if (rival === undefined) return { published, fresh: claims.fresh };
      if (attempt === ATTEMPTS)
        throw new NethooksError(`host port ${show(rival.port)} is being taken by ${showOwner(rival.holder)}`);
    } catch (error) {
      releasePorts(container, claims.fresh, directory);
      throw error;
    }
    releasePorts(container, claims.fresh, directory);
    sleep(Math.random() * 4 * attempt);
  }
}

/** Gives ports back that the container holds; others, and those already given back, stay as they are. */
export function releasePorts(container: string, ports: readonly HostPort[], directory = PORTS_DIR): void {
  for (const port of ports) {
    if (!releaseIfHeld(directory, fileOf(port), holderOf(container))) continue;
    try {
      rmdirSync(`${directory}/${key(port)}`);
    } catch {
      // It is held at another address too.
    }
  }
}

/** Every reservation with its container; `reservedAt` is in ms since the epoch. */
export function listPorts(directory = PORTS_DIR): HeldPort[] {
  return entries(directory).flatMap((port) => {
    const container = holderAt(directory, port);
    const time = reservedAt(`${directory}/${fileOf(port)}`);
    return container === null || time === null ? [] : [{ ...port, container, reservedAt: time }];
  });
}

/**
 * A reservation that does not say whose it is gets the name of the attachment that has the port by its record, or goes.
 * @returns whether the port is free now
 */
export function mendPort(port: HostPort, directory = PORTS_DIR): boolean {
  const holder = readHolder(`${directory}/${fileOf(port)}`);
  if (holder && ownerOf(holder.id)) return false;
  if (!releaseIfHeld(directory, fileOf(port), holder && { id: holder.id })) return false;
  const owner = listRecords().find(
    (record) => isLive(record) && record.policy?.publish.some((one) => samePort(one, port)),
  );
  if (!owner) return true;
  holdPort(attachmentId(owner.owner), port, directory);
  return false;
}

/** Reserves a port that its rules lead to already. */
export function holdPort(container: string, port: HostPort, directory = PORTS_DIR): void {
  reserving(directory, holderOf(container), (link) => link(fileOf(port)));
}

/** Reservations that do not say whose they are. */
export const listUnclearPorts = (): HostPort[] =>
  entries(PORTS_DIR).filter((port) => holderAt(PORTS_DIR, port) === null);

/** The file that says who has a port. */
export const portFile = (port: HostPort): string => `${PORTS_DIR}/${fileOf(port)}`;

const holderOf = (container: string): Holder => ({ id: container, ifname: '-' });
/** The attachment that a file names; null when it names none. */
function holderAt(directory: string, port: HostPort): string | null {
  const id = readHolder(`${directory}/${fileOf(port)}`)?.id;
  return id !== undefined && ownerOf(id) ? id : null;
}
const fileOf = ({ protocol, hostAddress, hostPort }: HostPort): string =>
  `${protocol}-${hostPort}/${hostAddress ?? '0.0.0.0'}`;
const show = (port: HostPort): string => `${showHostPort(port)}/${port.protocol}`;
const key = ({ protocol, hostPort }: HostPort): string => `${protocol}-${hostPort}`;

/** Every reservation. */
const entries = (directory: string): HostPort[] => filesIn(directory).flatMap((name) => within(directory, name));

/** The reservations of one port, `tcp-8080`, at whichever address. */
function within(directory: string, name: string): HostPort[] {
  const [, protocol, port] = /^(tcp|udp|sctp)-(\d+)$/.exec(name) ?? [];
  if (!protocol || !port) return [];
  return filesIn(`${directory}/${name}`).map((address) => ({
    protocol: protocol as Protocol,
    hostAddress: address === '0.0.0.0' ? null : address,
    hostPort: Number(port),
  }));
}

/** Host ports in the order to try them. Those that nobody chose begin at a place of the container's own, so that they last. */
function candidates(container: string, one: Wanted, range: PortRange, remembered: readonly Published[]): number[] {
  const before = remembered.filter(
    (old) =>
      old.containerPort === one.containerPort && old.protocol === one.protocol && old.hostAddress === one.hostAddress,
  );
  const all = one.hostPorts ?? each(range);
  const kept = before.map(({ hostPort }) => hostPort).filter((port) => all.includes(port));
  const start = one.hostPorts === null ? hash(`${container} ${one.protocol} ${one.containerPort}`) % all.length : 0;
  return [...kept, ...all.slice(start), ...all.slice(0, start)];
}

/** FNV-1a: spreads names evenly. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (const character of text) value = Math.imul(value ^ (character.codePointAt(0) as number), 0x01000193) >>> 0;
  return value;
}

/** The host's sockets that take what comes to a port. */
class Sockets {
  private readonly all: Socket[];
  private readonly isOwn: PortOptions['isOwn'];
  private owners: Map<string, Owner[]> | undefined;

  constructor(protocols: ReadonlySet<Protocol>, isOwn: PortOptions['isOwn']) {
    this.all = boundSockets(protocols);
    this.isOwn = isOwn;
  }

  /** One that keeps the port busy for somebody else than the container. */
  busy({ protocol, hostAddress, hostPort }: HostPort): Socket | undefined {
    return this.all.find(
      (socket) =>
        socket.port === hostPort &&
        socket.protocol === protocol &&
        (socket.address === '::' || collide(socket.address === '0.0.0.0' ? null : socket.address, hostAddress)) &&
        !this.isContainers(socket),
    );
  }

  /** The processes behind a socket: looked up once for all sockets, as that is dear, and only when a port is found busy. */
  ownersOf({ inode }: Socket): Owner[] {
    this.owners ??= ownersOf(new Set(this.all.map((socket) => socket.inode)));
    return this.owners.get(inode) ?? [];
  }

  private isContainers(socket: Socket): boolean {
    const { isOwn } = this;
    return isOwn !== undefined && this.ownersOf(socket).some(({ pid }) => isOwn(pid));
  }
}

/** What one container takes in one go. */
class Claims {
  readonly fresh: HostPort[] = [];
  private readonly mine = new Map<string, HostPort[]>();
  private readonly directory: string;
  private readonly container: string;
  private readonly sockets: Sockets;

  constructor(directory: string, container: string, sockets: Sockets) {
    this.directory = directory;
    this.container = container;
    this.sockets = sockets;
  }

  /** @throws NethooksError when one of them has no candidate that is free */
  all(wanted: readonly Wanted[], candidatesOf: (one: Wanted) => number[]): Published[] {
    return reserving(this.directory, holderOf(this.container), (link) => {
      const chosen = new Map<Wanted, number>();
      // Those with the fewest choices first, so that none of theirs is given to one that could have any.
      const freedom = (one: Wanted): number => one.hostPorts?.length ?? Number.POSITIVE_INFINITY;
      for (const one of [...wanted].sort((a, b) => freedom(a) - freedom(b) || 0)) {
        const choices = candidatesOf(one);
        const port = choices.find((hostPort) => this.claim({ ...one, hostPort }, link));
        if (port === undefined) throw this.refusal(one, choices);
        chosen.set(one, port);
      }
      return wanted.map((one) => {
        const { protocol, hostAddress, containerPort } = one;
        return { protocol, hostAddress, hostPort: chosen.get(one) as number, containerPort };
      });
    });
  }

  /** A reservation made meanwhile that excludes a port of ours, under another name: of one address, or of all. */
  rival(): { port: HostPort; holder: string } | undefined {
    for (const own of [...this.mine.values()].flat()) {
      const holder = this.owner(own);
      if (holder !== undefined) return { port: own, holder };
    }
    return undefined;
  }

  private claim(port: HostPort, link: (name: string) => boolean): boolean {
    const own = this.mine.get(key(port)) ?? [];
    if (own.some((other) => excludes(other, port)) || this.owner(port) || this.sockets.busy(port)) return false;
    const held = holderAt(this.directory, port) === this.container;
    if (!held && !link(fileOf(port)) && !(mendPort(port, this.directory) && link(fileOf(port)))) return false;
    const { protocol, hostAddress, hostPort } = port;
    this.mine.set(key(port), [...own, { protocol, hostAddress, hostPort }]);
    if (!held) this.fresh.push({ protocol, hostAddress, hostPort });
    return true;
  }

  private owner(port: HostPort): string | undefined {
    const holders = within(this.directory, key(port))
      .filter((other) => excludes(other, port))
      .map((other) => holderAt(this.directory, other));
    return holders.find((holder) => holder !== null && holder !== this.container) ?? undefined;
  }

  private refusal(one: Wanted, choices: number[]): Exhausted {
    const { text, protocol, hostAddress } = one;
    const [hostPort] = choices;
    if (one.hostPorts?.length !== 1 || hostPort === undefined)
      return new Exhausted(`${name(one)}: no host port is free of ${one.hostPorts ? text : 'the ephemeral range'}`);
    const port = { protocol, hostAddress, hostPort };
    const socket = this.sockets.busy(port);
    const process = socket && showProcess(this.sockets.ownersOf(socket));
    const container = this.owner(port) ?? holderAt(this.directory, port);
    const who = process ?? (container === null ? 'somebody else' : showOwner(container));
    return new Exhausted(`${name(one)}: host port ${show(port)} is in use by ${who}; allowed: a port that is free`);
  }
}

/** Whether two are one reservation. */
export const samePort = (a: HostPort, b: HostPort): boolean => fileOf(a) === fileOf(b);

const excludes = (a: HostPort, b: HostPort): boolean => collide(a.hostAddress, b.hostAddress);
const name = ({ text }: Wanted): string => (text.startsWith('publish') ? text : `publish ${text}`);
