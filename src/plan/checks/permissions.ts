import { type Check, missing } from './check.ts';

const OTHERS_WRITE = 0o002;

export const permissions: Check = {
  id: 'permissions',
  title: "who may write nethooks' files",
  why: 'who may write them decides what root does at the next start of a container',
  find: ({ files }) =>
    files.flatMap(({ path, mode, uid }) => [
      ...((mode & OTHERS_WRITE) === 0
        ? []
        : [
            {
              ...missing(`${path} may be written by everybody`, `chmod o-w ${path}`),
              fix: { kind: 'mode' as const, path, mode: mode & ~OTHERS_WRITE },
            },
          ]),
      ...(uid === 0 ? [] : [missing(`${path} belongs to the user ${uid}`, `chown root: ${path}`)]),
    ]),
};
