/** `nethooks port [NAME [PORT]]`, as docker-port(1). */
import { NethooksError } from '../../errors.ts';
import { attachmentNamed, listAttachments } from '../../host/attachments.ts';
import type { Published } from '../../model/policy.ts';
import { type Port, parseExpose, showPort } from '../../model/ports.ts';
import { showHostPort } from '../../plan/attachment/publish.ts';
import type { OptionsOf } from './commands.ts';
import { EXIT } from './exit.ts';
import { requireRoot } from './up.ts';

/**
 * Prints where a running container's ports are published: `80/tcp -> 0.0.0.0:49153`, for one port `0.0.0.0:49153`; without a name all
 * that are published, behind the name.
 * @throws NethooksError when it does not run, or the port is not published
 */
export async function port(
  name: string | undefined,
  which: string | undefined,
  { json }: OptionsOf<'port'>,
): Promise<number> {
  const wanted = which === undefined ? undefined : parseExpose(which);
  requireRoot('port');
  if (name === undefined) return all(json ?? false);
  const { state, ports } = attachmentNamed(name);
  if (state !== 'running') throw new NethooksError(`${name} does not run: it is ${state}`);
  const found = wanted ? ports.filter((one) => wanted.some((port) => same(port, one))) : ports;
  if (wanted && found.length === 0) throw new NethooksError(`port ${which} of ${name} is not published`);
  if (json) console.log(JSON.stringify(found, null, 2));
  else for (const one of found) console.log(wanted ? showHostPort(one) : portLine(one));
  return EXIT.ok;
}

function all(json: boolean): number {
  const running = listAttachments().filter(({ state, ports }) => state === 'running' && ports.length > 0);
  if (json) console.log(JSON.stringify(Object.fromEntries(running.map(({ id, ports }) => [id, ports])), null, 2));
  else for (const { name, ports } of running) for (const one of ports) console.log(`${name}  ${portLine(one)}`);
  return EXIT.ok;
}

const same = ({ protocol, port }: Port, one: Published): boolean =>
  one.protocol === protocol && one.containerPort === port;

/** `80/tcp -> 0.0.0.0:8080` */
export const portLine = (one: Published): string =>
  `${showPort({ protocol: one.protocol, port: one.containerPort })} -> ${showHostPort(one)}`;
