/** Reading the log: all of it, and what is appended from now on. */
import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs';
import { type EventRecord, parseEvent, parseEvents } from '../model/event.ts';
import { HOOK_LOG } from '../model/paths.ts';
import { isMissing, readText } from './files.ts';
import { formerLogs } from './log.ts';

/** Every event in the log, the oldest first. */
export function readEvents(path = HOOK_LOG): EventRecord[] {
  const events = [...formerLogs(path), path].flatMap((file) => parseEvents(readText(file) ?? ''));
  // Who had a file open when it got another name has written behind others.
  return events.sort((one, other) => Number(one.at > other.at) - Number(one.at < other.at));
}

interface Open {
  file: number;
  inode: number;
  /** Bytes that have been read. */
  at: number;
  /** What has been read of a line that has no end yet. */
  rest: Buffer;
}

/** What is appended after it was made; files that get another name are read to their end. */
export class LogFollower {
  private readonly path: string;
  /** The current one last; those before it while somebody may still write into them. */
  private open: Open[] = [];

  constructor(path = HOOK_LOG) {
    this.path = path;
    this.openCurrent();
    for (const one of this.open) one.at = fstatSync(one.file).size;
  }

  /** What has come since the last time. */
  next(): EventRecord[] {
    this.openCurrent();
    const events = this.open.flatMap(readOn);
    for (const { file } of this.open.splice(0, this.open.length - 2)) closeSync(file);
    return events;
  }

  private openCurrent(): void {
    const inode = statSync(this.path, { throwIfNoEntry: false })?.ino;
    if (inode === undefined || inode === this.open.at(-1)?.inode) return;
    try {
      const file = openSync(this.path, 'r');
      this.open.push({ file, inode: fstatSync(file).ino, at: 0, rest: Buffer.alloc(0) });
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
  }
}

function readOn(open: Open): EventRecord[] {
  const { size } = fstatSync(open.file);
  if (size < open.at) Object.assign(open, { at: 0, rest: Buffer.alloc(0) }); // somebody has emptied it
  const bytes = Buffer.alloc(size - open.at);
  const length = bytes.length === 0 ? 0 : readSync(open.file, bytes, 0, bytes.length, open.at);
  open.at += length;
  const text = Buffer.concat([open.rest, bytes.subarray(0, length)]);
  const end = text.lastIndexOf('\n') + 1;
  open.rest = text.subarray(end);
  return text
    .toString('utf8', 0, end)
    .split('\n')
    .flatMap((line) => parseEvent(line) ?? []);
}
