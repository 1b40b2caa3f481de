/** `nethooks ps` and `nethooks inspect`: what is connected, one line each or one whole. */
import { type AttachmentStatus, attachmentNamed, listAttachments } from '../../host/attachments.ts';
import { bare } from '../../model/address.ts';
import { printable } from '../../system/log.ts';
import type { OptionsOf } from './commands.ts';
import { EXIT } from './exit.ts';
import { portLine } from './port.ts';
import { requireRoot } from './up.ts';

/** A line for each container and attachment, running or not. */
export async function ps({ json }: OptionsOf<'ps'>): Promise<number> {
  requireRoot('ps');
  const all = listAttachments();
  if (json) console.log(JSON.stringify(all, null, 2));
  else for (const line of table([TITLES, ...all.map(cells)])) console.log(line);
  return EXIT.ok;
}

/** All that is known of one. */
export async function inspect(name: string, { json }: OptionsOf<'inspect'>): Promise<number> {
  requireRoot('inspect');
  const one = attachmentNamed(name);
  if (json) console.log(JSON.stringify(one, null, 2));
  else for (const line of table(rows(one))) console.log(line);
  return EXIT.ok;
}

const TITLES = ['NAME', 'KIND', 'STATE', 'ADDRESS', 'NETWORK', 'PORTS', 'LINKS'];

const cells = ({ name, id, state, interfaces, shares, ports, links }: AttachmentStatus): string[] => [
  name,
  kindOf(id),
  state,
  list(interfaces.flatMap((one) => one.addresses.map(bare))),
  shares === null ? list([...new Set(interfaces.flatMap(({ network }) => network ?? []))]) : `container:${shares}`,
  list(ports.map((one) => portLine(one).replaceAll(' ', ''))),
  list(links.map(({ container, alias }) => (container === alias ? container : `${container}:${alias}`))),
];

const kindOf = (id: string): string => id.split('/')[0] as string;
const list = (words: string[]): string => words.join(',') || '-';

function rows({
  id,
  state,
  pid,
  netns,
  interfaces,
  shares,
  names,
  ports,
  links,
  source,
  refused,
}: AttachmentStatus): string[][] {
  return [
    ['id', id],
    ['state', pid === null ? state : `${state} (pid ${pid})`],
    ...(netns === null ? [] : [['namespace', netns]]),
    ...interfaces.map(({ ifname, network, driver, addresses, mac }) => [
      'interface',
      [ifname, ...addresses, mac, network === null ? driver : `on ${network}`].filter((word) => word !== '').join('  '),
    ]),
    ...(shares === null ? [] : [['network', `of container ${shares}`]]),
    ...names.map((name) => ['name', name]),
    ...ports.map((one) => ['port', portLine(one)]),
    ...links.map(({ container, alias }) => ['link', `${container} as ${alias}`]),
    ...(source === null ? [] : [['source', source]]),
    ...(refused === null ? [] : refused.reason.split('\n').map((line) => ['refused', `${refused.at}  ${line}`])),
  ];
}

/** Columns as wide as they have to be, the last one as it is. */
function table(lines: string[][]): string[] {
  const widths = (lines[0] ?? []).map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  return lines.map((line) =>
    printable(line.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')).trimEnd(),
  );
}
