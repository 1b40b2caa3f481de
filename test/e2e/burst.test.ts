/**
 * Many starts at the same moment: nobody is refused because of the others, and nothing stays behind. With NETHOOKS_EXHAUSTIVE=1 in all
 * sizes, with and without ports, twice in a row, and beside eight busy loops; that takes minutes.
 */
import { beforeAll, beforeEach, expect, it } from 'vitest';
import type { ThrowawayHost } from '../../src/demo/throwaway.ts';
import { busyLoops, type Crowd, clear, type Kind, prepare, startAll, stopAll, vanish } from '../lab/burst.ts';
import { describeLab, labHost, must, sh } from '../lab/lab.ts';
import { difference, installLifecycle, parseState, STATE } from '../lab/lifecycle.ts';

const EXHAUSTIVE = Boolean(process.env.NETHOOKS_EXHAUSTIVE);

interface Trial extends Crowd {
  rounds: number;
  /** Busy loops beside it. */
  loops: number;
}

const KINDS: Kind[] = ['LXC', 'CNI'];
const TRIALS: Trial[] = KINDS.flatMap((kind) =>
  EXHAUSTIVE
    ? [0, 8].flatMap((loops) =>
        [50, 100, 200].flatMap((size) => [true, false].map((ports) => ({ kind, size, ports, loops, rounds: 2 }))),
      )
    : [50, 200].map((size) => ({ kind, size, ports: true, loops: 0, rounds: 1 })),
);

let host: ThrowawayHost;
let baseline: string[];
/** Whether the last trial has left nothing. */
let clean = false;

describeLab('a burst', () => {
  beforeAll(start);
  beforeEach(async () => {
    if (clean) return;
    await host.close();
    await start();
  });

  for (const trial of TRIALS) {
    const what = `of ${trial.size} ${trial.kind} containers${trial.ports ? ' with ports' : ''}`;
    it(
      what + (trial.loops === 0 ? '' : `, beside ${trial.loops} busy loops`),
      async () => {
        clean = false;
        const stopLoops = trial.loops === 0 ? async () => undefined : await busyLoops(host, trial.loops);
        try {
          for (let round = 1; round <= trial.rounds; round++) await startAndStop(trial);
        } finally {
          await stopLoops();
        }
        clean = true;
      },
      EXHAUSTIVE ? 600_000 : 120_000,
    );
  }
});

/** One round, and what is expected of it. */
async function startAndStop(crowd: Crowd): Promise<void> {
  await prepare(host, crowd);
  const started = await startAll(host, crowd);
  const published = await must(host, ['nft', 'list', 'map', 'inet', 'nethooks', 'published']);
  await vanish(host, crowd);
  const stopped = await stopAll(host, crowd);
  await clear(host, crowd);
  if (EXHAUSTIVE) console.log(`${crowd.size} ${crowd.kind}: ${started.elapsed} ms, ${stopped.elapsed} ms`);
  expect([started.refused.length, ...started.refused.slice(0, 3)]).toEqual([0]);
  expect([stopped.refused.length, ...stopped.refused.slice(0, 3)]).toEqual([0]);
  expect(published.match(/tcp \. 1\d{4} :/g) ?? []).toHaveLength(crowd.ports ? crowd.size : 0);
  expect(await left()).toEqual([]);
}

async function start(): Promise<void> {
  host = await labHost();
  await installLifecycle(host);
  // What the first container with a port leaves is the host's: route_localnet.
  for (const kind of KINDS) {
    const one = { kind, size: 1, ports: true };
    await prepare(host, one);
    await startAll(host, one);
    await vanish(host, one);
    await stopAll(host, one);
    await clear(host, one);
  }
  baseline = parseState(await sh(host, STATE));
  clean = true;
}

/** What there is, apart from what a stopped LXC container keeps until it is destroyed: its address, and what we know of it. */
async function left(): Promise<string[]> {
  const now = difference(baseline, parseState(await sh(host, STATE)));
  return now.filter((line) => !KEPT.test(line));
}

const KEPT =
  /^\+ (var\/lib\/nethooks\/containers\/|var\/lib\/cni\/networks\/br0\/10[.\d]+:|run\/nethooks\/(dnsmasq|options)\/)/;
