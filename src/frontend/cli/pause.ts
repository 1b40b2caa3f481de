/** `nethooks pause` and `nethooks resume`: whoever works on the host by hand is not to find it changed behind their back. */
import { NethooksError } from '../../errors.ts';
import { pauseText } from '../../host/heal.ts';
import { pause as pauseFor, resume as resumeNow } from '../../store/healing.ts';
import type { OptionsOf } from './commands.ts';
import { EXIT } from './exit.ts';
import { requireRoot } from './up.ts';

const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };

export function pause({ for: text }: OptionsOf<'pause'>): number {
  const seconds = text === undefined ? null : secondsOf(text);
  requireRoot('pause');
  pauseFor(seconds);
  console.log(pauseText() ?? '');
  return EXIT.ok;
}

export function resume(): number {
  requireRoot('resume');
  console.log(resumeNow() ? 'resumed; `nethooks up` brings back at once what is missing' : 'it was not paused');
  return EXIT.ok;
}

/** @throws NethooksError */
function secondsOf(text: string): number {
  const [, digits, unit = ''] = /^(\d{1,6})([smhd])$/.exec(text) ?? [];
  const seconds = Number(digits) * (UNITS[unit] ?? Number.NaN);
  if (!(seconds > 0))
    throw new NethooksError(
      `--for ${text}: allowed: a number above 0 with s, m, h or d, such as 30m or 1h`,
      EXIT.usage,
    );
  return seconds;
}
