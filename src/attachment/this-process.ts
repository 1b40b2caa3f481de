import type { ProcessId } from '../model/attachment.ts';
import { startTime } from '../system/process.ts';

let known: ProcessId | undefined;

/** The process that we are, for records of what it is doing. */
export function thisProcess(): ProcessId {
  known ??= { pid: process.pid, started: startTime(process.pid) };
  return known;
}
