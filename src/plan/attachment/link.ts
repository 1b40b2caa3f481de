/** What a link (Docker's --link NAME:ALIAS) lets the parent reach of the child. Pure. */
import type { Link } from '../../model/policy.ts';
import type { Port } from '../../model/ports.ts';

/** A container's address on a network. */
export interface Place {
  network: string;
  address: string;
}

/** The child of a link, as its record has it. */
export interface Child {
  name: string;
  places: Place[];
  exposed: Port[];
}

/**
 * The link from a container at `parent` to `child`: over a network that both are on, else between their first ones. Only from
 * parent to child: the answers come back because connections are tracked. Null when one of them has no address.
 */
export function linkTo(parent: Place[], child: Child, alias: string): Link | null {
  const shared = parent.find(({ network }) => child.places.some((place) => place.network === network));
  const from = shared ?? parent[0];
  const to = child.places.find(({ network }) => network === shared?.network) ?? child.places[0];
  if (!from || !to) return null;
  return { container: child.name, alias, from: from.address, to: to.address, ports: child.exposed };
}
