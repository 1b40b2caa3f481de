/** What networks check of what their containers send, as it is in force: a note for each. */
import { dirname, join } from 'node:path';
import { type AntispoofModes, parseAntispoof } from '../model/antispoof.ts';
import { antispoofNote } from '../model/paths.ts';
import { filesIn, readText } from './files.ts';

const NOTES = dirname(antispoofNote('-'));

export const antispoofNotes = (): AntispoofModes =>
  Object.fromEntries(
    filesIn(NOTES).flatMap((network) => {
      const mode = parseAntispoof(readText(join(NOTES, network)));
      return mode === null ? [] : [[network, mode]];
    }),
  );
