/** CHECK: whether what ADD made is still there. */
import { closeSync } from 'node:fs';
import { bare, canonicalCidr } from '../../model/address.ts';
import { attachmentId } from '../../model/attachment.ts';
import { readRecord } from '../../store/records.ts';
import { type Exec, failure } from '../../system/exec.ts';
import { ipInside } from '../../system/ip.ts';
import { isHeldBy } from '../../system/reservation-file.ts';
import type { CniContext } from './add.ts';
import type { Conf } from './conf.ts';
import { delegate } from './delegate.ts';
import { CniError, CODE } from './error.ts';
import { differenceInside, SHOW_INSIDE, type ShownLink, shown } from './inside.ts';
import { ipamOf } from './ipam.ts';
import { openNamespace } from './namespace.ts';
import type { Request } from './request.ts';
import type { Result } from './result.ts';
import { ownerOfRequest } from './spec.ts';

/** @throws CniError: (config) without prevResult, (differs) with what is missing */
export async function check({ exec }: CniContext, request: Request, conf: Conf): Promise<void> {
  const expected = conf.prevResult;
  if (!expected) throw new CniError(CODE.config, 'prevResult: missing; CHECK compares with it');
  const namespace = openNamespace(request.netns);
  try {
    await checkInside(exec, namespace, request, expected);
  } finally {
    closeSync(namespace);
  }
  if (conf.kind === 'dns') return;
  checkHost(exec, request, conf, expected);
  checkAddresses(exec, request, conf, expected);
}

async function checkInside(exec: Exec, namespace: number, request: Request, expected: Result): Promise<void> {
  const result = await ipInside(exec, namespace, '-json')(SHOW_INSIDE);
  if (result.code !== 0) throw new CniError(CODE.failed, failure('ip', ['-batch', '-'], result));
  const difference = differenceInside(result.stdout, request, expected);
  if (difference !== null) throw differs(difference);
}

function checkHost(exec: Exec, request: Request, conf: Conf, expected: Result): void {
  const hostLink = readRecord(attachmentId(ownerOfRequest(request)))?.interfaces[0]?.hostLink;
  if (!hostLink) return;
  const link = shown(exec('ip', ['-json', 'address', 'show', 'dev', hostLink]).stdout)[0] as
    | (ShownLink & { master?: string })
    | undefined;
  if (!link?.flags.includes('UP')) throw differs(`the host's end ${hostLink} is ${link ? 'down' : 'missing'}`);
  const bridge = conf.kind === 'ptp' ? undefined : expected.interfaces.find(({ sandbox }) => !sandbox)?.name;
  if (bridge && link.master !== bridge) throw differs(`the host's end ${hostLink} is not on bridge ${bridge}`);
}

function checkAddresses(exec: Exec, request: Request, conf: Conf, expected: Result): void {
  const ipam = conf.kind === 'network' ? null : ipamOf(request, conf);
  if (ipam?.how === 'plugin') delegate(exec, 'CHECK', ipam.delegation);
  const store =
    ipam?.how === 'store' ? ipam.store : readRecord(attachmentId(ownerOfRequest(request)))?.interfaces[0]?.store;
  if (!store) return;
  const holder = { id: request.containerId, ifname: request.ifname };
  const held = expected.ips.some(({ address }) =>
    isHeldBy(`${store.dataDir}/${store.network}/${bare(canonicalCidr(address))}`, holder),
  );
  if (!held) throw differs(`no address of network ${store.network} is held by the container`);
}

const differs = (message: string): CniError => new CniError(CODE.differs, message);
