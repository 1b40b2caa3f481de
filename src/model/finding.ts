/** Something that is not as it should be, as `status` and `gc` say it: one line for each. */
export interface Finding {
  /** `mistake`: in what people wrote, so that it is not in force; `missing`: something does not work because of it. */
  severity: 'mistake' | 'missing' | 'warning';
  /** `host`, or who it is about, as people call it. */
  about: string;
  text: string;
  /** The command that mends it; null when only a person can. */
  remedy: string | null;
  /** Which check has found it (plan/checks), for scripts, and why it hurts; absent where no check has. */
  id?: string;
  why?: string;
}

/** The finding in one line. */
export const showFinding = ({ about, text }: Finding): string => (about === 'host' ? text : `${about}: ${text}`);

/** A text of several lines, each a finding of its own: the first, and how many there are besides. */
export function inOneLine(text: string): string {
  const [first = '', ...more] = text.split('\n');
  return more.length > 0 ? `${first} (and ${more.length} more)` : first;
}
