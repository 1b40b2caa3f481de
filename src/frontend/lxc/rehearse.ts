/** What a container's start would ask for, with the files of today: found out in the words of the start itself, and nothing is taken. */
import { knownConfig } from '../../config/cache.ts';
import { containerOptions } from '../../config/container-cache.ts';
import type { EventInput } from '../../model/event.ts';
import type { AttachmentSpec, InterfaceSpec } from '../../plan/attachment/spec.ts';
import { readKept } from '../../store/records.ts';
import { parseLxcEvent } from './lxc-event.ts';
import { checkLinks, memberNics, specOf } from './spec.ts';
import { readNics } from './start.ts';

/**
 * @returns lines for people
 * @throws NethooksError as the start would for what its configuration and its options say
 */
export async function rehearse({ words, env }: EventInput): Promise<string[]> {
  const { name, configFile, words: own } = parseLxcEvent(words, env);
  const { config } = await knownConfig();
  const said: string[] = [];
  const options = await containerOptions(name, own, (line) => said.push(line));
  const members = memberNics(readNics(configFile, config, ''), config.networks, options.nics);
  if (members.length === 0) return [...said, `${name} is on no network of ours: its start changes nothing`];
  checkLinks(name, options.link, configFile);
  return [...said, ...asked(specOf(config, { name, pid: 0, configFile, words: own, options, members }))];
}

const asked = ({ owner, interfaces, names, publish, links }: AttachmentSpec): string[] => {
  const kept = owner.kind === 'lxc' ? readKept(owner.name).interfaces : [];
  const held = ({ ifname, network }: InterfaceSpec): string | undefined =>
    kept.find((one) => one.ifname === ifname && one.network === network?.name)?.addresses[0];
  return [
    ...interfaces.map((one) => {
      const wanted = one.addressing.how === 'store' ? one.addressing.sets[0]?.wanted : null;
      return `${one.ifname} on ${one.network?.name}: address ${wanted ?? held(one) ?? 'any that is free'}`;
    }),
    `names: ${names.join(', ')}`,
    ...publish.map(({ text }) => `publish ${text}`),
    ...links.map(({ container, alias }) => `link to ${container} as ${alias}`),
  ];
};
