/** A file's content as data: where it comes from, and what is changed in it. */

export interface FileCopy {
  /** The file that is read when the step is carried out. */
  from: string;
  /** Takes the place of its first line. */
  firstLine?: string;
  /** A string in it, and what takes its place wherever it occurs. */
  replace?: { text: string; by: string };
  /** Type (a symbolic link stays one), owner, permissions, times and extended attributes are copied as well, as by `cp -a`. */
  exact?: true;
}

/** Whether the copy has the very bytes of the file that it is made from. */
export const isVerbatim = ({ firstLine, replace }: FileCopy): boolean =>
  firstLine === undefined && (replace === undefined || replace.text === replace.by);

/** What becomes of the file's bytes. Latin-1 maps every byte to one character and back, so text in any encoding survives. */
export function edited(bytes: Buffer, { firstLine, replace }: FileCopy): Buffer {
  let text = bytes.toString('latin1');
  if (firstLine !== undefined) {
    const end = text.indexOf('\n');
    text = `${firstLine}${end < 0 ? '\n' : text.slice(end)}`;
  }
  if (replace) text = text.replaceAll(replace.text, () => replace.by);
  return Buffer.from(text, 'latin1');
}
