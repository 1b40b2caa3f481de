import { overlaps, parseCidr } from '../../model/address.ts';
import { type Check, missing } from './check.ts';

/** A VPN's routes, as a rule. */
export const routes: Check = {
  id: 'foreign-route',
  title: 'routes over our subnets',
  why: 'answers to containers leave by another way than the bridge, so some or all of them reach nobody',
  find: ({ networks, host, rules }) =>
    networks.flatMap(({ name, subnet, prefix }) => [
      ...host.routes
        .filter(({ device, destination }) => device !== name && overlaps(destination, subnet))
        .filter(({ destination }) => (parseCidr(destination)?.prefix ?? 0) >= prefix)
        .map(({ device, destination }) =>
          missing(
            `the route ${destination} dev ${device} lies over ${subnet} of ${name}`,
            `ip route del ${destination} dev ${device}`,
          ),
        ),
      ...rules
        .filter(({ to }) => to !== 'all' && overlaps(to, subnet))
        .map(({ priority, to, table }) =>
          missing(
            `the routing rule ${priority} sends what is for ${to}, so for ${subnet} of ${name}, by table ${table}`,
          ),
        ),
    ]),
};
