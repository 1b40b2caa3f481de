/** What takes an attachment down, from its record alone: pure. Addresses go last, and by the store. */
import type { Cidr } from '../../model/address.ts';
import type { AttachmentRecord, Interface } from '../../model/attachment.ts';
import type { Policy } from '../../model/policy.ts';
import type { Step } from '../../model/step.ts';
import { planPolicy } from './attach.ts';
import type { DriverTable } from './driver.ts';
import type { FileFacts } from './facts.ts';
import { dhcpOptionsFile, domainsOf, namesFile, reservationFile } from './names.ts';

/** What of a record is to go. */
export interface Leaving {
  record: AttachmentRecord;
  /** The addresses whose masquerading is still its own to end. */
  masquerade: Cidr[];
  /** Those of them in whose subnet nobody else is masqueraded. */
  alone: Cidr[];
  /** Whether what DHCP knows of it goes too: a container that is only stopped keeps them. */
  forGood: boolean;
  /** Domains that have a file of its names, also those that the record does not know of. */
  domains: readonly string[];
}

/** Names first, then ports, links and rules, then the interface. */
export function planDetach(
  drivers: DriverTable,
  { record, masquerade, alone, forGood, domains }: Leaving,
  facts: FileFacts,
): Step[] {
  const { owner, interfaces, policy, files = [] } = record;
  const remove = (path: string): Step[] =>
    facts.files[path] === null || facts.files[path] === undefined
      ? []
      : [{ kind: 'file', path, before: facts.files[path], content: null }];
  const names = [...new Set([...domains, ...domainsOf(interfaces)])].flatMap((domain) =>
    remove(namesFile(domain, owner)),
  );
  const reservations = forGood
    ? interfaces.flatMap(({ network, ifname }) =>
        network === null || owner.kind !== 'lxc'
          ? []
          : [reservationFile, dhcpOptionsFile].flatMap((path) => remove(path(network, owner, ifname))),
      )
    : [];
  const networks = [...new Set(interfaces.flatMap(({ network }) => network ?? []))];
  const reload = facts.reloads && names.length > 0;
  return [
    ...names,
    ...reservations,
    ...files.flatMap(remove),
    ...(reload ? networks.map((network): Step => ({ kind: 'reload-dnsmasq', network })) : []),
    ...planPolicy(policy && { ...policy, masquerade }, null, { bridges: {} }, '', alone).filter(
      (step) => !isNothing(step),
    ),
    ...interfaces.flatMap((one) => removeInterface(drivers, one)),
  ];
}

/** A change of elements that changes none: a container whose network keeps it apart has nothing of its own there. */
const isNothing = (step: Step): boolean =>
  step.kind === 'elements' && Object.values(step.remove).every((elements: string[]) => elements.length === 0);

function removeInterface(drivers: DriverTable, one: Interface): Step[] {
  const removal = drivers[one.driver].takeDown(one);
  if (removal === null) return [];
  const where = removal.where === 'namespace' ? { where: 'namespace' as const } : {};
  return [{ kind: 'ip', commands: [removal.line], undo: [], lenient: true, ...where }];
}

/** What links and ports of `before` lead to an address that it has no more. */
export const policyWithout = (policy: Policy, child: string): Policy => ({
  ...policy,
  links: policy.links.filter(({ container }) => container !== child),
});
