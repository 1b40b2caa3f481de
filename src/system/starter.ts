/**
 * Whoever waits for a container to start: a hook's output goes to LXC, which logs it at level DEBUG, while the user sees what the
 * program that was called has as standard error. So a line is written there.
 */
import { closeSync, constants, fstatSync, openSync, readdirSync, readlinkSync, statSync, writeSync } from 'node:fs';
import { basename } from 'node:path';
import { isOurs, isStarter, names } from './lxc-command.ts';
import { commandLine } from './process.ts';

/**
 * Writes a line to the standard error of our parent, which is LXC's monitor or, in the foreground, the program itself; and of the
 * programs that wait for a monitor to have started this container. Never blocks, never throws.
 */
export function writeToStarters(container: string, line: string): void {
  const pids = attempt(() => readdirSync('/proc').filter((name) => /^\d+$/.test(name) && waitsFor(container, name)));
  for (const pid of new Set([String(process.ppid), ...(pids ?? [])])) attempt(() => writeTo(pid, line));
}

/** Whether a process is the program that was called to start the container. */
function waitsFor(container: string, pid: string): boolean {
  return (
    attempt(() => isOurs(pid) && startsContainer(container, readlinkSync(`/proc/${pid}/exe`), Number(pid))) ?? false
  );
}

function startsContainer(container: string, program: string, pid: number): boolean {
  // lxc-autostart starts one after the other, and the line says which.
  return basename(program) === 'lxc-autostart' || (isStarter(program) && names(commandLine(pid), container));
}

/** Terminals and pipes only: of a file or a socket we would not share the position, or could not open it. */
function writeTo(pid: string, line: string): void {
  const path = `/proc/${pid}/fd/2`;
  const isTerminal = /^\/dev\/(pts\/\d+|tty\w*|console)$/.test(readlinkSync(path));
  if (!isTerminal && !statSync(path).isFIFO()) return;
  // With O_NONBLOCK neither a pipe that is full nor a terminal that is halted holds us up.
  const fd = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  try {
    const now = fstatSync(fd);
    // `lxc-start -F` has set its terminal to raw mode: a line feed alone does not begin a line.
    if (now.isFIFO() || now.isCharacterDevice()) writeSync(fd, `${line}${isTerminal ? '\r' : ''}\n`);
  } finally {
    closeSync(fd);
  }
}

/** Processes come and go while they are looked at. */
function attempt<T>(action: () => T): T | undefined {
  try {
    return action();
  } catch {
    return undefined;
  }
}
