/** Something that is not as it should be, as `status` and `gc` say it: one line for each. */
export interface Finding {
  /** `missing`: something does not work because of it. */
  severity: 'missing' | 'warning';
  /** `host`, or who it is about, as people call it. */
  about: string;
  text: string;
  /** The command that mends it; null when only a person can. */
  remedy: string | null;
}

/** The finding in one line. */
export const showFinding = ({ about, text }: Finding): string => (about === 'host' ? text : `${about}: ${text}`);
