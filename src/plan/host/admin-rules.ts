/**
 * The admin's own rules: a chain that what is forwarded to and from containers goes through first, published ports too, with the
 * container's address and port as the destination. What nft prints of it need not be what was written, so its first rule says by a
 * checksum which text it was made from.
 */

import { fnv } from '../../model/derived.ts';
import { ADMIN_RULES } from '../../model/paths.ts';
import { TABLE } from './nft-listing.ts';

export const ADMIN_CHAIN = 'admin';

/** The first rule of the chain; it does nothing. */
export const markOf = (text: string): string => `continue comment "${ADMIN_RULES} ${fnv(text, 0)} ${fnv(text, 1)}"`;

/** What brings packets there: each once, what comes from a container and what goes to one. */
export const JUMPS = [
  `iifname @bridges jump ${ADMIN_CHAIN}`,
  `iifname != @bridges oifname @bridges jump ${ADMIN_CHAIN}`,
];

/** Lines that make the chain from a text, or make it anew. */
export const adminChain = (text: string): string[] => [
  `add chain ${TABLE} ${ADMIN_CHAIN}`,
  `flush chain ${TABLE} ${ADMIN_CHAIN}`,
  `add rule ${TABLE} ${ADMIN_CHAIN} ${markOf(text)}`,
  ...chainBlock(TABLE, text),
];

/** A table for nft to check the text in. Its line 1 is line 2 here. */
export const checkScript = (text: string): string => `${chainBlock('inet nethooks-check', text).join('\n')}\n`;

const chainBlock = (table: string, text: string): string[] => [
  `table ${table} { chain ${ADMIN_CHAIN} {`,
  text,
  '}',
  '}',
];

/** What nft(8) says about such a table, with the text's lines: the first fault. What is never closed is missing in the last line. */
export function faultOf(stderr: string, text: string): string {
  const [, line, columns, message] = /^\S+?:(\d+):(\d+-\d+): (?:Error: )?(.*)$/m.exec(stderr) ?? [];
  return line === undefined
    ? `${ADMIN_RULES}: ${stderr.trim().split('\n')[0]}`
    : `${ADMIN_RULES}:${Math.min(Number(line) - 1, text.trimEnd().split('\n').length)}:${columns}: ${message}`;
}
