/**
 * A container's LXC configuration without nethooks: pure. One that `configure` changed is as it was before, byte for byte; one that
 * lxc-create made from default.conf is as if our block had not been there. Both can be started.
 */
import { NethooksError } from '../../errors.ts';
import { type LxcSetting, lastValue, parseLxcConfig, type ReadInclude, readLxcConfig } from '../../model/lxc-config.ts';
import { RUN, STATE } from '../../model/paths.ts';
import { withoutNowhere } from '../../plan/host/lxc-default.ts';
import { isMarkerLine, withoutBlock } from '../../plan/marked-block.ts';
import { blockOf, originalOf } from './adopt.ts';
import { nicsOf } from './lxc-config.ts';

/** What a host has once nethooks is gone. */
export interface Remaining {
  /** Bridges that go, or are gone. */
  ours: ReadonlySet<string>;
  /** Interfaces that stay. */
  interfaces: ReadonlySet<string>;
  /** The bridge for containers that were on one of ours; null: they start with an interface that leads nowhere. */
  bridge: string | null;
}

/** The text without anything of ours, on a bridge that stays. Unchanged, to the byte, where nothing is ours. */
export function released(text: string, backup: string | null, remaining: Remaining, read: ReadInclude): string {
  const { original, isCreated } = before(text, backup);
  const clean = withoutLines(
    original,
    (setting) => isOurs(setting) || (LINK.test(setting.key) && isGone(setting.value, remaining)),
  );
  const lines = moves({ now: text, earlier: original, clean }, remaining, isCreated, read);
  if (lines.length === 0) return clean;
  return `${clean}${clean === '' || clean.endsWith('\n') ? '' : '\n'}${lines.join('\n')}\n`;
}

/** The text without lines that call our hooks, include our files, or mark where a block of ours was. */
export const withoutOurLines = (text: string): string => withoutLines(text, isOurs);

const withoutLines = (text: string, goes: (setting: LxcSetting) => boolean): string =>
  text
    .split(/(?<=\n|\r(?!\n))/)
    .filter((line) => !isMarkerLine(line) && !parseLxcConfig(line).some(goes))
    .join('');

const LINK = /^lxc\.net\.\d+\.link$/;
const isGone = (link: string, { ours, interfaces }: Remaining): boolean => ours.has(link) && !interfaces.has(link);

const isOurs = ({ key, value }: LxcSetting): boolean =>
  (key.startsWith('lxc.hook.') && HOOK.test(value)) ||
  (key === 'lxc.include' && (INSTALLED.test(value) || [RUN, STATE].some((path) => value.startsWith(`${path}/`))));

/** Also with words before it, as in `env A=1 HOOK`, and of an installation with another prefix. */
const HOOK = /(^|[\s'"=])\/(\S*\/)?nethooks\/lxc\/(pre-start|start-host|post-stop|clone|destroy)($|[\s'"])/;
const INSTALLED = /^\/(.*\/)?lib\/nethooks\//;

/**
 * The text as it was before `configure`, without the block that lxc-create copied, and whether there was one. A block that somebody
 * has damaged is taken out line by line: whatever else it said may be the user's by now.
 */
function before(text: string, backup: string | null): { original: string; isCreated: boolean } {
  try {
    const original = originalOf(text, backup);
    return { original: withoutNowhere(withoutBlock(original)), isCreated: blockOf(original) !== null };
  } catch (error) {
    if (!(error instanceof NethooksError)) throw error;
    return { original: text, isCreated: true };
  }
}

/** One configuration at three times. */
interface Texts {
  now: string;
  /** Before `configure`, and without the block of default.conf. */
  earlier: string;
  /** Without any line of ours. */
  clean: string;
}

/** The lines that lead interfaces to a bridge that stays. */
function moves({ now, earlier, clean }: Texts, remaining: Remaining, isCreated: boolean, read: ReadInclude): string[] {
  const settings = readLxcConfig(clean, read);
  if (lastValue(settings, 'lxc.namespace.share.net') !== null) return [];
  if (settings.some(({ key }) => key.startsWith('lxc.network'))) return [];
  const wasOnOurs = (text: string, index: number): boolean =>
    isGone(nicsOf(readLxcConfig(text, read)).find((nic) => nic.index === index)?.link ?? '', remaining);
  return nicsOf(settings).flatMap(({ index, type, link, addresses, gateway }) => {
    if (type !== 'veth') return [];
    const key = `lxc.net.${index}`;
    // Interface 0 of one that lxc-create made has the link of default.conf, of which nobody has seen yet that it works.
    const isCopied = isCreated && index === 0;
    const isLost =
      link === undefined
        ? wasOnOurs(earlier, index)
        : isGone(link, remaining) || (isCopied && !remaining.interfaces.has(link));
    const hasMoved = isLost || (isCopied && wasOnOurs(now, index));
    return [
      ...(isLost ? [`${key}.link = ${remaining.bridge ?? ''}`.trimEnd()] : []),
      ...(hasMoved && addresses.length > 0 ? [`${key}.ipv4.address =`] : []),
      ...(hasMoved && gateway !== undefined ? [`${key}.ipv4.gateway =`] : []),
    ];
  });
}
