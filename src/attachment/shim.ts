/**
 * macvlan keeps the host and its containers apart, as the interface below hands nothing back to itself. A macvlan interface of the
 * host's own beside the containers' (ip-link(8), mode bridge) is how they reach each other; it needs no address, only routes.
 */
import { NethooksError } from '../errors.ts';
import { hostCidr } from '../model/address.ts';
import { type AttachmentRecord, attachmentId } from '../model/attachment.ts';
import { listRecords } from '../store/records.ts';
import { type Exec, wordsOf } from '../system/exec.ts';

type Shim = NonNullable<AttachmentRecord['shim']>;

/** @throws NethooksError; nothing is left then */
export function addShim(exec: Exec, master: string, addresses: readonly string[]): Shim {
  const shim = { link: shimName(master), addresses: [...addresses] };
  const made = exec('ip', [
    'link',
    'add',
    'link',
    master,
    'name',
    shim.link,
    'up',
    'type',
    'macvlan',
    'mode',
    'bridge',
  ]);
  const fresh = made.code === 0;
  if (!fresh && !/File exists/.test(made.stderr))
    throw new NethooksError(`--host-shim: nothing can be made on ${master}: ${wordsOf(made)}`);
  const lines = addresses.map((address) => `route replace ${hostCidr(address)} dev ${shim.link}`);
  const routed = exec('ip', ['-batch', '-'], { input: `${lines.join('\n')}\n` });
  if (routed.code === 0) return shim;
  if (fresh) exec('ip', ['link', 'delete', 'dev', shim.link]);
  throw new NethooksError(`--host-shim: no route to ${addresses.join(', ')}: ${wordsOf(routed)}`);
}

/** The last one that uses it takes it along. */
export function removeShim(exec: Exec, { link, addresses }: Shim, id: string): void {
  const others = listRecords().some((one) => one.shim?.link === link && attachmentId(one.owner) !== id);
  if (others) for (const address of addresses) exec('ip', ['route', 'delete', hostCidr(address), 'dev', link]);
  else exec('ip', ['link', 'delete', 'dev', link]);
}

/** A name of 15 characters at most; a long master's is cut in the middle, where names differ least. */
const shimName = (master: string): string =>
  master.length <= 10 ? `shim-${master}` : `shim-${master.slice(0, 3)}${master.slice(-7)}`;
