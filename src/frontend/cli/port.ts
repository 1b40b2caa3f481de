/** `nethooks port NAME [PORT]`, as docker-port(1). */
import { NethooksError } from '../../errors.ts';
import type { Published } from '../../model/policy.ts';
import { type Port, parseExpose, showPort } from '../../model/ports.ts';
import { showHostPort } from '../../plan/attachment/publish.ts';
import { isAlive, readContainer } from '../../store/records.ts';
import type { OptionsOf } from './commands.ts';
import { EXIT } from './exit.ts';

/**
 * Prints where a running container's ports are published: `80/tcp -> 0.0.0.0:49153`, for one port `0.0.0.0:49153`.
 * @throws NethooksError when it does not run, or the port is not published
 */
export async function port(name: string, which: string | undefined, { json }: OptionsOf<'port'>): Promise<number> {
  const wanted = which === undefined ? undefined : parseExpose(which);
  const record = readContainer(name);
  if (!record || !isAlive(record)) throw new NethooksError(`no container ${name} runs on a network of ours`);
  const all = record.policy?.publish ?? [];
  const found = wanted ? all.filter((one) => wanted.some((port) => same(port, one))) : all;
  if (wanted && found.length === 0) throw new NethooksError(`port ${which} of ${name} is not published`);
  if (json) console.log(JSON.stringify(found, null, 2));
  else for (const one of found) console.log(wanted ? showHostPort(one) : line(one));
  return EXIT.ok;
}

const same = ({ protocol, port }: Port, one: Published): boolean =>
  one.protocol === protocol && one.containerPort === port;

const line = (one: Published): string =>
  `${showPort({ protocol: one.protocol, port: one.containerPort })} -> ${showHostPort(one)}`;
