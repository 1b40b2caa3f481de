/** The network namespace that CNI_NETNS names. */
import { closeSync, fstatSync, openSync, statSync } from 'node:fs';
import type { Exec } from '../../system/exec.ts';
import { type Ip, ipInside, ipOnHost } from '../../system/ip.ts';
import { CniError, CODE } from './error.ts';

/**
 * Opens it, and holds it open: whatever happens to the path meanwhile, one call works in one namespace.
 * @throws CniError (unknown container) when there is none at the path, or when it is the host's own
 */
export function openNamespace(path: string): number {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch (error) {
    throw new CniError(CODE.unknownContainer, `failed to open netns ${path}`, (error as Error).message);
  }
  const { dev, ino } = fstatSync(fd);
  const own = statSync('/proc/self/ns/net');
  if (dev === own.dev && ino !== own.ino) return fd;
  closeSync(fd);
  if (dev === own.dev) throw new CniError(CODE.unknownContainer, `netns ${path} is the host's own`);
  throw new CniError(CODE.unknownContainer, `${path} is no network namespace`);
}

/** The same where a namespace that has gone is no error. */
export function openNamespaceIfThere(path: string): number | null {
  try {
    return path === '' ? null : openNamespace(path);
  } catch {
    return null;
  }
}

/** A namespace, and who is to set it up. */
export interface Entered {
  /** An open file descriptor. */
  namespace: number;
  /** On the host and inside, for their first lines. */
  ip: { host: Ip; inside: Ip };
}

/** @throws CniError as openNamespace does */
export function enter(exec: Exec, path: string): Entered {
  const namespace = openNamespace(path);
  return { namespace, ip: { host: ipOnHost(exec, namespace, '-json'), inside: ipInside(exec, namespace, '-json') } };
}
