/** The block in LXC's default.conf, which lxc-create copies into every new container's configuration. */
import type { HostFacts } from '../../model/facts.ts';
import { LXC_DEFAULT_CONF } from '../../model/paths.ts';
import type { Step } from '../../model/step.ts';
import { withBlock, withoutBlock } from '../marked-block.ts';
import { parsed } from '../parsed.ts' with { type: 'macro' };
import { fill } from '../template.ts';

/** What templates/lxc-default.conf.mustache is filled in with. */
export interface LxcDefaultView {
  bridge: string;
  /** The directory of our LXC hooks. */
  hooks: string;
  /** Whether it is for LXC before 2.1. */
  legacy: boolean;
  /** lxc.hook.version; empty where LXC does not know that key. */
  version: string;
}

const TEMPLATE = parsed<LxcDefaultView>('lxc-default.conf.mustache');

/**
 * The keys for a bridge, in the words of the LXC that is installed: `lxc.network.*` before 2.1, hook version 1 from 3.0 on.
 * @param hooks the directory of our LXC hooks
 */
function defaultConfLines(bridge: string, hooks: string, lxcVersion: string): string[] {
  const [major = 0, minor = 0] = lxcVersion.split('.').map(Number);
  const legacy = major < 2 || (major === 2 && minor < 1);
  return fill(TEMPLATE, { bridge, hooks, legacy, version: major >= 3 ? '1' : '' })
    .trimEnd()
    .split('\n');
}

/** Puts the block in, at the end because a later line wins, or brings it up to date. */
export function planDefaultConf(bridge: string, hooks: string, facts: HostFacts): Step[] {
  if (facts.lxcVersion === null) return [];
  const before = facts.files[LXC_DEFAULT_CONF] ?? null;
  const text = withNowhere(before ?? '', facts.lxcNet);
  const content = withBlock(text, defaultConfLines(bridge, hooks, facts.lxcVersion), 'bottom');
  return content === before ? [] : [{ kind: 'file', path: LXC_DEFAULT_CONF, before, content }];
}

/** Stands before a line that is not in force while our block is there. */
const NOWHERE = '# nethooks: ';

/**
 * At boot Debian's lxc-containers waits 30 s for every bridge that a line names, also where a later line counts. So the line of lxc-net's
 * bridge becomes a comment where that will not come.
 */
function withNowhere(text: string, { bridge, comes }: HostFacts['lxcNet']): string {
  const plain = withoutNowhere(text);
  if (comes) return plain;
  return plain.replace(LINK, (line, name) => (name === bridge ? `${NOWHERE}${line}` : line));
}
const LINK = /^[ \t]*lxc\.net\.0\.link[ \t]*=[ \t]*(\S+)[ \t]*$/gm;

/** Those lines in force again: lxc-create has copied them. */
export const withoutNowhere = (text: string): string => text.replaceAll(new RegExp(`^${NOWHERE}`, 'gm'), '');

/** Takes the block out. */
export function planDefaultConfDown(facts: HostFacts): Step[] {
  const before = facts.files[LXC_DEFAULT_CONF] ?? null;
  if (before === null) return [];
  const content = withoutNowhere(withoutBlock(before));
  return content === before
    ? []
    : [{ kind: 'file', path: LXC_DEFAULT_CONF, before, content: content === '' ? null : content }];
}
