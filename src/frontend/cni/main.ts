/** One call of a CNI runtime: read what it asks, do it, answer on standard output. */
import { readSync, writeSync } from 'node:fs';
import { NethooksError } from '../../errors.ts';
import { beginEvent, endEvent, note } from '../../system/event.ts';
import { execUntil } from '../../system/exec.ts';
import type { CniContext } from './add.ts';
import { kindIfClear, parseConf } from './conf.ts';
import { CniError, CODE, renderError } from './error.ts';
import { enter } from './namespace.ts';
import { guessVersion, parseCommand, parseRequest, type Request } from './request.ts';
import { type Result, renderResult } from './result.ts';
import { versionReport } from './versions.ts';

/** ms for all programs of one call together; DHCP alone may take half a minute. */
const LIMIT_MS = 90_000;
const MAX_BYTES = 16 * 1024 * 1024;

/**
 * @param words what follows `cni`: nothing, or `dhcp-inform ADDRESS`, which dhcp.ts runs in the container's namespace
 * @returns the exit status: 0, or 1 with an error on standard output
 */
export async function runCni(words: readonly string[]): Promise<number> {
  if (words[0] === 'dhcp-inform') {
    const { inform } = await import('./dhcp-inform.ts');
    print(JSON.stringify(await inform(words[1] ?? '')));
    return 0;
  }
  let text = '';
  let title = '';
  try {
    const command = parseCommand(process.env);
    text = readInput();
    if (command === 'VERSION') {
      print(versionReport(guessVersion(text)));
      return 0;
    }
    const request = parseRequest(command, process.env, text);
    title = [request.name, request.containerId, request.ifname].join(' ').trim();
    const input = { words: [], env: inputOf(process.env) };
    beginEvent(`cni ${command}`, title, input, command === 'ADD' || command === 'DEL' ? 'always' : 'changes');
    if (process.getuid?.() !== 0) throw new CniError(CODE.failed, 'needs root');
    const context = { exec: execUntil(performance.now() + LIMIT_MS), log: note };
    const result = await perform(context, request);
    endEvent(null);
    if (result) print(renderResult(result, request.version));
    return 0;
  } catch (error) {
    const message = wordsOf(error);
    endEvent(message);
    // What the runtime got wrong it hears itself.
    if (!(error instanceof CniError) || error.code >= CODE.failed)
      (await import('../../system/syslog.ts')).tellSystem(`cni ${title}: ${message.split('\n')[0]}`);
    print(renderError(error, guessVersion(text)));
    return 1;
  }
}

/** Without CNI_ARGS, which may say anything. */
const inputOf = ({
  CNI_CONTAINERID = '',
  CNI_NETNS = '',
  CNI_IFNAME = '',
}: NodeJS.ProcessEnv): Record<string, string> => ({
  CNI_CONTAINERID,
  CNI_NETNS,
  CNI_IFNAME,
});

/** Each command loads what it needs alone. */
async function perform(context: CniContext, request: Request): Promise<Result | null> {
  const chained = kindIfClear(request.conf) === 'dns';
  // With what ADD left behind, DEL needs no configuration that still makes sense.
  if (request.command === 'DEL') {
    if (chained) await (await import('./chained.ts')).removeChained(context, request);
    else await (await import('./del.ts')).del(context, request);
    return null;
  }
  // What sets the namespace up loads while we find out how.
  const entered = request.command === 'ADD' && !chained ? enter(context.exec, request.netns) : null;
  const conf = parseConf(request.conf, request.args);
  switch (request.command) {
    case 'ADD':
      if (entered) return (await import('./add.ts')).add(context, request, conf, entered);
      return (await import('./chained.ts')).addNames(context, request, conf);
    case 'CHECK':
      await (await import('./check.ts')).check(context, request, conf);
      return null;
    case 'GC':
      await (await import('./gc.ts')).gc(context, request, conf);
      return null;
    case 'STATUS':
      (await import('./status.ts')).status(context, request, conf);
      return null;
    default:
      return null;
  }
}

/** @throws CniError (io) */
function readInput(): string {
  const chunks: Buffer[] = [];
  let size = 0;
  for (;;) {
    const chunk = Buffer.alloc(65_536);
    let length: number;
    try {
      length = readSync(0, chunk, 0, chunk.length, null);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code === 'EAGAIN') {
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2); // a pipe that its other end does not block on
        continue;
      }
      if (code === 'EOF') break;
      throw new CniError(CODE.io, `error reading from stdin: ${code}`);
    }
    if (length === 0) break;
    size += length;
    if (size > MAX_BYTES) throw new CniError(CODE.io, `error reading from stdin: more than ${MAX_BYTES} bytes`);
    chunks.push(chunk.subarray(0, length));
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** All of it, also into a pipe that is full. */
function print(line: string): void {
  const bytes = Buffer.from(`${line}\n`);
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(1, bytes, at);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
    }
  }
}

function wordsOf(error: unknown): string {
  if (error instanceof CniError) return [error.message, error.details].filter(Boolean).join(': ');
  if (error instanceof NethooksError) return error.message;
  return `internal error: ${error instanceof Error ? error.stack : error}`;
}
