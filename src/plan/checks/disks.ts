import { type Check, missing, warning } from './check.ts';

/** A burst of a few hundred starts writes less. */
const ENOUGH = 4 << 20;
const ENOUGH_INODES = 4000;

export const disks: Check = {
  id: 'disk-full',
  title: 'room for records',
  why: 'without room no start can be recorded, so containers are refused',
  find: ({ disks: all }) =>
    all.flatMap(({ path, freeBytes, freeInodes, fault }) => {
      if (fault !== null) return [missing(`${path} cannot be written: ${fault}`)];
      const scarce = freeBytes < ENOUGH ? `${freeBytes >> 10} KB` : null;
      const few = freeInodes !== null && freeInodes < ENOUGH_INODES ? `${freeInodes} inodes` : null;
      return scarce || few ? [warning(`${path} has ${scarce ?? few} left`)] : [];
    }),
};
