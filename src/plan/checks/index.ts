/** Everything that doctor looks at beside what `up` would do, in the order of its report. */
import type { Check } from './check.ts';
import { conntrack } from './conntrack.ts';
import { disks } from './disks.ts';
import { forwarding } from './forwarding.ts';
import { leftovers } from './leftovers.ts';
import { lxcContainers } from './lxc-containers.ts';
import { mtu } from './mtu.ts';
import { permissions } from './permissions.ts';
import { ports } from './ports.ts';
import { reversePath } from './reverse-path.ts';
import { routes } from './routes.ts';
import { secondAddress } from './second-address.ts';

export const CHECKS: readonly Check[] = [
  disks,
  permissions,
  forwarding,
  reversePath,
  routes,
  secondAddress,
  ports,
  conntrack,
  mtu,
  lxcContainers,
  leftovers,
];
