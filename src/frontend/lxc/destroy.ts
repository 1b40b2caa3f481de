/** lxc.hook.destroy, and lxc.hook.clone: a new container must not inherit what an earlier one of its name left behind. */

import { forget } from '../../attachment/forget.ts';
import { parseLxcConfig } from '../../model/lxc-config.ts';
import { isSafeName } from '../../model/names.ts';
import { containerFile, linkEnvironmentPath } from '../../model/paths.ts';
import { WRITTEN } from '../../plan/ini-edit.ts';
import { readText, removeFile, writeAtomically } from '../../system/files.ts';
import type { HookContext } from '../hooks/context.ts';
import { parseLxcEvent } from './lxc-event.ts';

/** The container's addresses are free again, and nobody's link leads to them any more. */
export async function run({ words, env, ...how }: HookContext): Promise<void> {
  const { name, configFile } = parseLxcEvent(words, env);
  const source = env.LXC_SRC_NAME;
  if (source !== undefined && configFile !== null && isSafeName(source)) withoutLinksOf(source, configFile);
  await forget(how, name);
  if (readText(containerFile(name))?.startsWith(WRITTEN)) removeFile(containerFile(name));
}

/** A clone has no links, and its original's environment goes with the original: an include of it would keep the clone from starting. */
function withoutLinksOf(source: string, configFile: string): void {
  const text = readText(configFile) ?? '';
  const isInclude = (line: string): boolean =>
    parseLxcConfig(line).some(({ key, value }) => key === 'lxc.include' && value === linkEnvironmentPath(source));
  const lines = text.split(/(?<=\n)/);
  if (lines.some(isInclude)) writeAtomically(configFile, lines.filter((line) => !isInclude(line)).join(''));
}
