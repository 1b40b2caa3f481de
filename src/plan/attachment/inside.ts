/** What the kernel prints of a network namespace in /proc/PID/net: pure. */
import type { InsideFact } from '../../model/inside.ts';

/**
 * The addresses in fib_trie: a `/32 host LOCAL` below the line of its address.
 *
 *         |-- 10.0.0.2
 *            /32 host LOCAL
 */
export function parseLocalAddresses(trie: string): string[] {
  const found = new Set<string>();
  let leaf = '';
  for (const line of trie.split('\n')) {
    const at = line.indexOf('|-- ');
    if (at >= 0) leaf = line.slice(at + 4);
    else if (line.endsWith('/32 host LOCAL')) found.add(leaf);
  }
  return [...found];
}

/** Lines of `route`: interface, destination and gateway as numbers in the machine's byte order, flags, …, the mask as the eighth field. */
export function parseRoutes(text: string): InsideFact['routes'] {
  return text
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const [device = '', destination = '', gateway = '', flags = '', , , , mask] = line.split('\t');
      if (mask === undefined || (Number.parseInt(flags, 16) & RTF_UP) === 0) return [];
      const bits = Number.parseInt(mask, 16);
      return [
        {
          device,
          destination: `${address(destination)}/${ones(bits)}`,
          gateway: gateway === '00000000' ? null : address(gateway),
        },
      ];
    });
}

/** route(8). */
const RTF_UP = 0x1;

const LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

function address(hex: string): string {
  const bytes = [0, 2, 4, 6].map((at) => Number.parseInt(hex.slice(at, at + 2), 16));
  return (LITTLE_ENDIAN ? bytes.reverse() : bytes).join('.');
}

function ones(bits: number): number {
  let count = 0;
  for (let rest = bits >>> 0; rest !== 0; rest &= rest - 1) count++;
  return count;
}
