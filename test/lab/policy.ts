/** Drives the engine's policies on a lab host, in a process of its own, as hooks do. */
import type { ThrowawayHost } from '../../src/demo/throwaway.ts';
import type { Policy } from '../../src/model/policy.ts';
import { bundle } from './driver.ts';
import { must } from './host.ts';

const DRIVER = `
import { readFileSync } from 'node:fs';
import { linkFacts } from '#src/attachment/facts.ts';
import { planPolicy } from '#src/plan/attachment/attach.ts';
import { applySteps } from '#src/system/apply.ts';
import { execUntil } from '#src/system/exec.ts';
const [before, after] = JSON.parse(readFileSync(0, 'utf8'));
const exec = execUntil(performance.now() + 20_000);
async function apply() {
  const facts = linkFacts(exec, [{ name: (after ?? before).network, addresses: false, rules: true }], false);
  await applySteps({ exec, log: (line) => console.log(line), wait: false }, planPolicy(before, after, facts, ''));
}
apply().catch((error) => {
  console.error(error.message);
  process.exit(1);
});
`;

export interface PolicyDriver {
  /** From one policy to the next; returns what it logged. Throws with what it says when it refuses. */
  apply(host: ThrowawayHost, before: Policy | null, after: Policy | null): Promise<string>;
  remove(): void;
}

/** To be made before the host is started, which sees the machine's files as they are then. */
export function policyDriver(): PolicyDriver {
  const { path, remove } = bundle(DRIVER);
  return {
    apply: (host, before, after) => must(host, [process.execPath, path], { input: JSON.stringify([before, after]) }),
    remove,
  };
}
